//! How many requests may wait.

use dlock_core::LockKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the requests that wait for their lock.
pub(crate) struct Room {
    per_key: usize,
    total: usize,
    counts: Mutex<Counts>,
    /// The total of `counts`, so that nobody needs those while nobody waits.
    waiting: AtomicUsize,
}

/// Invariant: `total` is the sum of `keys`, and none of those is zero.
#[derive(Debug, Default)]
struct Counts {
    total: usize,
    keys: HashMap<LockKey, usize>,
}

impl Room {
    pub(crate) const PER_KEY: usize = 64;
    pub(crate) const TOTAL: usize = 4_096;

    pub(crate) fn new(per_key: usize, total: usize) -> Self {
        let (per_key, total) = (per_key.max(1), total.max(1));
        Self { per_key, total, counts: Mutex::default(), waiting: AtomicUsize::new(0) }
    }

    /// Whether there is no place for one more request for `key` at the moment.
    pub(crate) fn is_full_for(&self, key: &LockKey) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0 && !self.counts().fits(key, self.per_key, self.total)
    }

    /// A place for one more request for `key`; `None` if there is none.
    pub(crate) fn enter(self: &Arc<Self>, key: &LockKey) -> Option<Place> {
        let mut counts = self.counts();
        counts.fits(key, self.per_key, self.total).then(|| {
            counts.enter(key);
            self.waiting.store(counts.total, Ordering::Relaxed);
            Place { room: Arc::clone(self), key: key.clone() }
        })
    }

    /// A panic elsewhere cannot leave the counts half changed.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
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

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.counts().total;
        write!(f, "{waiting} waiting, at most {} per key and {} in all", self.per_key, self.total)
    }
}

/// The place of one request, given back on drop.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    key: LockKey,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.room.counts();
        counts.leave(&self.key);
        self.room.waiting.store(counts.total, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> LockKey {
        LockKey::new(name).unwrap()
    }

    #[test]
    fn a_place_given_back_is_there_for_the_next_one() {
        let room = Arc::new(Room::new(2, 3));
        let first = room.enter(&key("a")).unwrap();
        let _second = room.enter(&key("a")).unwrap();
        assert!(room.is_full_for(&key("a")) && !room.is_full_for(&key("b")));
        assert!(room.enter(&key("a")).is_none(), "two is all for one key");
        drop(first);
        let _third = room.enter(&key("a")).unwrap();
        let _other = room.enter(&key("b")).unwrap();
        assert!(room.enter(&key("c")).is_none(), "three is all");
    }

    #[test]
    fn keys_that_nobody_waits_for_are_forgotten() {
        let room = Arc::new(Room::new(2, 3));
        drop((room.enter(&key("a")), room.enter(&key("a")), room.enter(&key("b"))));
        let counts = room.counts();
        assert_eq!((counts.total, counts.keys.len()), (0, 0));
    }

    #[test]
    fn there_is_room_for_one_at_least() {
        let room = Arc::new(Room::new(0, 0));
        assert!(room.enter(&key("a")).is_some());
    }
}
