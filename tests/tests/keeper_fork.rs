//! A process that forks after a manager was built: its child has the memory, and no thread of the library.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

use dlock_core::LockManager;
use dlock_tests::{fresh_key, shared_redis, shared_zookeeper};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(30);

/// The program `fork_with_lock`, running.
struct Forked {
    process: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Forked {
    fn start(url: &str, key: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fork_with_lock"));
        command.args([url, key]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, answers }
    }

    /// What it says next, unless it hangs.
    async fn hear(&mut self) -> String {
        timeout(LIMIT, self.answers.next_line()).await.expect("it hangs").unwrap().unwrap_or_default()
    }
}

async fn a_child_leaves_the_lock_alone(url: &str) {
    let key = fresh_key("forked");
    let mut forked = Forked::start(url, &key);
    assert_eq!(forked.hear().await, "memory guard dropped");
    let of_memory = forked.hear().await;
    assert_ne!(of_memory, "memory waits", "it can have no answer");
    assert_eq!(forked.hear().await, "memory manager dropped");
    assert_eq!(forked.hear().await, "server guard dropped");
    assert_eq!(forked.hear().await, "server NotConfigured");
    assert_eq!(forked.hear().await, "server manager dropped");
    assert_eq!(forked.hear().await, "valid true true", "after the child has ended");
    let others = LockManager::connect(url).await.unwrap();
    assert!(others.lock(key.as_str()).try_acquire().await.unwrap().is_none(), "it is held");
    drop(forked.process.stdin.take());
    assert_eq!(forked.hear().await, "released");
    assert!(others.lock(key.as_str()).try_acquire().await.unwrap().is_some());
    assert!(timeout(LIMIT, forked.process.wait()).await.unwrap().unwrap().success());
}

#[tokio::test]
async fn a_child_leaves_the_lock_in_redis_to_its_parent() {
    a_child_leaves_the_lock_alone(&shared_redis().url()).await;
}

#[tokio::test]
async fn a_child_leaves_the_lock_in_zookeeper_to_its_parent() {
    a_child_leaves_the_lock_alone(&format!("zookeeper://{}/locks", shared_zookeeper().hosts())).await;
}
