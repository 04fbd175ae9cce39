//! dlock-core is called `locks` here, and there is no `dlock_core`.

use locks::{LockError, LockManager, distributed_lock};

/// Every option whose code names dlock-core.
///
/// # Errors
/// If the lock is not acquired.
#[distributed_lock("order:{id}", crate = ::locks, locks = manager, wait = "0s", ttl = "5s", guard = lock, on_busy = Ok(0))]
pub async fn settle(manager: &LockManager, id: u64) -> Result<u64, LockError> {
    locks::assert_locked!("order:{id}");
    Ok(lock.token().as_u64())
}

/// The others.
///
/// # Errors
/// If the lock is not acquired.
#[distributed_lock(key = key, crate = ::locks, on_lost = "finish", release = "detach", map_err = |error| error.to_string())]
pub async fn touch(key: &str) -> Result<(), String> {
    locks::assert_locked!(key);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn they_run() {
        let manager = LockManager::connect("memory:").await.unwrap();
        assert_eq!(settle(&manager, 42).await.unwrap(), 1);
        assert_eq!(locks::with_locks(manager, touch("k")).await, Ok(()));
    }
}
