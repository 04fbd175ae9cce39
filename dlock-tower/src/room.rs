//! How many requests may wait.

use dlock_core::LockKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the requests that have asked for their lock and do not have it yet.
pub(crate) struct Room {
    per_key: usize,
    total: usize,
    counts: Mutex<Counts>,
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
        Self { per_key: per_key.max(1), total: total.max(1), counts: Mutex::default() }
    }

    /// A place for one more request for `key`; `None` if there is no room for it.
    pub(crate) fn enter(self: &Arc<Self>, key: &LockKey) -> Option<Place> {
        self.counts()
            .enter(key, self.per_key, self.total)
            .then(|| Place { room: self.clone(), key: key.clone() })
    }

    /// A panic elsewhere cannot leave the counts half changed.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn enter(&mut self, key: &LockKey, per_key: usize, total: usize) -> bool {
        let there = self.keys.get(key).copied().unwrap_or(0);
        let fits = self.total < total && there < per_key;
        if fits {
            self.total += 1;
            self.keys.insert(key.clone(), there + 1);
        }
        fits
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
        self.room.counts().leave(&self.key);
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
