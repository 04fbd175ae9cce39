//! The layering check lets this tree pass, and notices each kind of wrong arrow.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The check's verdict on the tree at `root`, and what it says.
fn check(root: &Path) -> (bool, String) {
    let output =
        Command::new("bash").arg(workspace().join("scripts/layering.sh")).arg(root).output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// A copy of what the check reads, with `line` put before the first line of `file`.
fn with_line(file: &str, line: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for part in ["dlock-core/src", "dlock-tower/src", "dlock-macros", "examples"] {
        copy_tree(&workspace().join(part), &copy.path().join(part));
    }
    let file = copy.path().join(file);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{line}\n{text}")).unwrap();
    copy
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.is_dir() {
            copy_tree(&entry, &to);
        } else {
            fs::copy(&entry, &to).unwrap();
        }
    }
}

#[test]
fn this_tree_is_layered() {
    let (passed, complaints) = check(&workspace());
    assert!(passed, "{complaints}");
}

#[test]
fn a_line_that_harms_nothing_passes() {
    let copy = with_line("dlock-core/src/key.rs", "use crate::error::ErrorKind as _Kind;");
    let (passed, complaints) = check(copy.path());
    assert!(passed, "{complaints}");
}

#[test]
fn wrong_arrows_are_noticed() {
    let wrong = [
        ("dlock-core/src/key.rs", "use crate::manager::LockManager;"),
        ("dlock-core/src/backend/mod.rs", "use crate::guard::LockGuard;"),
        ("dlock-core/src/backend/redis/mod.rs", "use crate::backend::zookeeper::ZooKeeperBackend;"),
        ("dlock-core/src/backend/embedded/mod.rs", "use crate::renewal::Renewal;"),
        ("dlock-core/src/backend/zookeeper/session.rs", "use crate::EmbeddedBackend;"),
        ("dlock-core/src/renewal/mod.rs", "use crate::release::until_gone;"),
        ("dlock-core/src/release.rs", "use crate::renewal::Renewal;"),
        ("dlock-core/src/renewal/schedule.rs", "async fn wait() {}"),
        ("dlock-core/src/backend/redis/keys.rs", "fn now() { crate::time::Moment::now(); }"),
        ("dlock-tower/src/layer.rs", "use dlock_core::__private::run;"),
        ("dlock-macros/Cargo.toml", "dlock-core.workspace = true"),
        ("dlock-core/src/backend/redis/scripts.rs", "fn text(key: &str) -> String { format!(\"{key}\") }"),
    ];
    for (file, line) in wrong {
        let copy = with_line(file, line);
        let (passed, complaints) = check(copy.path());
        assert!(!passed && complaints.contains("layering:"), "{file}: {line}");
    }
}

/// The crates that `dlock-tower` brings with it, with these features.
fn brought(features: &str) -> String {
    let arguments =
        ["tree", "-p", "dlock-tower", "-e", "normal", "--prefix", "none", "--locked", "--features"];
    let output = Command::new(env!("CARGO")).args(arguments).arg(features).current_dir(workspace()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_layer_brings_a_framework_only_with_its_feature() {
    let brings =
        |features, framework: &str| brought(features).lines().any(|line| line.starts_with(framework));
    for framework in ["axum", "tonic", "hyper", "tower v"] {
        assert!(!brings("", framework), "{framework}");
    }
    assert!(brings("axum", "axum v") && !brings("axum", "tonic"));
    assert!(brings("tonic", "tonic v"));
}
