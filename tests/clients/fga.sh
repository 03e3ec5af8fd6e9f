#!/usr/bin/env bash
# The `fga` command line, unmodified: every command that talks to a server, and those that need none. A command that it
# gains and this file does not name is an error. Usage: fga.sh PATH-TO-FGA URL WORK-DIRECTORY
set -euo pipefail
fga=$1; export FGA_API_URL=$2; work=$3
here=$(cd "$(dirname "$0")" && pwd)
json() { python3 -c "import json,sys; v=json.load(sys.stdin); print(eval(sys.argv[1], {'v': v}))" "$1"; }
fail() { echo "fga: $*" >&2; exit 1; }
same() { [ "$1" = "$2" ] || fail "$3: expected '$2', found '$1'"; }
refused() { text=$1; shift; if out=$("$@" 2>&1); then fail "was taken: $*"; fi; grep -q "$text" <<<"$out" || fail "$*: $out"; }

commands=$(for c in model query store tuple; do "$fga" $c --help | sed -n '/^Available/,/^Flags/p' | awk -v c=$c '/^  [a-z]/{print c"."$1}'; done | tr '\n' ' ')
same "$commands" "model.get model.list model.test model.transform model.validate model.write query.check query.expand \
query.list-objects query.list-relations query.list-users store.create store.delete store.export store.get store.import \
store.list tuple.changes tuple.delete tuple.read tuple.write " "the commands there are"

# Models: as text, as JSON, in modules; transformed, validated, tested without a server.
cp "$here/fga/"* "$work/"
cd "$work"
"$fga" model validate --file model.fga | grep -q '"is_valid":true'
"$fga" model transform --file model.fga --output-format json >model.json
"$fga" model transform --file model.json --input-format json --output-format fga | grep -q "define viewer"
"$fga" model test --tests store.fga.yaml
store=$("$fga" store create --name cli --model model.fga | json "v['store']['id']")
export FGA_STORE_ID=$store
"$fga" store get | grep -q cli
"$fga" store list | grep -q "$store"
first=$("$fga" model list | json "v['authorization_models'][0]['id']")
"$fga" model write --file model.json --format json | grep -q authorization_model_id
"$fga" model write --file fga.mod --format modular | grep -q authorization_model_id
same "$("$fga" model list | json "len(v['authorization_models'])")" 3 "models"
"$fga" model get --model-id "$first" | grep -q "define viewer"
"$fga" model get --format json | json "v['schema_version']" | grep -qx 1.2

# Tuples: one, with a condition, from each kind of file, again, and away.
"$fga" model write --file model.fga >/dev/null
"$fga" tuple write user:anne owner document:1 >/dev/null
refused "already exist" "$fga" tuple write user:anne owner document:1
"$fga" tuple write user:anne owner document:1 --on-duplicate ignore >/dev/null
"$fga" tuple write user:carl viewer document:9 --condition-name small --condition-context '{"x": 3}' >/dev/null
for file in tuples.csv tuples.json tuples.yaml; do
  same "$("$fga" tuple write --file $file --max-tuples-per-write 2 | json "v['successful_count']")" 2 "tuples of $file"
  same "$("$fga" tuple write --file $file | json "v.get('failed_count') or 0")" 0 "tuples of $file again"
done
same "$("$fga" tuple read --max-pages 0 | json "len(v['tuples'])")" 8 "tuples read"
same "$("$fga" tuple read --object document: --user user:bob --consistency HIGHER_CONSISTENCY | json "len(v['tuples'])")" 1 "tuples of bob"
"$fga" tuple read --output-format csv --page-size 3 | grep -q '^user,bob'
"$fga" tuple read --output-format yaml | grep -q 'user:dora'
"$fga" tuple read --output-format simple-json >back.json
same "$("$fga" tuple delete --file back.json --max-tuples-per-write 3 | json "v['successful_count']")" 8 "tuples deleted"
"$fga" tuple delete --file back.json --on-missing ignore >/dev/null
refused "not exist" "$fga" tuple delete user:anne owner document:1
"$fga" tuple write --file back.json >/dev/null
same "$("$fga" tuple read | json "len(v['tuples'])")" 8 "tuples written back"
same "$("$fga" tuple changes --type document --max-pages 50 | json "len(v['changes'])")" 18 "changes of documents"
"$fga" tuple changes --start-time 2020-01-01T00:00:00Z | grep -q TUPLE_OPERATION_DELETE
token=$("$fga" tuple changes --max-pages 1 | json "v['continuation_token']")
"$fga" tuple changes --continuation-token "$token" | grep -q continuation_token

# Questions, with what a request may add.
check() { "$fga" query check "$@" | json "v['allowed']"; }
same "$(check user:anne viewer document:1)" True "anne is the owner"
same "$(check user:bob viewer document:1)" False "bob is nobody"
same "$(check user:bob viewer document:1 --contextual-tuple "user:bob member group:eng" --contextual-tuple "group:eng#member viewer document:1")" True "bob by context"
same "$(check user:carl viewer document:8 --contextual-tuple "user:carl viewer document:8" --consistency HIGHER_CONSISTENCY)" True "carl by context"
same "$(check user:eve viewer document:5 --context '{"x": 1}')" True "eve under the condition"
same "$(check user:eve viewer document:5 --context '{"x": 9}')" False "eve outside of the condition"
refused "missing context parameters" "$fga" query check user:eve viewer document:5
"$fga" query list-objects user:anne viewer document --context '{"x": 1}' | grep -q document:1
"$fga" query list-users --object document:1 --relation viewer --user-filter user | grep -q anne
"$fga" query list-users --object document:3 --relation viewer --user-filter group#member | grep -q eng
"$fga" query list-relations user:anne document:1 | grep -q owner
"$fga" query expand viewer document:1 | grep -q union

# Stores: out to a file and in again, into a new store.
"$fga" store export --output-file export.fga.yaml --max-tuples 100 >/dev/null
grep -q "define viewer" export.fga.yaml && grep -q user:dora export.fga.yaml
imported=$("$fga" store import --file store.fga.yaml --store-id "" --max-tuples-per-write 10 | json "v['store']['id']")
"$fga" model test --tests store.fga.yaml --store-id "$imported"
FGA_STORE_ID=$imported "$fga" tuple read | grep -q user:anne
"$fga" store delete --store-id "$imported" --force >/dev/null
"$fga" store delete --force >/dev/null
refused "not found" "$fga" store get
echo "fga: every command works"
