//! The job that runs once, run as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../../program.rs"]
mod program;

use dlock_tests::shared_redis;

fn runs_once(arguments: &[&str]) -> String {
    let printed = program::succeeds(env!("CARGO_BIN_EXE_cron-once"), arguments);
    assert_eq!(printed.matches("the job ran 1 time").count(), 3, "{printed}");
    assert_eq!(printed.matches("DoneBefore for one that comes late").count(), 3, "{printed}");
    printed
}

#[test]
fn the_job_runs_once_and_the_others_skip_it() {
    let printed = runs_once(&[]);
    assert_eq!(printed.matches("[Ran, Skipped, Skipped]").count(), 3, "{printed}");
}

#[test]
fn the_job_runs_once_over_redis() {
    runs_once(&["--backend", &shared_redis().url()]);
}
