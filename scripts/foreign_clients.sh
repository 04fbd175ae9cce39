#!/usr/bin/env bash
# Installs the clients of other languages that the tests lock with, where the harness looks for them: below the
# target directory. Leaves alone what is there, or elsewhere by DLOCK_PYTHON and DLOCK_NODE_MODULES.
# Needs Python with venv, Node.js and npm; a Java compiler and Curator's jars, in DLOCK_CURATOR_CLASSPATH or where
# Debian has them.
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

compile_java() {
  rm -rf "$clients/java"
  mkdir -p "$clients/java"
  javac -cp "${DLOCK_CURATOR_CLASSPATH:-/usr/share/java/curator-recipes.jar}" -d "$clients/java" "$pins/Curator.java"
  cp "$pins/Curator.java" "$clients/java"
}

has_python() { is_current python requirements.txt && [ -x "$clients/python/bin/python" ]; }
has_node() { is_current node package-lock.json && [ -e "$clients/node/node_modules/.package-lock.json" ]; }
has_java() { is_current java Curator.java; }

[ -n "${DLOCK_PYTHON:-}" ] || has_python || install_python
[ -n "${DLOCK_NODE_MODULES:-}" ] || has_node || install_node
has_java || compile_java
