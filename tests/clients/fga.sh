#!/usr/bin/env bash
# The `fga` command line, unmodified. Usage: fga.sh PATH-TO-FGA URL WORK-DIRECTORY
set -euo pipefail
fga=$1; export FGA_API_URL=$2; work=$3
cat >"$work/model.fga" <<'M'
model
  schema 1.1
type user
type document
  relations
    define owner: [user]
    define viewer: [user] or owner
M
json() { python3 -c "import json,sys; v=json.load(sys.stdin); print(eval(sys.argv[1], {'v': v}))" "$1"; }
store=$("$fga" store create --name cli --model "$work/model.fga" | json "v['store']['id']")
export FGA_STORE_ID=$store
"$fga" store get | grep -q cli
"$fga" store list | grep -q "$store"
"$fga" model list | grep -q model
"$fga" model get | grep -q "define viewer"
printf 'user_type,user_id,user_relation,relation,object_type,object_id\nuser,bob,,viewer,document,2\n' >"$work/tuples.csv"
"$fga" tuple write user:anne owner document:1 >/dev/null
"$fga" tuple write --file "$work/tuples.csv" >/dev/null
[ "$("$fga" query check user:anne viewer document:1 | json "v['allowed']")" = True ]
[ "$("$fga" query check user:bob viewer document:1 | json "v['allowed']")" = False ]
"$fga" query list-objects user:anne viewer document | grep -q document:1
"$fga" query list-users --object document:1 --relation viewer --user-filter user | grep -q anne
"$fga" query list-relations user:anne document:1 | grep -q owner
"$fga" query expand viewer document:1 | grep -q union
"$fga" tuple read | grep -q user:bob
"$fga" tuple changes --type document | grep -q TUPLE_OPERATION_WRITE
"$fga" tuple delete user:anne owner document:1 >/dev/null
[ "$("$fga" query check user:anne viewer document:1 | json "v['allowed']")" = False ]
"$fga" store export | grep -q "define viewer"
"$fga" store delete --force >/dev/null
echo "fga: every command works"
