#!/usr/bin/env bash
# Installs what the tests need, on Debian and its kin, and runs them all.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing() {
  command -v redis-server >/dev/null || echo redis-server
  { command -v java >/dev/null && [ -e "${DLOCK_ZOOKEEPER_CLASSPATH:-/usr/share/java/zookeeper.jar}" ]; } || echo zookeeper
  python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
  command -v node >/dev/null || echo nodejs
  [ -n "${DLOCK_NODE_MODULES:-}" ] || command -v npm >/dev/null || echo npm
  command -v javac >/dev/null || echo default-jdk-headless
  [ -n "${DLOCK_CURATOR_CLASSPATH:-}" ] || [ -e /usr/share/java/curator-recipes.jar ] || echo libcurator-recipes-java
  # For the library that moves a server's clock.
  command -v cc >/dev/null || printf '%s\n' gcc libc6-dev
}

install_missing() {
  local packages
  packages=$(missing)
  [ -n "$packages" ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "The tests need these programs; install them with your package manager: ${packages//$'\n'/ }" >&2
    echo "(redis-server 6.2 or newer, for Sentinel and Cluster 7.0, on the PATH or in DLOCK_REDIS_SERVER; a Java development" >&2
    echo "kit, the jars of ZooKeeper 3.5 or newer in DLOCK_ZOOKEEPER_CLASSPATH, those of Curator 5's recipes in" >&2
    echo "DLOCK_CURATOR_CLASSPATH; a C compiler that is called cc;" >&2
    echo "Python 3.10 and Node.js 16 or newer)" >&2
    exit 1
  fi
  as_root apt-get update -qq
  # The servers that the tests start are their own; the packages must not start servers of their own.
  # shellcheck disable=SC2086 # a list of words
  DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends $packages
}

install_missing
scripts/foreign_clients.sh
scripts/servers.sh
exec "${DLOCK_PYTHON:-python3}" scripts/side_by_side.py cargo test --workspace --all-features "$@"
