#!/usr/bin/env bash
# Lets runtimes come and go under contention for an hour, or for as many seconds as the first argument says. What
# follows goes to the test program. The gate does the same for a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
export DLOCK_SOAK_SECONDS=${1:-3600}
exec cargo test -p dlock-tests --test keeper -- contention:: --nocapture "${@:2}"
