//! The red packet with its locks in memory, run as a user runs it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on must fail")]

#[path = "../../program.rs"]
mod program;

use program::printed;
use serde_json::Value;
use std::process::Command;

const RED_PACKET: &str = env!("CARGO_BIN_EXE_red-packet");

/// The line of JSON of a run that was exact.
fn exact(arguments: &[&str]) -> Value {
    let printed = program::succeeds(RED_PACKET, &[arguments, &["--json"]].concat());
    serde_json::from_str(&printed).unwrap()
}

#[test]
fn the_red_packet_is_exact_with_the_lock_and_overdrawn_without() {
    let line = exact(&["--grabs", "400", "--connections", "64"]);
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
    let line = exact(&["--grabs", "400", "--connections", "64", "--ttl", "500ms", "--kill"]);
    assert_eq!(line["paid_cents_locked"], 1_000_000);
}

#[test]
fn bad_input_is_told_and_is_status_two() {
    let wrong = [
        (&["--backend", "mysql://user:secret@host/"][..], "redis://HOST:PORT"),
        (&["--servers", "0"], "--servers"),
        (&["--ttl", "2"], "500ms"),
        (&["--colour"], "--colour"),
    ];
    for (arguments, expected) in wrong {
        let output = program::run(RED_PACKET, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", printed(&output));
        assert!(printed(&output).contains(expected), "{arguments:?}: {}", printed(&output));
        assert!(!printed(&output).contains("secret"), "{}", printed(&output));
    }
}

/// The first command of the README is to compile in a short time.
#[test]
fn the_first_command_compiles_what_it_uses_and_nothing_else() {
    let arguments = ["tree", "-p", "red-packet", "-e", "normal,build", "--prefix", "none", "--locked"];
    let output = Command::new(env!("CARGO")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", printed(&output));
    let crates = String::from_utf8(output.stdout).unwrap();
    assert!(crates.contains("rusqlite v"), "{crates}");
    for unused in ["redis", "zookeeper-client", "tonic", "prost", "rustls", "h2", "dlock-macros"] {
        let brings = crates.lines().any(|line| line.starts_with(&format!("{unused} v")));
        assert!(!brings, "{unused}: {crates}");
    }
}
