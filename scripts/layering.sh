#!/usr/bin/env bash
# Checks that dependencies point one way (ARCHITECTURE.md, "Layers").
# Usage: scripts/layering.sh [ROOT]        ROOT is the workspace, by default the one this script is in.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"
core=dlock-core/src
failed=0

complain() { echo "layering: $1" >&2; failed=1; }

# uses FILE: the modules of the crate that the code of FILE names, its tests and comments left out.
uses() {
  sed '/^#\[cfg(test)\]/,$d' "$1" | grep -v '^ *//' | grep -oE 'crate::(backend::[A-Za-z_]+|[A-Za-z_{]+)' | sed 's/^crate:://' | sort -u || true
}

# may FILE MODULES...: FILE names no modules but these.
may() {
  local file=$1 used; shift
  [ -f "$file" ] || return 0
  for used in $(uses "$file"); do
    case " $* " in *" $used "* | *" ${used%%::*}::* "*) ;; *) complain "$file must not use crate::$used" ;; esac
  done
}

# within DIR MODULES...: the same for every file below DIR.
within() {
  local dir=$1 file; shift
  while IFS= read -r file; do may "$file" "$@"; done < <(find "$dir" -name '*.rs' | sort)
}

# pure FILE: FILE decides; it neither waits nor looks at a clock.
pure() {
  [ -f "$1" ] || { complain "$1 is listed as pure, but is not there"; return 0; }
  if sed '/^#\[cfg(test)\]/,$d' "$1" | grep -v '^ *//' | grep -nE '\basync\b|\.await|Moment::now|tokio::' >&2; then
    complain "$1 must stay pure: no async, no clock, no socket"
  fi
}

leaves="error key lease time"
for leaf in $leaves template; do
  [ -f "$core/$leaf.rs" ] || [ -f "$core/$leaf/mod.rs" ] || complain "$core/$leaf is not there"
  # shellcheck disable=SC2086 # a list of words
  may "$core/$leaf.rs" $leaves
  [ ! -d "$core/$leaf" ] || within "$core/$leaf" $leaves
done
# shellcheck disable=SC2086
{
  may "$core/backend/mod.rs" $leaves testing conformance_suite
  may "$core/backend/wakeups.rs" $leaves
  may "$core/backend/expiring.rs" $leaves
  for backend in embedded redis zookeeper; do
    within "$core/backend/$backend" $leaves backend backend::{expiring,wakeups} "backend::$backend" \
      backend::{AcquireRequest,Backend,BackendFuture,Claim,Grant,LossSignal,Mode,Progress,RevokedFuture} ErrorKind
  done
  may "$core/acquisition.rs" $leaves backend
  may "$core/spans.rs" $leaves backend backend::Claim
  within "$core/renewal" $leaves backend backend::Backend acquisition
  may "$core/release.rs" $leaves backend
  within "$core/local" $leaves backend backend::{expiring,wakeups,embedded} manager testing conformance_suite \
    backend::{AcquireRequest,Backend,BackendFuture,Claim,Grant,LossSignal,Mode,Progress,RevokedFuture}
}

for file in "$core"/{local/lane,local/leaving,template,renewal/schedule,renewal/table,backend/expiring,backend/embedded/store}.rs \
  "$core"/backend/redis/{failure,keys,owner,recipe,servers/address,servers/slots,redlock/pauses,redlock/votes}.rs "$core"/backend/zookeeper/{dialect,path,pulse,recipe,sequence,write}.rs; do
  pure "$file"
done

# The crates around the core see its public face only.
if grep -rnE '__private' dlock-tower/src examples 2>/dev/null >&2; then
  complain "dlock-tower and the examples use dlock-core's public API only"
fi
if sed '/^\[dev-dependencies\]/,$d' dlock-macros/Cargo.toml | grep -n 'dlock-' | grep -vE 'name|description' >&2; then
  complain "dlock-macros depends on no crate of ours"
fi
if grep -n 'format!' "$core"/backend/redis/{calls,scripts}.rs >&2; then
  complain "scripts are constants: data goes into KEYS and ARGV"
fi

[ "$failed" = 0 ] && echo "layering: ok"
exit "$failed"
