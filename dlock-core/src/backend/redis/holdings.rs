//! What a process remembers of the locks it holds, where the server remembers too little. Pure.

use crate::lease::OwnerId;
use crate::time::Moment;
use foldhash::HashMap;

/// Something for each owner that holds a lock, until its lease is over.
#[derive(Debug)]
pub(super) struct Holdings<T> {
    by_owner: HashMap<OwnerId, Holding<T>>,
    /// At this size those whose lease is over are looked for: owners whose release was never confirmed.
    sweep_at: usize,
}

#[derive(Debug)]
struct Holding<T> {
    what: T,
    until: Moment,
}

const SMALLEST_SWEEP: usize = 64;

impl<T> Default for Holdings<T> {
    fn default() -> Self {
        Self { by_owner: HashMap::default(), sweep_at: SMALLEST_SWEEP }
    }
}

impl<T: Clone> Holdings<T> {
    pub(super) fn get(&self, owner: OwnerId) -> Option<T> {
        self.by_owner.get(&owner).map(|holding| holding.what.clone())
    }

    /// Remembers `what` of an owner whose lease lasts until `until`.
    pub(super) fn set(&mut self, owner: OwnerId, what: T, until: Moment, now: Moment) {
        if self.by_owner.len() >= self.sweep_at {
            self.by_owner.retain(|_, holding| holding.until > now);
            self.sweep_at = SMALLEST_SWEEP.max(self.by_owner.len() * 2);
        }
        self.by_owner.insert(owner, Holding { what, until });
    }

    pub(super) fn remove(&mut self, owner: OwnerId) {
        self.by_owner.remove(&owner);
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
        let (mut holdings, one, until) = (Holdings::default(), owner(), Moment::START);
        holdings.set(one, 7, until, Moment::START);
        assert_eq!((holdings.get(one), holdings.get(owner())), (Some(7), None));
        holdings.remove(one);
        assert_eq!(holdings.get(one), None);
    }

    #[test]
    fn owners_that_never_left_take_no_room_for_ever() {
        let mut holdings = Holdings::default();
        let (second, later) = (Duration::from_secs(1), Moment::START.after(Duration::from_secs(10)));
        let kept = owner();
        holdings.set(kept, (), later.after(second), Moment::START);
        for _ in 0..10 * SMALLEST_SWEEP {
            holdings.set(owner(), (), Moment::START.after(second), later);
        }
        assert!(holdings.by_owner.len() <= 2 * SMALLEST_SWEEP, "{}", holdings.by_owner.len());
        assert!(holdings.get(kept).is_some());
    }
}
