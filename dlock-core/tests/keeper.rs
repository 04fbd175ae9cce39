//! The library's thread sleeps while there is nothing for it to do.
//!
//! One test, for the count is of the whole process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests")]

use dlock_core::{EmbeddedBackend, LockManager};
use futures_executor::block_on;
use futures_util::future::join;
use std::path::PathBuf;
use std::{fs, thread};

const CYCLES: u32 = 10_000;
/// What a look now and then amounts to. If each lock woke the thread, there were thousands.
const FEW: u64 = 200;

/// The library's thread, which has its name once it runs.
fn keeper() -> PathBuf {
    let is_keeper = |task: &PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "dlock-keeper")
    };
    loop {
        let mut tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
        match tasks.find(is_keeper) {
            Some(keeper) => return keeper,
            None => thread::yield_now(),
        }
    }
}

/// How often the library's thread has gone to sleep.
fn sleeps() -> u64 {
    let status = fs::read_to_string(keeper().join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

async fn cycle(locks: &LockManager) {
    locks.lock("order:42").await.unwrap().release().await.unwrap();
}

/// A turn that the next one has to wait for.
async fn turn(locks: &LockManager) {
    let guard = locks.lock("order:42").await.unwrap();
    tokio::task::yield_now().await;
    guard.release().await.unwrap();
}

fn sleeps_during(work: impl Fn()) -> u64 {
    let before = sleeps();
    (0..CYCLES).for_each(|_| work());
    sleeps() - before
}

#[test]
fn locks_in_the_process_let_the_librarys_thread_sleep() {
    let locks = LockManager::builder(EmbeddedBackend::new()).build().unwrap();
    let uncontended = sleeps_during(|| block_on(cycle(&locks)));
    assert!(uncontended < FEW, "{uncontended}");
    let refused = {
        let _held = locks.lock("order:42").blocking_acquire().unwrap();
        sleeps_during(|| assert!(block_on(locks.lock("order:42").try_acquire()).unwrap().is_none()))
    };
    assert!(refused < FEW, "{refused}");
    let handed_on = sleeps_during(|| _ = block_on(join(turn(&locks), turn(&locks))));
    assert!(handed_on < FEW, "{handed_on}");
}
