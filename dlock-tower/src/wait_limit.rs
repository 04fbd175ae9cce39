//! How many requests may wait.

use dlock_core::LockKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the requests that wait for their lock.
pub(crate) struct WaitLimit {
    per_key: usize,
    total: usize,
    counts: Mutex<WaitCounts>,
    /// The total of `counts`: while it is zero, a request need not look at those.
    waiting: AtomicUsize,
}

/// Invariant: `total` is the sum of `keys`, and each of those is at least one.
#[derive(Debug, Default)]
struct WaitCounts {
    total: usize,
    keys: HashMap<LockKey, usize>,
}

impl WaitLimit {
    pub(crate) const PER_KEY: usize = 64;
    pub(crate) const TOTAL: usize = 4_096;

    pub(crate) fn new(per_key: usize, total: usize) -> Self {
        let (per_key, total) = (per_key.max(1), total.max(1));
        Self { per_key, total, counts: Mutex::default(), waiting: AtomicUsize::new(0) }
    }

    /// Whether no slot is free for one more request for `key` at the moment.
    pub(crate) fn is_full_for(&self, key: &LockKey) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0 && !self.counts().fits(key, self.per_key, self.total)
    }

    /// A slot for one more request for `key`; `None` if none is free.
    pub(crate) fn take_slot(self: &Arc<Self>, key: &LockKey) -> Option<WaitSlot> {
        let mut counts = self.counts();
        counts.fits(key, self.per_key, self.total).then(|| {
            counts.enter(key);
            self.waiting.store(counts.total, Ordering::Relaxed);
            WaitSlot { limit: Arc::clone(self), key: key.clone() }
        })
    }

    /// A panic elsewhere cannot leave the counts half changed.
    fn counts(&self) -> MutexGuard<'_, WaitCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitCounts {
    fn fits(&self, key: &LockKey, per_key: usize, total: usize) -> bool {
        self.total < total && self.keys.get(key).is_none_or(|there| *there < per_key)
    }

    fn enter(&mut self, key: &LockKey) {
        self.total += 1;
        *self.keys.entry(key.clone()).or_default() += 1;
    }

    fn leave(&mut self, key: &LockKey) {
        self.total = self.total.saturating_sub(1);
        match self.keys.get_mut(key) {
            Some(there) if *there > 1 => *there -= 1,
            _ => drop(self.keys.remove(key)),
        }
    }
}

impl fmt::Debug for WaitLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.counts().total;
        write!(f, "{waiting} waiting, at most {} per key and {} in all", self.per_key, self.total)
    }
}

/// One request that waits, no longer counted once it is dropped.
#[derive(Debug)]
pub(crate) struct WaitSlot {
    limit: Arc<WaitLimit>,
    key: LockKey,
}

impl Drop for WaitSlot {
    fn drop(&mut self) {
        let mut counts = self.limit.counts();
        counts.leave(&self.key);
        self.limit.waiting.store(counts.total, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> LockKey {
        LockKey::new(name).unwrap()
    }

    #[test]
    fn a_slot_given_back_is_free_for_the_next_request() {
        let limit = Arc::new(WaitLimit::new(2, 3));
        let first = limit.take_slot(&key("a")).unwrap();
        let _second = limit.take_slot(&key("a")).unwrap();
        assert!(limit.is_full_for(&key("a")) && !limit.is_full_for(&key("b")));
        assert!(limit.take_slot(&key("a")).is_none(), "two is all for one key");
        drop(first);
        let _third = limit.take_slot(&key("a")).unwrap();
        let _other = limit.take_slot(&key("b")).unwrap();
        assert!(limit.take_slot(&key("c")).is_none(), "three is all");
    }

    #[test]
    fn keys_without_waiting_requests_are_forgotten() {
        let limit = Arc::new(WaitLimit::new(2, 3));
        drop((limit.take_slot(&key("a")), limit.take_slot(&key("a")), limit.take_slot(&key("b"))));
        let counts = limit.counts();
        assert_eq!((counts.total, counts.keys.len()), (0, 0));
    }

    #[test]
    fn one_request_may_always_wait() {
        let limit = Arc::new(WaitLimit::new(0, 0));
        assert!(limit.take_slot(&key("a")).is_some());
    }
}
