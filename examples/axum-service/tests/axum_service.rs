//! The axum service, run as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../../program.rs"]
mod program;

use dlock_tests::shared_redis;

fn loses_nothing(arguments: &[&str]) {
    let check = ["--check", "--listen", "127.0.0.1:0"];
    let printed = program::succeeds(env!("CARGO_BIN_EXE_axum-service"), &[&check, arguments].concat());
    for expected in ["none lost", "charged once", "one after the other", "the job is done"] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
}

#[test]
fn the_axum_service_loses_nothing() {
    loses_nothing(&[]);
}

#[test]
fn the_axum_service_loses_nothing_over_redis() {
    loses_nothing(&["--backend", &shared_redis().url()]);
}

#[test]
fn the_axum_service_finds_its_database_again() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("shop.db");
    for _ in 0..2 {
        loses_nothing(&["--database", database.to_str().unwrap()]);
    }
}
