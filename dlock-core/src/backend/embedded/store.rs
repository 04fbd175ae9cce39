//! The lock table as plain data: the readable reference of what every backend means by its answers.
//!
//! No clock, no waiting: each call is told what time it is, and says whom to wake.

use crate::key::LockKey;
use crate::lease::{FencingToken, OwnerId, Ttl};
use crate::time::Moment;
use foldhash::HashMap;
use std::collections::VecDeque;
use std::collections::hash_map::{Entry, OccupiedEntry};

/// All locks that are held or waited for. A key that is neither takes no room.
#[derive(Debug, Default)]
pub(super) struct Store {
    locks: HashMap<LockKey, Lock>,
    /// One counter for all keys: it outlives every entry, so tokens rise for ever (I2).
    last_token: u64,
}

/// Invariant: a lock whose holder left goes to the next waiter or out of the table in the same call.
#[derive(Debug)]
struct Lock {
    holder: Holder,
    queue: VecDeque<QueuedOwner>,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    owner: OwnerId,
    token: FencingToken,
    expires: Moment,
}

#[derive(Debug, Clone, Copy)]
struct QueuedOwner {
    owner: OwnerId,
    ttl: Ttl,
}

/// The answer to an acquire.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StoreAnswer {
    Granted(FencingToken),
    /// Another owner has the key, until this moment unless it is renewed.
    Held(Moment),
}

/// Who was granted a key by a call of somebody else, and is to be woken. At most one (I6).
pub(super) type Woken = Option<OwnerId>;

impl Store {
    /// Grants the key, or says until when it is held. With `queue` the owner is entered as the last waiter,
    /// if it does not wait already. An owner that has the key is granted it again, with the same token.
    pub(super) fn acquire(
        &mut self,
        key: &LockKey,
        owner: OwnerId,
        ttl: Ttl,
        queue: bool,
        now: Moment,
    ) -> (StoreAnswer, Woken) {
        let Self { locks, last_token } = self;
        let lock = match locks.entry(key.clone()) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => {
                let holder = Holder::new(last_token, owner, ttl, now);
                free.insert(Lock { holder, queue: VecDeque::new() });
                return (StoreAnswer::Granted(holder.token), None);
            }
        };
        let woken = lock.expire(last_token, now);
        if lock.is_over(now) {
            lock.holder = Holder::new(last_token, owner, ttl, now);
        }
        (lock.answer(owner, ttl, queue, now), woken)
    }

    /// Moves the end of the owner's lease; false if the owner does not have the key.
    pub(super) fn renew(&mut self, key: &LockKey, owner: OwnerId, ttl: Ttl, now: Moment) -> (bool, Woken) {
        let (mut held, woken) = held(&mut self.locks, &mut self.last_token, key, now);
        let lock = held.as_mut().map(OccupiedEntry::get_mut).filter(|lock| lock.holder.owner == owner);
        let is_holder = lock.map(|lock| lock.holder.extend(ttl, now)).is_some();
        (is_holder, woken)
    }

    /// Takes the owner out, as holder and as waiter; false if it did not have the key.
    pub(super) fn release(&mut self, key: &LockKey, owner: OwnerId, now: Moment) -> (bool, Woken) {
        let (held, woken) = held(&mut self.locks, &mut self.last_token, key, now);
        let Some(mut held) = held else { return (false, woken) };
        let lock = held.get_mut();
        if lock.holder.owner != owner {
            lock.queue.retain(|waiter| waiter.owner != owner);
            return (false, woken);
        }
        let next = lock.hand_off(&mut self.last_token, now);
        if next.is_none() {
            held.remove();
        }
        (true, next)
    }

    /// How many keys take room.
    pub(super) fn len(&self) -> usize {
        self.locks.len()
    }
}

/// The lock on this key. One whose holder's lease is over goes to its first waiter, or out of the table.
fn held<'a>(
    locks: &'a mut HashMap<LockKey, Lock>,
    last_token: &mut u64,
    key: &LockKey,
    now: Moment,
) -> (Option<OccupiedEntry<'a, LockKey, Lock>>, Woken) {
    let Entry::Occupied(mut there) = locks.entry(key.clone()) else { return (None, None) };
    let woken = there.get_mut().expire(last_token, now);
    if there.get().is_over(now) {
        there.remove();
        return (None, None);
    }
    (Some(there), woken)
}

impl Lock {
    fn is_over(&self, now: Moment) -> bool {
        self.holder.expires <= now
    }

    /// Hands the key off if its holder's lease is over.
    fn expire(&mut self, last_token: &mut u64, now: Moment) -> Woken {
        if self.is_over(now) { self.hand_off(last_token, now) } else { None }
    }

    /// Passes the key to the first waiter, if there is one.
    fn hand_off(&mut self, last_token: &mut u64, now: Moment) -> Woken {
        let next = self.queue.pop_front()?;
        self.holder = Holder::new(last_token, next.owner, next.ttl, now);
        Some(next.owner)
    }

    /// What an owner that asks is told, and its place in the queue if it wants one.
    fn answer(&mut self, owner: OwnerId, ttl: Ttl, queue: bool, now: Moment) -> StoreAnswer {
        if self.holder.owner == owner {
            self.holder.extend(ttl, now);
            return StoreAnswer::Granted(self.holder.token);
        }
        if queue && !self.queue.iter().any(|waiter| waiter.owner == owner) {
            self.queue.push_back(QueuedOwner { owner, ttl });
        }
        StoreAnswer::Held(self.holder.expires)
    }
}

