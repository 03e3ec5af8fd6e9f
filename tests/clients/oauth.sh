#!/usr/bin/env bash
# An issuer as `bailiwick init` makes it, and openid-client against it.
# oauth.sh BAILIWICK MODULES DIRECTORY
set -euo pipefail
bailiwick=$1 modules=$2 work=$3
here=$(cd "$(dirname "$0")" && pwd)
if [ ! -e "$modules/installed" ]; then
  echo "SKIPPED: there is no npm for openid-client" >&2
  [ -z "${CI:-}" ] || exit 1 # a run that decides must not pass without it
  exit 0
fi
mkdir -p "$work" && cd "$work"
trap 'kill "${server:-}" 2>/dev/null || true' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
issuer=http://127.0.0.1:$port/t/main api=https://api.example/
"$bailiwick" init --issuer "$issuer" --admin admin@example.com >init
export BAILIWICK_DATA=$work/bailiwick-data BAILIWICK_IDENTITY_KEY_RING=$work/bailiwick.keys
"$bailiwick" resource create $api --id api --scope read='Read it' --scope write='Change it' >resource
"$bailiwick" user create sarah@example.com --name 'Sarah Chen' >user
client() { # what it is called, and what it may
  local id=$1
  shift
  "$bailiwick" client create --id "$id" --name "$id" --json "$@"
}
worker=$(client worker --kind agent --auth client_secret_basic --auth client_secret_post \
  --grant-type client_credentials --scope read --resource $api)
api_server=$(client api-server --serves $api)
app=$(client app --auth none --grant-type authorization_code --grant-type refresh_token --redirect-uri http://127.0.0.1/cb \
  --scope openid --scope profile --scope offline_access --scope read --scope write --resource $api)
link=$("$bailiwick" user invite sarah@example.com --json)
"$bailiwick" serve --http-addr 127.0.0.1:0 --grpc-addr 127.0.0.1:0 --identity-addr "127.0.0.1:$port" >ready 2>log &
server=$!
for _ in $(seq 300); do grep -q serving ready && break; kill -0 "$server"; sleep 0.1; done
cd "$modules"
printf '{"worker":%s,"server":%s,"app":%s,"link":%s}' "$worker" "$api_server" "$app" "$link" \
  | sed 's/"link":{"link":\("[^"]*"\)}/"link":\1/' | node "$here/oauth.mjs" "$issuer" $api
kill "$server" && wait "$server"
