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
fn the_red_packet_is_exact_with_locks_and_overdrawn_without() {
    let line = exact(&["--grabs", "400", "--connections", "64"]);
    let told: [(_, Value); 6] = [
        ("backend", "memory".into()),
        ("servers", 4.into()),
        ("grabs", 400.into()),
        ("stripes", 16.into()),
        ("shares", 200.into()),
        ("total_cents", 1_000_000.into()),
    ];
    for (name, value) in told {
        assert_eq!(line[name], value, "{name}: {line}");
    }
    assert_eq!((&line["exact_locked"], &line["paid_cents_locked"]), (&true.into(), &1_000_000.into()));
    assert_eq!((&line["exact_striped"], &line["paid_cents_striped"]), (&true.into(), &1_000_000.into()));
    assert_eq!(line["exact_unlocked"], false, "the check can fail");
    assert!(line["paid_cents_unlocked"].as_i64().unwrap() > 1_000_000, "the race is real: {line}");
    assert_eq!(line["stale_writes_refused"], 0);
    for rate in ["grabs_per_s", "grabs_per_s_unlocked", "grabs_per_s_striped"] {
        assert!(line[rate].as_f64().unwrap() > 0.0, "{rate}: {line}");
    }
}

#[test]
fn a_packet_in_stripes_is_exact_however_many_there_are() {
    for (stripes, grabs, shares) in [("1", "200", 100), ("3", "200", 100), ("100", "200", 100)] {
        let line = exact(&["--stripes", stripes, "--grabs", grabs, "--connections", "64"]);
        assert_eq!((&line["exact_striped"], &line["shares"]), (&true.into(), &shares.into()), "{line}");
    }
}

#[test]
fn a_packet_with_more_stripes_than_shares_is_exact() {
    for (stripes, grabs, shares) in [("16", "1", 1), ("16", "2", 1), ("64", "40", 20), ("1000", "199", 99)] {
        let line = exact(&["--stripes", stripes, "--grabs", grabs]);
        assert_eq!((&line["exact_striped"], &line["shares"]), (&true.into(), &shares.into()), "{line}");
    }
}

#[test]
fn the_red_packet_is_exact_although_servers_die() {
    let line = exact(&["--grabs", "400", "--connections", "64", "--ttl", "500ms", "--kill"]);
    assert_eq!((&line["exact_locked"], &line["exact_striped"]), (&true.into(), &true.into()), "{line}");
}

#[test]
fn the_table_has_three_columns_and_says_what_bounds_them() {
    let printed = program::succeeds(RED_PACKET, &["--grabs", "400", "--connections", "64", "--stripes", "8"]);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = printed.lines().map(words).collect();
    for row in ["no lock one lock 8 stripes", "exact to the cent NO yes yes", "grabs at work at once 64 1 8"]
    {
        assert!(lines.iter().any(|line| line == row), "{row}: {printed}");
    }
    assert!(printed.contains("grabs a second through at most"), "{printed}");
}

#[test]
fn bad_input_is_told_and_is_status_two() {
    let wrong = [
        (&["--backend", "mysql://user:secret@host/"][..], "redis://HOST:PORT"),
        (&["--servers", "0"], "--servers"),
        (&["--stripes", "0"], "--stripes"),
        (&["--stripes", "1001"], "--stripes"),
        (&["--stripes", "many"], "--stripes"),
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
