"""Which tests run over which servers with Redis's protocol.

Tests run over the installed server, and a few name a different one. Beside that, some test programs run once more over each
server below. DLOCK_TEST_SERVERS=all has them run whole: `scripts/matrix.sh` does so.
"""

import os

# As `scripts/servers.sh` and the harness (`RedisKind`) call them.
SERVERS = ["redis-6.2", "redis-8.2", "valkey-9.1"]

# What a program runs over each server, as arguments of it: of the promises all, of the scripts the comparison with the
# model, and the refusals.
EVERY_TIME = {
    "dlock-tests: conformance": ["redis", "redlock", "--skip", "cluster"],
    "dlock-tests: redis_scripts": ["--skip", "broken::"],
    "dlock-tests: redis": ["refusals::"],
}

# The same for the whole matrix. The tests in `kinds` name their servers themselves.
WHOLE = {
    "dlock-tests: conformance": ["redis", "redlock"],
    "dlock-tests: harness_redis": [],
    "dlock-tests: redis": ["--skip", "kinds::"],
    "dlock-tests: redis_scripts": [],
    "dlock-tests: redlock": [],
    "dlock-tests: reference": ["redis"],
}

# What a server cannot do: words in the names of tests, and why.
CANNOT = {
    "redis-6.2": {
        "cluster": "dlock needs Redis 7.0 for a cluster, because of shard channels",
        "half_open::every_connection_is_probed": "the test has a cluster as well, and that needs Redis 7.0",
        "a_primary_without_its_replicas_is_unavailable": "it lets scripts write without the replicas it demands",
        "every_step_outlasts_loading": "it takes no order while it loads that would end the loading",
        "start::a_build_waits_for_a_server_that_is_down_and_then_loads": "it answers only once in 2 MB while it loads",
        "start::a_primary_that_loads_is_waited_for_behind_sentinels": "it answers only once in 2 MB while it loads",
        "start::connecting_by_a_url_waits_as_well": "it answers only once in 2 MB while it loads",
        "a_hand_off_asks_for_subscribers_only_where_a_monitor_is": "it does not count parts of PUBSUB apart",
    },
}


def further_runs(name, program):
    """The runs of a test program over the servers that it does not run over by itself."""
    if len(program["args"]) > 1 or "DLOCK_REDIS_KIND" in program["env"]:
        return []
    tests = (WHOLE if whole() else EVERY_TIME).get(name)
    return [] if tests is None else [over(server, tests, program) for server in SERVERS]


def whole():
    return os.environ.get("DLOCK_TEST_SERVERS") == "all"


def over(server, tests, program):
    skipped = [word for test in CANNOT.get(server, {}) for word in ["--skip", test]]
    return {
        **program,
        "args": [*program["args"], *tests, *skipped],
        "env": {**program["env"], "DLOCK_REDIS_KIND": server},
    }


def server_of(program):
    """The server that a test program was told to run over, if any."""
    return program["env"].get("DLOCK_REDIS_KIND")


def left_out(servers):
    """A line for each kind of test that cannot run over one of these servers."""
    return [
        f"not over {server}: {test} ({reason})"
        for server in SERVERS
        if server in servers
        for test, reason in CANNOT.get(server, {}).items()
    ]
