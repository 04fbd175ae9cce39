//! The workspace is built as it should be, and each kind of fault in its structure is noticed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use dlock_structure::{broken_links, complaints, complaints_about_words};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// A copy of the sources, with `line` put before the first item of each of these files.
fn with_lines(lines: &[(&str, &str)]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["dlock-core", "dlock-tower", "dlock-macros"] {
        copy_tree(&workspace().join(name).join("src"), &copy.path().join(name).join("src"));
    }
    for (file, line) in lines {
        let file = copy.path().join(file);
        let text = fs::read_to_string(&file).unwrap();
        let (docs, code): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("//!"));
        fs::write(&file, format!("{}\n{line}\n{}\n", docs.join("\n"), code.join("\n"))).unwrap();
    }
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

fn complaints_about(lines: &[(&str, &str)]) -> String {
    complaints(with_lines(lines).path()).unwrap().join("\n")
}

#[test]
fn the_workspace_is_in_order() {
    assert_eq!(complaints(&workspace()).unwrap().join("\n"), "");
}

#[test]
fn a_harmless_line_passes() {
    assert_eq!(
        complaints_about(&[("dlock-core/src/key/validation.rs", "use crate::error::Operation as _;")]),
        ""
    );
}

#[test]
fn wrong_arrows_are_noticed() {
    let wrong = [
        ("key/lock_key.rs", "use crate::manager::LockManager;", "LockManager of manager.rs"),
        ("backend/claim.rs", "use crate::LockGuard;", "LockGuard of guard.rs"),
        (
            "backend/redis/backend.rs",
            "use crate::backend::zookeeper::ZooKeeperBackend;",
            "ZooKeeperBackend of backend/zookeeper/backend.rs",
        ),
        ("backend/embedded/mod.rs", "use crate::renewal::Renewal;", "Renewal of renewal/mod.rs"),
        (
            "backend/zookeeper/session/requests.rs",
            "use crate::EmbeddedBackend;",
            "EmbeddedBackend of backend/embedded/mod.rs",
        ),
        ("renewal/mod.rs", "use crate::shared::Shared;", "Shared of shared.rs"),
        ("hand_over/mod.rs", "use crate::renewal::Renewal;", "Renewal of renewal/mod.rs"),
        (
            "release.rs",
            "fn hidden() { println!(\"{:?}\", crate::guard::LockGuard::key); }",
            "key of guard.rs",
        ),
    ];
    let files = wrong.map(|(file, ..)| format!("dlock-core/src/{file}"));
    let lines: Vec<_> = files.iter().zip(wrong).map(|(file, (_, line, _))| (file.as_str(), line)).collect();
    let complaints = complaints_about(&lines);
    for (file, _, used) in wrong {
        assert!(complaints.contains(&format!("{file} must not use {used}")), "{file}: {complaints}");
    }
}

#[test]
fn a_circle_of_files_is_noticed_in_each_crate() {
    for (file, line, circle) in [
        (
            "dlock-core/src/backend/redis/servers/address.rs",
            "use super::slots::SlotMap;",
            "dlock-core: a circle of backend/redis/servers/address.rs, backend/redis/servers/slots.rs",
        ),
        (
            "dlock-core/src/scope.rs",
            "use crate::guard::LockGuard;",
            "dlock-core: a circle of guard.rs, scope.rs",
        ),
        (
            "dlock-core/src/scope.rs",
            "fn hidden() { println!(\"{:?}\", crate::LockManager::installed()); }",
            "manager.rs, request.rs, scope.rs",
        ),
        ("dlock-macros/src/errors.rs", "use crate::args::Args;", "dlock-macros: a circle of args.rs"),
    ] {
        let complaints = complaints_about(&[(file, line)]);
        assert!(complaints.contains(circle), "{file}: {line}: {complaints}");
    }
}

#[test]
fn a_file_that_waits_or_looks_at_the_clock_is_not_pure() {
    let impure = [
        ("dlock-core/src/renewal/schedule.rs", "async fn wait() {}"),
        ("dlock-core/src/renewal/table.rs", "fn wait() { let _ = async {}; }"),
        ("dlock-core/src/backend/redis/keys.rs", "fn now() { crate::time::Moment::now(); }"),
        ("dlock-core/src/hand_over/queue.rs", "use tokio::sync::Notify;"),
    ];
    let complaints = complaints_about(&impure);
    for (file, _) in impure {
        let file = file.trim_start_matches("dlock-core/src/");
        assert!(complaints.contains(&format!("{file} must stay pure")), "{file}: {complaints}");
    }
}

#[test]
fn names_given_to_many_types_are_noticed() {
    let types: Vec<_> = (0..20).map(|number| format!("mod copy_{number} {{ pub struct Turn; }}")).collect();
    let complaints = complaints_about(&[("dlock-core/src/time/moment.rs", &types.join("\n"))]);
    assert!(
        complaints.contains("share their name") && complaints.contains("Turn (time/moment.rs"),
        "{complaints}"
    );
}

#[test]
fn texts_made_at_run_time_and_private_names_are_noticed() {
    for (file, line, complaint) in [
        (
            "dlock-core/src/backend/redis/scripts.rs",
            "fn text(key: &str) -> String { format!(\"{key}\") }",
            "format!",
        ),
        ("dlock-tower/src/locked.rs", "use dlock_core::__private::run;", "public API"),
    ] {
        let complaints = complaints_about(&[(file, line)]);
        assert!(complaints.contains(complaint), "{file}: {line}: {complaints}");
    }
}

/// The crates that `package` brings with it.
fn brought(package: &str, features: &str) -> String {
    let arguments =
        ["tree", "-p", package, "-e", "normal", "--prefix", "none", "--locked", "--features", features];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(workspace()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn brings(package: &str, features: &str, dependency: &str) -> bool {
    brought(package, features).lines().skip(1).any(|line| line.starts_with(dependency))
}

#[test]
fn the_layer_brings_a_framework_only_with_its_feature() {
    for framework in ["axum", "tonic", "hyper", "tower v"] {
        assert!(!brings("dlock-tower", "", framework), "{framework}");
    }
    assert!(brings("dlock-tower", "axum", "axum v") && !brings("dlock-tower", "axum", "tonic"));
    assert!(brings("dlock-tower", "tonic", "tonic v"));
}

#[test]
fn the_macros_bring_no_crate_of_ours() {
    assert!(!brings("dlock-macros", "", "dlock-"));
}

#[test]
fn the_english_of_comments_and_documents_is_plain() {
    assert_eq!(complaints_about_words(&workspace()).unwrap().join("\n"), "");
}

/// A page of translated English turns the check red, wherever it is.
#[test]
fn a_page_of_translated_english_is_noticed() {
    let page = "Nobody has the lock, and who asks for it is told so by whoever had it.\n".repeat(3);
    for name in ["README.md", "dlock-core/src/page.rs", "docs/page.md"] {
        let copy = tempfile::tempdir().unwrap();
        let file = copy.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let text = if name.ends_with(".rs") { page.replace("Nobody", "//! Nobody") } else { page.clone() };
        fs::write(&file, text).unwrap();
        let complaints = complaints_about_words(copy.path()).unwrap();
        assert!(complaints.len() == 1 && complaints[0].contains(name), "{name}: {complaints:?}");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    assert_eq!(broken_links(&workspace()).unwrap(), Vec::<String>::new());
}
