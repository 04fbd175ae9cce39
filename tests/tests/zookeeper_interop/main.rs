//! One directory, locked by us, by Curator and by kazoo: each excludes the others, and gives way to them. Every
//! client is a process of its own, ours too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

mod contention;
mod crashes;
mod directories;
mod names;
mod namespaces;
#[path = "../zookeeper/op_code.rs"]
#[allow(dead_code, reason = "of the other tests of ZooKeeper, which use all of it")]
mod op_code;
#[path = "../zookeeper/operator.rs"]
#[allow(dead_code, reason = "of the other tests of ZooKeeper, which use all of it")]
mod operator;
mod pairs;
mod queue;

use dlock_core::LockKey;
use dlock_tests::{ForeignClient, ZooKeeperKind, fresh_key, shared_zookeeper, wait_until_async};
use operator::Operator;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// A client that makes nodes with Curator's names.
fn dlock() -> ZooKeeperKind {
    ZooKeeperKind::Dlock(PathBuf::from(env!("CARGO_BIN_EXE_lock_in_zookeeper")), "curator")
}

/// A client that makes nodes with kazoo's names.
fn dlock_as_kazoo() -> ZooKeeperKind {
    ZooKeeperKind::Dlock(PathBuf::from(env!("CARGO_BIN_EXE_lock_in_zookeeper")), "kazoo")
}

async fn start(kind: ZooKeeperKind) -> ForeignClient {
    ForeignClient::in_zookeeper(kind, shared_zookeeper(), SESSION).await
}

/// The directory of a lock.
struct Directory {
    key: LockKey,
    operator: Operator,
}

impl Directory {
    fn new() -> Self {
        let key = LockKey::new(fresh_key("shared")).unwrap();
        Self { key, operator: Operator::of(shared_zookeeper()) }
    }

    /// One that stays when it is empty. A kazoo that makes its node just when the servers remove the directory fails.
    fn lasting() -> Self {
        let directory = Self::new();
        directory.operator.make(&directory.path());
        directory
    }

    fn key(&self) -> String {
        self.key.to_string()
    }

    fn path(&self) -> String {
        format!("/locks/{}", self.key)
    }

    fn nodes(&self) -> Vec<String> {
        self.operator.queue(&self.key)
    }

    async fn has(&self, count: usize) {
        wait_until_async(&format!("the queue has {count} nodes"), PATIENCE, async || {
            self.nodes().len() == count
        })
        .await;
    }
}

/// A number and a list of names in files, which no client locks by itself.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        std::fs::write(files.counter(), "0").unwrap();
        std::fs::write(files.journal(), "").unwrap();
        files
    }

    fn counter(&self) -> String {
        self.0.path().join("counter").display().to_string()
    }

    fn journal(&self) -> String {
        self.0.path().join("journal").display().to_string()
    }

    fn count(&self) -> usize {
        std::fs::read_to_string(self.counter()).unwrap().parse().unwrap()
    }

    fn names(&self) -> Vec<String> {
        std::fs::read_to_string(self.journal()).unwrap().lines().map(str::to_owned).collect()
    }
}

/// ZooKeeper knows no lease but the session.
const TTL: Duration = Duration::from_secs(60 * 60);
/// Outlasts every test.
const SESSION: Duration = Duration::from_secs(50);
const PATIENCE: Duration = Duration::from_secs(30);
