#!/usr/bin/env bash
# Installs the Redis clients of other languages that the tests lock with, where the harness looks for them:
# below the target directory. Leaves alone what is there, or elsewhere by DLOCK_PYTHON and DLOCK_NODE_MODULES.
# Needs Python with venv, Node.js and npm.
set -euo pipefail
cd "$(dirname "$0")/.."
clients=${CARGO_TARGET_DIR:-target}/foreign
pins=tests/foreign

# is_current FOLDER FILE: FOLDER was made from what FILE says now.
is_current() { cmp -s "$pins/$2" "$clients/$1/$2"; }

install_python() {
  rm -rf "$clients/python"
  python3 -m venv "$clients/python"
  "$clients/python/bin/python" -m pip install --quiet --requirement "$pins/requirements.txt"
  cp "$pins/requirements.txt" "$clients/python"
}

install_node() {
  rm -rf "$clients/node"
  mkdir -p "$clients/node"
  cp "$pins/package.json" "$pins/package-lock.json" "$clients/node"
  npm ci --prefix "$clients/node" --no-audit --no-fund --loglevel error
}

has_python() { is_current python requirements.txt && [ -x "$clients/python/bin/python" ]; }
has_node() { is_current node package-lock.json && [ -e "$clients/node/node_modules/.package-lock.json" ]; }

[ -n "${DLOCK_PYTHON:-}" ] || has_python || install_python
[ -n "${DLOCK_NODE_MODULES:-}" ] || has_node || install_node
