//! The quick start, run as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../../program.rs"]
mod program;

#[test]
fn the_quick_start_runs() {
    let printed = program::succeeds(env!("CARGO_BIN_EXE_quickstart"), &[]);
    assert!(printed.contains("order 42 is paid"), "{printed}");
}
