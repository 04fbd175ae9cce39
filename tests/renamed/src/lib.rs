//! dlock-core is called `locks` here, and there is no `dlock_core`. The edition is 2021: `gen` is a name.

use locks::{distributed_lock, LockError, LockManager};

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

/// A name that later editions keep for themselves, borrows, and a return type with `impl Trait`.
#[derive(Debug)]
pub struct Shelf {
    gen: u64,
}

impl Shelf {
    /// The generation behind this one.
    ///
    /// # Errors
    /// If the lock is not acquired.
    #[distributed_lock("shelf:{self.gen}/{gen}", crate = ::locks, locks = manager, guard = lock)]
    pub async fn next<'a>(
        &'a mut self,
        manager: &LockManager,
        gen: u64,
    ) -> Result<(&'a u64, impl Iterator<Item = u64> + 'a), LockError> {
        locks::assert_locked!("shelf:{self.gen}/{gen}");
        self.gen += gen;
        let token = lock.token().as_u64();
        Ok((&self.gen, std::iter::once(token)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn they_run() {
        let manager = LockManager::connect("memory:").await.unwrap();
        let first = settle(&manager, 42).await.unwrap();
        let mut shelf = Shelf { gen: 1 };
        let (gen, tokens) = shelf.next(&manager, 2).await.unwrap();
        assert_eq!(*gen, 3);
        assert!(tokens.eq([first + 1]), "the next grant of this store");
        assert_eq!(locks::with_locks(manager, touch("k")).await, Ok(()));
    }
}
