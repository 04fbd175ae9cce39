//! What a process remembers of owners, until it is of no use. Plain data.

use crate::lease::OwnerId;
use crate::time::Moment;
use foldhash::HashMap;

/// Something for each owner, until it is removed; or until a moment, for owners whose end is never confirmed.
#[derive(Debug)]
pub(crate) struct ExpiringMap<T> {
    by_owner: HashMap<OwnerId, Remembered<T>>,
    /// At this size those whose moment has passed are looked for.
    sweep_at: usize,
}

#[derive(Debug)]
struct Remembered<T> {
    what: T,
    until: Moment,
}

const SMALLEST_SWEEP: usize = 64;

impl<T> Default for ExpiringMap<T> {
    fn default() -> Self {
        Self { by_owner: HashMap::default(), sweep_at: SMALLEST_SWEEP }
    }
}

impl<T> ExpiringMap<T> {
    pub(crate) fn get(&self, owner: OwnerId) -> Option<&T> {
        self.by_owner.get(&owner).map(|entry| &entry.what)
    }

    pub(crate) fn get_mut(&mut self, owner: OwnerId) -> Option<&mut T> {
        self.by_owner.get_mut(&owner).map(|entry| &mut entry.what)
    }

    /// Remembers `what` of an owner, until `until` if it is not removed.
    pub(crate) fn set(&mut self, owner: OwnerId, what: T, until: Moment, now: Moment) {
        if self.len() >= self.sweep_at {
            self.sweep(now);
        }
        self.by_owner.insert(owner, Remembered { what, until });
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.by_owner.len()
    }

    pub(crate) fn remove(&mut self, owner: OwnerId) -> Option<T> {
        self.by_owner.remove(&owner).map(|entry| entry.what)
    }

    /// Forgets those whose moment has passed. When the next one's comes.
    pub(crate) fn sweep(&mut self, now: Moment) -> Option<Moment> {
        self.by_owner.retain(|_, entry| entry.until > now);
        self.sweep_at = SMALLEST_SWEEP.max(self.by_owner.len() * 2);
        self.by_owner.values().map(|entry| entry.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn owner() -> OwnerId {
        OwnerId::random().unwrap()
    }

    #[test]
    fn what_is_remembered_is_given_back_until_it_is_removed() {
        let (mut expiring, one, until) = (ExpiringMap::default(), owner(), Moment::START);
        expiring.set(one, 7, until, Moment::START);
        assert_eq!((expiring.get(one), expiring.get(owner())), (Some(&7), None));
        expiring.remove(one);
        assert_eq!(expiring.get(one), None);
    }

    #[test]
    fn owners_that_never_left_take_no_room_for_ever() {
        let mut expiring = ExpiringMap::default();
        let (second, later) = (Duration::from_secs(1), Moment::START.after(Duration::from_secs(10)));
        let kept = owner();
        expiring.set(kept, (), later.after(second), Moment::START);
        for _ in 0..10 * SMALLEST_SWEEP {
            expiring.set(owner(), (), Moment::START.after(second), later);
        }
        assert!(expiring.len() <= 2 * SMALLEST_SWEEP, "{}", expiring.len());
        assert!(expiring.get(kept).is_some());
    }
}
