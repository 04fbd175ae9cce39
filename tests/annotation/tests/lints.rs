//! Generated code gives no warnings where the strictest lints are on. Compiling this is the test.
#![deny(warnings, clippy::pedantic, clippy::nursery, missing_docs, unused_qualifications, unused_results)]

use dlock_core::{LockError, LockManager, distributed_lock};
use std::time::Duration;

/// What is locked.
#[derive(Debug)]
pub struct Order {
    id: u64,
}

impl Order {
    /// Every option, and a parameter that only the key names.
    ///
    /// # Errors
    /// If the lock is not acquired.
    #[distributed_lock(
        "order:{self.id}/{part}",
        ttl = "30s",
        wait = Duration::from_secs(2),
        locks = locks,
        guard = lock
    )]
    pub async fn settle(
        &mut self,
        locks: &LockManager,
        part: &str,
        _reason: String,
    ) -> Result<u64, LockError> {
        tokio::task::yield_now().await;
        self.id += lock.token().as_u64();
        Ok(self.id)
    }
}

/// The installed manager, and an output that is a unit.
///
/// # Errors
/// If the lock is not acquired.
#[distributed_lock("nightly")]
pub async fn nightly() -> Result<(), LockError> {
    tokio::task::yield_now().await;
    Ok(())
}

/// The other options.
///
/// # Errors
/// If the lock is not acquired.
#[distributed_lock(
    key = key,
    locks = locks,
    on_busy = Ok(0),
    map_err = |error| error.to_string(),
    on_lost = "finish",
    release = "detach"
)]
pub async fn touch(locks: &LockManager, key: &str) -> Result<usize, String> {
    tokio::task::yield_now().await;
    dlock_core::assert_locked!("{key}");
    Ok(key.len())
}

/// A body of one line, whose braces are needed.
///
/// # Errors
/// If the lock is not acquired.
#[distributed_lock("order:{id}", locks = locks)]
#[rustfmt::skip]
pub async fn one_line(locks: &LockManager, id: u64) -> Result<u64, LockError> { Ok(id) }

#[tokio::test]
async fn they_run() -> Result<(), LockError> {
    let locks = LockManager::connect("memory:").await?;
    assert!(Order { id: 1 }.settle(&locks, "all", String::new()).await? > 1);
    assert!(nightly().await.is_err());
    assert_eq!(one_line(&locks, 7).await?, 7);
    assert_eq!(touch(&locks, "k").await, Ok(1));
    Ok(())
}
