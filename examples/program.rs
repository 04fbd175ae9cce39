//! Runs an example as a user runs it. A part of the tests of each example.

use std::process::{Command, Output};

/// What the program at `path` printed on standard output. It has to succeed.
pub(crate) fn succeeds(path: &str, arguments: &[&str]) -> String {
    let output = run(path, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program at `path` to its end.
pub(crate) fn run(path: &str, arguments: &[&str]) -> Output {
    Command::new(path).args(arguments).output().unwrap()
}

/// The standard output, and after it the standard error.
pub(crate) fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
