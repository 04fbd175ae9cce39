//! The waiters of one key, in order. Pure.

use crate::backend::bell::Bell;
use crate::error::LockError;
use crate::lease::OwnerId;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;

/// The line of one key. While nothing waits there is none: a lock that is held takes no room for waiters.
#[derive(Debug, Default)]
pub(super) struct Line(Option<Box<LineInUse>>);

/// First come, first served. A waiter that is *parked* keeps its place and is not served.
#[derive(Debug, Default)]
pub(super) struct LineInUse {
    waiters: VecDeque<LineWaiter>,
    /// How many are parked.
    parked: usize,
    /// How many of those have not been woken since.
    to_wake: usize,
}

/// A waiter, and what it is woken by.
#[derive(Debug, Clone)]
pub(super) struct Called {
    pub(super) owner: OwnerId,
    /// It is told that waiting cannot help; otherwise it looks by itself.
    pub(super) bell: Arc<Bell<LockError>>,
}

/// Those that have to be woken. Most often it is one.
pub(super) type CalledWaiters = SmallVec<[Called; 1]>;

#[derive(Debug)]
struct LineWaiter {
    called: Called,
    /// It let something pass, and was not polled since.
    is_parked: bool,
    /// It has not been woken since it was parked.
    is_to_wake: bool,
}

impl LineWaiter {
    fn new(owner: OwnerId) -> Self {
        let called = Called { owner, bell: Arc::default() };
        Self { called, is_parked: false, is_to_wake: false }
    }
}

static NO_WAITERS: LineInUse = LineInUse { waiters: VecDeque::new(), parked: 0, to_wake: 0 };

impl Deref for Line {
    type Target = LineInUse;

    fn deref(&self) -> &LineInUse {
        self.0.as_deref().unwrap_or(&NO_WAITERS)
    }
}

impl Line {
    /// What it is woken by.
    pub(super) fn enter_last(&mut self, owner: OwnerId) -> Arc<Bell<LockError>> {
        self.0.get_or_insert_default().enter_last(owner)
    }

    /// It has asked for itself, and waits from here on.
    pub(super) fn enter_first(&mut self, owner: OwnerId) {
        self.0.get_or_insert_default().waiters.push_front(LineWaiter::new(owner));
    }

    pub(super) fn remove(&mut self, place: usize) {
        self.change(|line| {
            line.unpark(place);
            line.waiters.remove(place);
        });
        if self.is_empty() {
            self.0 = None;
        }
    }

    /// All of them leave.
    pub(super) fn take_all(&mut self) -> CalledWaiters {
        let waiters = self.0.take().map(|line| line.waiters).unwrap_or_default();
        waiters.into_iter().map(|waiting| waiting.called).collect()
    }

    /// Has what stands in the line changed.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut LineInUse)) {
        if let Some(line) = &mut self.0 {
            change(line);
        }
    }
}

impl LineInUse {
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    fn enter_last(&mut self, owner: OwnerId) -> Arc<Bell<LockError>> {
        let entered = LineWaiter::new(owner);
        let bell = Arc::clone(&entered.called.bell);
        self.waiters.push_back(entered);
        bell
    }

    /// Most often it is the first.
    pub(super) fn place_of(&self, owner: OwnerId) -> Option<usize> {
        self.waiters.iter().position(|waiting| waiting.called.owner == owner)
    }

    /// What this waiter is woken by.
    pub(super) fn bell_of(&self, owner: OwnerId) -> Option<&Arc<Bell<LockError>>> {
        let waiting = self.waiters.get(self.place_of(owner)?)?;
        Some(&waiting.called.bell)
    }

    /// Those that may be served, in order.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &Called> {
        self.waiters.iter().filter(|waiting| !waiting.is_parked).map(|waiting| &waiting.called)
    }

    pub(super) fn count_candidates(&self) -> usize {
        self.waiters.len() - self.parked
    }

    pub(super) fn has_candidates(&self) -> bool {
        self.count_candidates() > 0
    }

    /// It was polled.
    pub(super) fn unpark(&mut self, place: usize) {
        let Some(waiting) = self.waiters.get_mut(place) else { return };
        self.parked -= usize::from(std::mem::take(&mut waiting.is_parked));
        self.to_wake -= usize::from(std::mem::take(&mut waiting.is_to_wake));
    }

    /// The first `count` waiters let something pass.
    pub(super) fn park(&mut self, count: usize) {
        for waiting in self.waiters.iter_mut().take(count) {
            // It may be that it was never woken, since whatever wakes was late itself.
            self.parked += usize::from(!std::mem::replace(&mut waiting.is_parked, true));
            self.to_wake += usize::from(!std::mem::replace(&mut waiting.is_to_wake, true));
        }
    }

    /// The first `count` of those that may be served let something pass.
    pub(super) fn park_candidates(&mut self, count: usize) {
        let last =
            self.waiters.iter().enumerate().filter(|(_, waiting)| !waiting.is_parked).take(count).last();
        let places = last.map_or(0, |(place, _)| place + 1);
        self.park(places);
    }

    /// The first is not polled, though it was woken.
    pub(super) fn park_first(&mut self) {
        self.park(1);
        if let Some(first) = self.waiters.front_mut() {
            self.to_wake -= usize::from(std::mem::take(&mut first.is_to_wake));
        }
    }

    /// Those that were parked and not woken since. From here on they are.
    pub(super) fn take_to_wake(&mut self, to_wake: &mut CalledWaiters) {
        if self.to_wake == 0 {
            return;
        }
        self.to_wake = 0;
        for waiting in &mut self.waiters {
            to_wake.extend(std::mem::take(&mut waiting.is_to_wake).then(|| waiting.called.clone()));
        }
    }
}

/// The place of a waiter in the line of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlaceInLine {
    /// How many of this process are ahead of it.
    pub(super) ahead: usize,
    /// The acquisition that the backend is asked for, if it is not granted yet.
    pub(super) competitor: Option<OwnerId>,
}

impl PlaceInLine {
    /// The place in the order of all processes, from 1, if that of the competitor is `place`.
    pub(super) fn among_all(self, place: Option<usize>) -> Option<usize> {
        match self.competitor {
            Some(_) => place.map(|place| place + self.ahead),
            None => Some(self.ahead + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_counts_those_of_this_process_and_of_others() {
        let competitor = Some(OwnerId::NONE);
        assert_eq!(PlaceInLine { ahead: 0, competitor }.among_all(Some(3)), Some(3));
        assert_eq!(PlaceInLine { ahead: 2, competitor }.among_all(Some(3)), Some(5));
        assert_eq!(PlaceInLine { ahead: 2, competitor }.among_all(None), None, "the backend does not say");
        assert_eq!(
            PlaceInLine { ahead: 0, competitor: None }.among_all(None),
            Some(1),
            "behind a holder of its own"
        );
    }
}
