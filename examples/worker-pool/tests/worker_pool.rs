//! The pool, run as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../../program.rs"]
mod program;

const POOL: &str = env!("CARGO_BIN_EXE_worker-pool");

#[test]
fn no_more_licences_are_used_than_there_are() {
    let printed = program::succeeds(POOL, &[]);
    assert!(
        printed.contains("12 pictures rendered, 3 dropped, at most 4 of 4 licences at once"),
        "{printed}"
    );
}

#[test]
fn a_url_that_is_none_is_refused() {
    let output = program::run(POOL, &["--backend", "ftp://127.0.0.1"]);
    assert!(!output.status.success(), "{}", program::printed(&output));
}