impl Holder {
    fn new(last_token: &mut u64, owner: OwnerId, ttl: Ttl, now: Moment) -> Self {
        *last_token += 1;
        Self { owner, token: FencingToken::new(*last_token), expires: now.after(ttl.as_duration()) }
    }

    fn extend(&mut self, ttl: Ttl, now: Moment) {
        self.expires = now.after(ttl.as_duration());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn at(millis: u64) -> Moment {
        Moment::START.after(Duration::from_millis(millis))
    }

    fn ttl() -> Ttl {
        Ttl::new(Duration::from_millis(100)).unwrap()
    }

    fn key() -> LockKey {
        LockKey::new("k").unwrap()
    }

    fn owners<const N: usize>() -> [OwnerId; N] {
        std::array::from_fn(|_| OwnerId::random().unwrap())
    }

    fn token(number: u64) -> FencingToken {
        FencingToken::new(number)
    }

    #[test]
    fn release_hands_off_in_order_of_arrival_and_leaves_no_entry() {
        let [a, b, c] = owners();
        let mut store = Store::default();
        assert_eq!(store.acquire(&key(), a, ttl(), true, at(0)), (StoreAnswer::Granted(token(1)), None));
        assert_eq!(store.acquire(&key(), b, ttl(), true, at(1)), (StoreAnswer::Held(at(100)), None));
        assert_eq!(store.acquire(&key(), c, ttl(), true, at(2)), (StoreAnswer::Held(at(100)), None));
        assert_eq!(store.release(&key(), a, at(10)), (true, Some(b)));
        assert_eq!(store.acquire(&key(), b, ttl(), true, at(11)), (StoreAnswer::Granted(token(2)), None));
        assert_eq!(store.release(&key(), b, at(20)), (true, Some(c)));
        assert_eq!(store.release(&key(), c, at(30)), (true, None));
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn a_try_cannot_pass_the_queue_and_leaves_nothing() {
        let [a, b, c] = owners();
        let mut store = Store::default();
        store.acquire(&key(), a, ttl(), true, at(0));
        store.acquire(&key(), b, ttl(), true, at(0));
        assert_eq!(store.acquire(&key(), c, ttl(), false, at(100)), (StoreAnswer::Held(at(200)), Some(b)));
        assert_eq!(store.release(&key(), b, at(110)), (true, None), "nobody else was queued");
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn an_expired_holder_can_neither_renew_nor_release() {
        let [a, b] = owners();
        let mut store = Store::default();
        store.acquire(&key(), a, ttl(), true, at(0));
        assert_eq!(store.renew(&key(), a, ttl(), at(99)), (true, None));
        assert_eq!(store.renew(&key(), a, ttl(), at(199)), (false, None));
        assert_eq!(store.acquire(&key(), b, ttl(), true, at(200)), (StoreAnswer::Granted(token(2)), None));
        assert_eq!(store.release(&key(), a, at(201)), (false, None));
        assert_eq!(store.renew(&key(), b, ttl(), at(250)), (true, None));
    }

    #[test]
    fn a_waiter_that_leaves_keeps_the_others_in_order() {
        let [a, b, c] = owners();
        let mut store = Store::default();
        for owner in [a, b, c] {
            store.acquire(&key(), owner, ttl(), true, at(0));
        }
        assert_eq!(store.release(&key(), b, at(1)), (false, None));
        assert_eq!(store.release(&key(), a, at(2)), (true, Some(c)));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Acquire { owner: usize, queue: bool },
        Renew { owner: usize },
        Release { owner: usize },
        Pass { millis: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..4usize, any::<bool>()).prop_map(|(owner, queue)| Step::Acquire { owner, queue }),
            (0..4usize).prop_map(|owner| Step::Renew { owner }),
            (0..4usize).prop_map(|owner| Step::Release { owner }),
            (1..120u64).prop_map(|millis| Step::Pass { millis }),
        ]
    }

    proptest! {
        /// I1, I2, I8 over random steps: what a client that counts its lease from the call believes.
        #[test]
        fn at_most_one_owner_believes_and_tokens_rise(steps in prop::collection::vec(step(), 1..200)) {
            let owners: [OwnerId; 4] = owners();
            let mut store = Store::default();
            let mut believed: [Option<(FencingToken, Moment)>; 4] = [None; 4];
            let (mut now, mut highest) = (at(0), token(0));
            for step in steps {
                match step {
                    Step::Acquire { owner, queue } => {
                        if let (StoreAnswer::Granted(granted), _) = store.acquire(&key(), owners[owner], ttl(), queue, now) {
                            let again = believed[owner].is_some_and(|(token, _)| token == granted);
                            prop_assert!(granted > highest || again, "{granted} after {highest}");
                            highest = highest.max(granted);
                            believed[owner] = Some((granted, now.after(ttl().as_duration())));
                        }
                    }
                    Step::Renew { owner } => {
                        let (renewed, _) = store.renew(&key(), owners[owner], ttl(), now);
                        if let (true, Some((token, _))) = (renewed, believed[owner]) {
                            believed[owner] = Some((token, now.after(ttl().as_duration())));
                        }
                    }
                    Step::Release { owner } => {
                        believed[owner] = None;
                        store.release(&key(), owners[owner], now);
                    }
                    Step::Pass { millis } => now = now.after(Duration::from_millis(millis)),
                }
                let valid = believed.iter().flatten().filter(|(_, until)| now < *until).count();
                prop_assert!(valid <= 1, "{valid} owners believe at once");
            }
        }
    }
}
