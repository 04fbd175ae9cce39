//! The gRPC service, run as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../../program.rs"]
mod program;

use dlock_tests::shared_redis;

fn loses_nothing(arguments: &[&str]) {
    let printed = program::succeeds(env!("CARGO_BIN_EXE_grpc-service"), arguments);
    for expected in ["40 in all, none lost", "Aborted", "retry-after", "InvalidArgument"] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
}

#[test]
fn the_grpc_service_loses_nothing() {
    loses_nothing(&[]);
}

#[test]
fn the_grpc_service_loses_nothing_over_redis() {
    loses_nothing(&["--backend", &shared_redis().url()]);
}
