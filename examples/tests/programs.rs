//! The examples, run as a user runs them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on must fail")]

use dlock_tests::{shared_redis, shared_zookeeper};
use serde_json::Value;
use std::process::{Command, Output};

fn red_packet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_red-packet")).args(arguments).output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn last_line(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn the_red_packet_is_exact_with_the_lock_and_overdrawn_without() {
    let output = red_packet(&["--grabs", "400", "--connections", "64", "--json"]);
    assert!(output.status.success(), "{}", told(&output));
    let line = last_line(&output);
    assert_eq!(
        (&line["backend"], &line["servers"], &line["grabs"]),
        (&"memory".into(), &4.into(), &400.into())
    );
    assert_eq!(line["total_cents"], 1_000_000);
    assert_eq!(line["paid_cents_locked"], 1_000_000);
    assert!(line["paid_cents_unlocked"].as_i64().unwrap() > 1_000_000, "the race is real: {line}");
    assert_eq!(line["stale_writes_refused"], 0);
    assert!(line["grabs_per_s"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_red_packet_is_exact_although_a_server_dies() {
    let output = red_packet(&["--grabs", "400", "--connections", "64", "--ttl", "500ms", "--kill", "--json"]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(last_line(&output)["paid_cents_locked"], 1_000_000);
}

/// Real server processes, one of them killed with SIGKILL while it holds the lock.
fn is_exact_on(backend: &str, name: &str) {
    let few = ["--backend", backend, "--grabs", "300", "--connections", "48", "--ttl", "1s", "--json"];
    for arguments in [&few[..], &[&few[..], &["--kill"]].concat()] {
        let output = red_packet(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", told(&output));
        let line = last_line(&output);
        assert_eq!((&line["backend"], &line["paid_cents_locked"]), (&name.into(), &1_000_000.into()));
        assert!(line["paid_cents_unlocked"].as_i64().unwrap() > 1_000_000, "the race is real: {line}");
    }
}

#[test]
fn the_red_packet_is_exact_over_redis() {
    is_exact_on(&shared_redis().url(), "redis");
}

#[test]
fn the_red_packet_is_exact_over_zookeeper() {
    is_exact_on(&format!("zookeeper://{}/locks", shared_zookeeper().hosts()), "zookeeper");
}

#[test]
fn bad_input_is_told_and_is_status_two() {
    let wrong = [
        (&["--backend", "mysql://user:secret@host/"][..], "redis://HOST:PORT"),
        (&["--backend", "redis://:secret@127.0.0.1:1"], "cannot connect"),
        (&["--servers", "0"], "--servers"),
        (&["--ttl", "2"], "500ms"),
        (&["--colour"], "--colour"),
    ];
    for (arguments, expected) in wrong {
        let output = red_packet(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", told(&output));
        assert!(told(&output).contains(expected), "{arguments:?}: {}", told(&output));
        assert!(!told(&output).contains("secret"), "{}", told(&output));
    }
}

#[test]
fn the_quick_start_runs() {
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart")).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(told(&output).contains("order 42 is paid"), "{}", told(&output));
}

fn axum_service(arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_axum-service"));
    let output = command.args(["--check", "--listen", "127.0.0.1:0"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    for expected in ["none lost", "charged once", "one after the other", "the job is done"] {
        assert!(told(&output).contains(expected), "{expected}: {}", told(&output));
    }
}

#[test]
fn the_axum_service_loses_nothing() {
    axum_service(&[]);
}

#[test]
fn the_axum_service_loses_nothing_over_redis() {
    axum_service(&["--backend", &shared_redis().url()]);
}

#[test]
fn the_axum_service_finds_its_database_again() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("shop.db");
    for _ in 0..2 {
        axum_service(&["--database", database.to_str().unwrap()]);
    }
}

fn grpc_service(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_grpc-service")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    for expected in ["40 in all, none lost", "Aborted", "retry-after", "InvalidArgument"] {
        assert!(told(&output).contains(expected), "{expected}: {}", told(&output));
    }
}

#[test]
fn the_grpc_service_loses_nothing() {
    grpc_service(&[]);
}

#[test]
fn the_grpc_service_loses_nothing_over_redis() {
    grpc_service(&["--backend", &shared_redis().url()]);
}

fn cron_once(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_cron-once")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let told = told(&output);
    assert_eq!(told.matches("the job ran 1 time").count(), 3, "{told}");
    assert_eq!(told.matches("DoneBefore for one that comes late").count(), 3, "{told}");
    told
}

#[test]
fn the_job_runs_once_and_the_others_skip_it() {
    let told = cron_once(&[]);
    assert_eq!(told.matches("[Ran, Skipped, Skipped]").count(), 3, "{told}");
}

#[test]
fn the_job_runs_once_over_redis() {
    cron_once(&["--backend", &shared_redis().url()]);
}
