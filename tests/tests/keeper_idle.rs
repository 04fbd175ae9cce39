//! What the keeper costs while there is nothing for it to do. Alone in its process, since each process has one keeper.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use dlock_core::{EmbeddedBackend, LockManager};
use dlock_tests::wait_until_async;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the keeper has gone to sleep, and with it how often it was woken. A thread names itself once it runs.
fn sleeps() -> Option<u64> {
    let keeper = threads().find(|thread| read(thread, "comm").trim_end() == "dlock-keeper")?;
    let status = read(&keeper, "status");
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    Some(count.trim().parse().unwrap())
}

fn threads() -> impl Iterator<Item = PathBuf> {
    fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path())
}

fn read(thread: &Path, file: &str) -> String {
    fs::read_to_string(thread.join(file)).unwrap_or_default()
}

/// The clock is the condition: a second in which nothing happens. What was begun may take a while to end.
async fn comes_to_rest() {
    wait_until_async("the keeper sleeps for a second", Duration::from_secs(30), async || {
        let before = sleeps();
        tokio::time::sleep(Duration::from_secs(1)).await;
        before.is_some() && sleeps() == before
    })
    .await;
}

#[tokio::test]
async fn the_keeper_sleeps_while_nothing_is_held_and_through_uncontended_locks() {
    // The last look at leases that were renewed is due after a third of the ttl.
    let locks = LockManager::builder(EmbeddedBackend::new()).ttl(Duration::from_secs(3)).build().unwrap();
    comes_to_rest().await;
    let before = sleeps();
    for _ in 0..1_000 {
        locks.lock("order:42").await.unwrap().release().await.unwrap();
    }
    let woken = sleeps().unwrap() - before.unwrap();
    assert!(woken < 10, "woken {woken} times by 1,000 locks");
    comes_to_rest().await;
}
