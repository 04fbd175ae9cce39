#!/usr/bin/env bash
# Runs all tests of Redis over every server with its protocol: the installed one, Redis 6.2 and 8.2, and Valkey 9.1. In
# every run of all tests it is a part of that. Says at its end what a server cannot do.
set -euo pipefail
cd "$(dirname "$0")/.."
export DLOCK_TEST_SERVERS=all
exec scripts/test.sh -p dlock-tests --locked --test conformance --test harness_redis --test redis --test redis_scripts \
  --test redlock --test reference
