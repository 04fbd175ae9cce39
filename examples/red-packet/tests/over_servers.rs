//! The red packet with its locks on a server, run as a user runs it: real server processes, one of them killed with
//! SIGKILL while it holds a lock.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on must fail")]

#[path = "../../program.rs"]
mod program;

use dlock_tests::{shared_redis, shared_zookeeper};
use serde_json::Value;

const RED_PACKET: &str = env!("CARGO_BIN_EXE_red-packet");

fn is_exact_on(backend: &str, name: &str) {
    let few = ["--backend", backend, "--grabs", "300", "--connections", "48", "--ttl", "1s", "--json"];
    for arguments in [&few[..], &[&few[..], &["--kill"]].concat()] {
        let line: Value = serde_json::from_str(&program::succeeds(RED_PACKET, arguments)).unwrap();
        assert_eq!(line["backend"], name);
        assert_eq!((&line["exact_locked"], &line["exact_striped"]), (&true.into(), &true.into()), "{line}");
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
fn a_server_that_does_not_answer_is_told_without_its_password() {
    let output = program::run(RED_PACKET, &["--backend", "redis://:secret@127.0.0.1:1"]);
    let printed = program::printed(&output);
    assert_eq!(output.status.code(), Some(2), "{printed}");
    assert!(printed.contains("cannot connect") && !printed.contains("secret"), "{printed}");
}
