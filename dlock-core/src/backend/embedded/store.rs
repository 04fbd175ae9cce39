//! The lock table as plain data: the readable reference of what every backend means by its answers.
//!
//! No clock, no waiting: each call is told what time it is, and says whom to wake.

use super::lock::{Asker, ExchangeAnswer, Lock, Woken};
use crate::backend::listing::page_of;
use crate::backend::{ForcedRelease, Inspection, ListCursor, ListedLock, LockPage, Reopening};
use crate::key::LockKey;
use crate::lease::{FencingToken, OwnerId, Ttl};
use crate::time::Moment;
use foldhash::HashMap;
use std::collections::BTreeSet;
use std::collections::hash_map::{Entry, OccupiedEntry};
use std::time::Duration;

/// All locks that are held or waited for. A key that is neither takes no room.
#[derive(Debug)]
pub(super) struct Store {
    locks: HashMap<LockKey, Lock>,
    /// One counter for all keys: it outlives every entry, so tokens rise for ever (I2).
    last_token: u64,
    /// How long a lock is offered to one waiter before it is offered to the next one as well.
    patience: Duration,
    looks: Looks,
}

/// When each lock must be looked at even if no owner asks: those that have a waiter to wake then.
#[derive(Debug, Default)]
struct Looks {
    by_moment: BTreeSet<(Moment, LockKey)>,
    /// When the task that looks means to do so next.
    planned: Option<Moment>,
}

/// The answer to an acquire.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StoreAnswer {
    Granted(FencingToken),
    /// Another owner has the key, or it is offered to one that waits.
    Busy,
}

/// As in all backends (I6).
const PATIENCE: Duration = Duration::from_millis(50);

impl Default for Store {
    fn default() -> Self {
        Self::with_patience(PATIENCE)
    }
}

impl Store {
    /// Its tokens are greater than this one.
    pub(super) fn after(last_token: FencingToken) -> Self {
        Self { last_token: last_token.as_u64(), ..Self::default() }
    }

    pub(super) fn with_patience(patience: Duration) -> Self {
        Self { locks: HashMap::default(), last_token: 0, patience, looks: Looks::default() }
    }

    /// Grants the key if it is free or offered to the owner. If not, and if it waits, the owner is entered as the last
    /// waiter, if it does not wait already. An owner that has the key is granted it again, with the same token.
    pub(super) fn acquire(&mut self, key: &LockKey, asker: Asker<'_>, now: Moment) -> (StoreAnswer, Woken) {
        let mut there = match self.locks.entry(key.clone()) {
            Entry::Occupied(there) => there,
            Entry::Vacant(free) => {
                let (lock, token) = Lock::held(asker, &mut self.last_token, now);
                free.insert(lock);
                return (StoreAnswer::Granted(token), Woken::new());
            }
        };
        let lock = there.get_mut();
        lock.settle(self.patience, now);
        let granted = lock.ask(asker, &mut self.last_token, now);
        let woken = lock.offer(now);
        self.looks.note(there, self.patience);
        (granted.map_or(StoreAnswer::Busy, StoreAnswer::Granted), woken)
    }

    /// Moves the end of the owner's lease; false if the owner does not have the key.
    pub(super) fn renew(&mut self, key: &LockKey, owner: OwnerId, ttl: Ttl, now: Moment) -> (bool, Woken) {
        self.change(key, now, |lock| lock.renew(owner, ttl, now))
    }

    /// Takes the owner out, as holder and as waiter; false if it did not have the key.
    pub(super) fn release(&mut self, key: &LockKey, owner: OwnerId, now: Moment) -> (bool, Woken) {
        self.change(key, now, |lock| lock.leave(owner))
    }

    /// Gives the asker what it wants for what `held` has.
    pub(super) fn exchange(
        &mut self,
        key: &LockKey,
        held: OwnerId,
        asker: Asker<'_>,
        now: Moment,
    ) -> (ExchangeAnswer, Woken) {
        let mut last_token = self.last_token;
        let exchanged = self.change(key, now, |lock| Some(lock.exchange(held, asker, &mut last_token, now)));
        self.last_token = last_token;
        (exchanged.0.unwrap_or(ExchangeAnswer::Lost), exchanged.1)
    }

    /// Who has the key at `now`, who waits for it, and where `asker` stands.
    pub(super) fn view(&self, key: &LockKey, asker: Option<OwnerId>, now: Moment) -> Inspection {
        self.locks.get(key).map_or_else(Inspection::default, |lock| lock.view(asker, now))
    }

    /// Takes the key away from the holder with this token.
    pub(super) fn take_away(
        &mut self,
        key: &LockKey,
        token: FencingToken,
        reopening: Reopening,
        now: Moment,
    ) -> (Option<ForcedRelease>, Woken) {
        let mut last_token = self.last_token;
        let forced = self.change(key, now, |lock| lock.take_away(token, reopening, &mut last_token, now));
        self.last_token = last_token;
        forced
    }

    /// The keys that are held at `now`, page by page in the order of their names.
    pub(super) fn list(&self, prefix: &[u8], from: Option<&ListCursor>, now: Moment) -> LockPage {
        let (keys, has_more) = page_of(self.locks.keys(), prefix, from);
        let holder = |key: &LockKey| self.locks.get(key)?.view(None, now).holders.into_iter().next();
        let named = |key: &&LockKey| Some(ListedLock::new((*key).clone(), holder(key)?));
        let next = keys.last().filter(|_| has_more).map(|key| ListCursor::new(key.as_bytes()));
        LockPage::new(keys.iter().filter_map(named).collect(), next)
    }

    /// How many keys take room.
    pub(super) fn len(&self) -> usize {
        self.locks.len()
    }

    /// Whether the task that looks must do so earlier than it means to.
    pub(super) fn must_look_earlier(&mut self) -> bool {
        self.looks.must_be_earlier()
    }

    /// The waiters that are to be woken at `now` even if no owner asked, and when to look again.
    pub(super) fn look(&mut self, now: Moment) -> (Vec<OwnerId>, Option<Moment>) {
        let due = self.looks.take_due(now);
        let looked_at = |lock: &mut Lock| lock.look = None;
        let woken = due.iter().flat_map(|key| self.change(key, now, looked_at).1).collect();
        (woken, self.looks.plan())
    }

    /// One step of an existing lock, and the waiters that it is offered to after it.
    fn change<T: Default>(
        &mut self,
        key: &LockKey,
        now: Moment,
        step: impl FnOnce(&mut Lock) -> T,
    ) -> (T, Woken) {
        let Entry::Occupied(mut there) = self.locks.entry(key.clone()) else { return Default::default() };
        let lock = there.get_mut();
        lock.settle(self.patience, now);
        let answer = step(lock);
        let woken = lock.offer(now);
        self.looks.note(there, self.patience);
        (answer, woken)
    }
}

impl Looks {
    /// Forgets a lock without a holder and waiters. Any other is entered to be looked at when it is due.
    fn note(&mut self, mut there: OccupiedEntry<'_, LockKey, Lock>, patience: Duration) {
        if there.get().is_over() {
            let (key, lock) = there.remove_entry();
            lock.look.map(|at| self.by_moment.remove(&(at, key)));
            return;
        }
        let Some(due) = there.get().due(patience) else { return };
        // Looking too early does no harm, and spares a change at each renewal and each hand-off.
        if there.get().look.is_none_or(|look| due < look) {
            let key = there.key().clone();
            if let Some(later) = there.get_mut().look.replace(due) {
                self.by_moment.remove(&(later, key.clone()));
            }
            self.by_moment.insert((due, key));
        }
    }

    fn must_be_earlier(&mut self) -> bool {
        let first = self.first();
        let earlier = first.is_some_and(|first| self.planned.is_none_or(|planned| first < planned));
        if earlier {
            self.planned = first;
        }
        earlier
    }

    fn take_due(&mut self, now: Moment) -> Vec<LockKey> {
        let due = std::iter::from_fn(|| match self.by_moment.first() {
            Some((at, _)) if *at <= now => self.by_moment.pop_first().map(|(_, key)| key),
            _ => None,
        });
        due.collect()
    }

    fn plan(&mut self) -> Option<Moment> {
        self.planned = self.first();
        self.planned
    }

    fn first(&self) -> Option<Moment> {
        self.by_moment.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Share;
    use proptest::prelude::*;
    use smallvec::smallvec as woken;
    use std::num::NonZeroU32;
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

    fn asker(owner: OwnerId, waits: bool) -> Asker<'static> {
        Asker { owner, share: Share::All, ttl: ttl(), waits, label: None }
    }

    fn ask(store: &mut Store, owner: OwnerId, now: Moment) -> (StoreAnswer, Woken) {
        store.acquire(&key(), asker(owner, true), now)
    }

    fn granted(number: u64) -> (StoreAnswer, Woken) {
        (StoreAnswer::Granted(token(number)), woken![])
    }

    fn busy() -> (StoreAnswer, Woken) {
        (StoreAnswer::Busy, woken![])
    }

    #[test]
    fn release_hands_off_in_order_of_arrival_and_leaves_no_entry() {
        let [a, b, c] = owners();
        let mut store = Store::default();
        assert_eq!(ask(&mut store, a, at(0)), granted(1));
        assert_eq!(ask(&mut store, b, at(1)), busy());
        assert_eq!(ask(&mut store, c, at(2)), busy());
        assert_eq!(store.release(&key(), a, at(10)), (true, woken![b]));
        assert_eq!(ask(&mut store, c, at(11)), busy(), "it is offered to the first");
        assert_eq!(ask(&mut store, b, at(12)), granted(2));
        assert_eq!(store.release(&key(), b, at(20)), (true, woken![c]));
        assert_eq!(ask(&mut store, c, at(21)), granted(3));
        assert_eq!(store.release(&key(), c, at(30)), (true, woken![]));
        assert_eq!((store.len(), store.look(at(999))), (0, (vec![], None)));
    }

    #[test]
    fn a_try_cannot_pass_the_queue_and_leaves_nothing() {
        let [a, b, c] = owners();
        let mut store = Store::default();
        ask(&mut store, a, at(0));
        ask(&mut store, b, at(0));
        assert_eq!(store.acquire(&key(), asker(c, false), at(100)), (StoreAnswer::Busy, woken![b]));
        assert_eq!(store.acquire(&key(), asker(c, false), at(149)), busy());
        assert_eq!(ask(&mut store, b, at(149)), granted(2));
        assert_eq!(store.release(&key(), b, at(150)), (true, woken![]), "no other was queued");
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn a_try_passes_waiters_that_all_let_an_offer_pass() {
        let [a, b, c, d] = owners();
        let mut store = Store::default();
        for owner in [a, b, c] {
            ask(&mut store, owner, at(0));
        }
        assert_eq!(store.release(&key(), a, at(0)), (true, woken![b]));
        assert_eq!(store.look(at(50)), (vec![c], None), "after the last there is nobody to wake");
        assert_eq!(store.acquire(&key(), asker(d, false), at(99)), busy());
        assert_eq!(store.acquire(&key(), asker(d, false), at(100)), granted(2));
        assert_eq!(
            store.release(&key(), d, at(110)),
            (true, woken![]),
            "both were woken, and did not ask yet"
        );
        assert_eq!(ask(&mut store, b, at(500)), granted(3), "and have their places");
    }

    #[test]
    fn an_offer_that_is_not_taken_goes_to_the_next_waiter_as_well() {
        let [a, b, c, d] = owners();
        let mut store = Store::default();
        for owner in [a, b, c, d] {
            ask(&mut store, owner, at(0));
        }
        assert_eq!(store.release(&key(), a, at(10)), (true, woken![b]));
        assert!(store.must_look_earlier());
        assert_eq!(store.look(at(59)), (vec![], Some(at(60))));
        assert_eq!(store.look(at(60)), (vec![c], Some(at(110))));
        assert_eq!(ask(&mut store, d, at(61)), busy());
        assert_eq!(ask(&mut store, c, at(62)), granted(2));
        assert_eq!(ask(&mut store, b, at(63)), busy(), "it was too late, and keeps its place");
        assert_eq!(store.release(&key(), c, at(70)), (true, woken![b]));
        assert_eq!(ask(&mut store, b, at(71)), granted(3));
    }

    #[test]
    fn a_waiter_that_let_an_offer_pass_does_not_delay_the_next_one() {
        let [a, b, c] = owners();
        let mut store = Store::default();
        for owner in [a, b, c] {
            ask(&mut store, owner, at(0));
        }
        store.release(&key(), a, at(0));
        store.look(at(50));
        assert_eq!(ask(&mut store, c, at(50)), granted(2));
        assert_eq!(ask(&mut store, a, at(60)), busy());
        assert_eq!(store.release(&key(), c, at(70)), (true, woken![a]), "at once");
        assert_eq!(ask(&mut store, b, at(71)), granted(3), "the lock is offered to both");
    }

    #[test]
    fn a_lease_that_ends_makes_the_lock_free_though_no_owner_asks() {
        let [a, b] = owners();
        let mut store = Store::default();
        ask(&mut store, a, at(0));
        assert!(!store.must_look_earlier(), "nobody waits");
        ask(&mut store, b, at(1));
        assert!(store.must_look_earlier());
        assert_eq!(store.renew(&key(), a, ttl(), at(50)), (true, woken![]));
        assert_eq!(store.look(at(100)), (vec![], Some(at(150))), "it was renewed");
        assert_eq!(store.look(at(150)), (vec![b], None));
        assert_eq!(ask(&mut store, b, at(151)), granted(2));
        assert_eq!(store.renew(&key(), a, ttl(), at(152)), (false, woken![]));
    }

    #[test]
    fn an_expired_holder_can_neither_renew_nor_release() {
        let [a, b] = owners();
        let mut store = Store::default();
        ask(&mut store, a, at(0));
        assert_eq!(store.renew(&key(), a, ttl(), at(99)), (true, woken![]));
        assert_eq!(store.renew(&key(), a, ttl(), at(199)), (false, woken![]));
        assert_eq!(ask(&mut store, b, at(200)), granted(2));
        assert_eq!(store.release(&key(), a, at(201)), (false, woken![]));
        assert_eq!(store.renew(&key(), b, ttl(), at(250)), (true, woken![]));
    }

    #[test]
    fn a_waiter_that_leaves_keeps_the_others_in_order() {
        let [a, b, c, d] = owners();
        let mut store = Store::default();
        for owner in [a, b, c, d] {
            ask(&mut store, owner, at(0));
        }
        assert_eq!(store.release(&key(), b, at(1)), (false, woken![]));
        assert_eq!(store.release(&key(), a, at(2)), (true, woken![c]));
        assert_eq!(store.release(&key(), c, at(40)), (false, woken![d]), "it was offered the lock");
        assert_eq!(store.look(at(89)), (vec![], None));
        assert_eq!(ask(&mut store, d, at(90)), granted(2));
    }

    #[test]
    fn what_is_taken_away_stays_closed_until_its_holder_leaves_or_its_lease_is_over() {
        let [a, b] = owners();
        for leaves in [true, false] {
            let mut store = Store::default();
            ask(&mut store, a, at(0));
            ask(&mut store, b, at(1));
            assert_eq!(
                store.take_away(&key(), token(2), Reopening::Confirmed, at(10)),
                (None, woken![]),
                "another token"
            );
            let forced = ForcedRelease::new(token(2), Duration::from_millis(90));
            let confirmed = Reopening::Confirmed;
            assert_eq!(store.take_away(&key(), token(1), confirmed, at(10)), (Some(forced), woken![]));
            assert_eq!(store.renew(&key(), a, ttl(), at(20)), (false, woken![]));
            assert_eq!(ask(&mut store, a, at(20)), busy(), "it is not granted again");
            assert_eq!(ask(&mut store, b, at(20)), busy(), "the guard may be valid");
            if leaves {
                assert_eq!(store.release(&key(), a, at(30)), (false, woken![b]));
            } else {
                assert_eq!(store.look(at(100)).0, [b]);
            }
            assert_eq!(ask(&mut store, b, at(100)), granted(3));
        }
    }

    #[test]
    fn what_is_taken_away_now_is_the_next_waiter_s() {
        let [a, b] = owners();
        let mut store = Store::default();
        ask(&mut store, a, at(0));
        ask(&mut store, b, at(1));
        let forced = ForcedRelease::new(token(2), Duration::ZERO);
        assert_eq!(store.take_away(&key(), token(1), Reopening::Now, at(10)), (Some(forced), woken![b]));
        assert_eq!(ask(&mut store, b, at(11)), granted(3));
        assert_eq!(store.release(&key(), a, at(12)), (false, woken![]), "it is another owner's");
        assert_eq!(store.renew(&key(), b, ttl(), at(13)), (true, woken![]));
    }

    fn part(weight: u32, of: u32) -> Share {
        let number = |number| NonZeroU32::new(number).unwrap();
        Share::Part { weight: number(weight), of: number(of) }
    }

    fn ask_for(store: &mut Store, owner: OwnerId, share: Share, now: Moment) -> (StoreAnswer, Woken) {
        store.acquire(&key(), Asker { share, ..asker(owner, true) }, now)
    }

    fn exchange(store: &mut Store, held: OwnerId, wanted: OwnerId, share: Share) -> (ExchangeAnswer, Woken) {
        store.exchange(&key(), held, Asker { share, ..asker(wanted, false) }, at(10))
    }

    #[test]
    fn neighbouring_readers_enter_together_and_a_writer_stops_those_behind_it() {
        let [writer, one, two, next, last] = owners();
        let mut store = Store::default();
        ask(&mut store, writer, at(0));
        for (owner, share) in
            [(one, Share::READER), (two, Share::READER), (next, Share::All), (last, Share::READER)]
        {
            assert_eq!(ask_for(&mut store, owner, share, at(1)), busy());
        }
        assert_eq!(store.release(&key(), writer, at(2)), (true, woken![one, two]));
        assert_eq!(ask_for(&mut store, two, Share::READER, at(3)), granted(2), "in any order");
        assert_eq!(ask_for(&mut store, last, Share::READER, at(3)), busy());
        assert_eq!(ask_for(&mut store, one, Share::READER, at(4)), granted(3));
        assert_eq!(store.release(&key(), one, at(5)), (true, woken![]), "a reader is left");
        assert_eq!(store.release(&key(), two, at(6)), (true, woken![next]));
        assert_eq!(ask(&mut store, next, at(7)), granted(4));
        assert_eq!(store.release(&key(), next, at(8)), (true, woken![last]));
        assert_eq!(ask_for(&mut store, last, Share::READER, at(9)), granted(5));
        assert_eq!(store.release(&key(), last, at(9)), (true, woken![]));
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn each_part_has_a_lease_of_its_own() {
        let [dead, live, writer] = owners();
        let mut store = Store::default();
        ask_for(&mut store, dead, Share::READER, at(0));
        ask_for(&mut store, live, Share::READER, at(10));
        ask(&mut store, writer, at(20));
        assert_eq!(store.renew(&key(), live, ttl(), at(90)), (true, woken![]));
        assert_eq!(store.look(at(100)), (vec![], Some(at(190))), "the other one is left");
        assert_eq!(store.renew(&key(), dead, ttl(), at(101)), (false, woken![]));
        assert_eq!(store.view(&key(), None, at(101)).holders.len(), 1);
        assert_eq!(store.look(at(190)), (vec![writer], None));
        assert_eq!(ask(&mut store, writer, at(191)), granted(3));
    }

    #[test]
    fn a_release_wakes_those_that_its_permits_admit_and_no_other() {
        let [all, two, one, more, last] = owners();
        let mut store = Store::default();
        ask_for(&mut store, all, part(4, 4), at(0));
        for (owner, weight) in [(two, 2), (one, 1), (more, 2), (last, 1)] {
            assert_eq!(ask_for(&mut store, owner, part(weight, 4), at(1)), busy());
        }
        assert_eq!(store.release(&key(), all, at(2)), (true, woken![two, one]), "one permit stays idle");
        assert_eq!(ask_for(&mut store, two, part(2, 4), at(3)), granted(2));
        assert_eq!(ask_for(&mut store, one, part(1, 4), at(3)), granted(3));
        assert_eq!(ask_for(&mut store, last, part(1, 4), at(3)), busy(), "it does not pass");
        assert_eq!(store.release(&key(), one, at(4)), (true, woken![more]));
    }

    #[test]
    fn a_reader_that_is_not_polled_keeps_no_other_waiting_and_may_come_later() {
        let [held, late, prompt, writer] = owners();
        let mut store = Store::default();
        ask(&mut store, held, at(0));
        for (owner, share) in [(late, Share::READER), (prompt, Share::READER), (writer, Share::All)] {
            ask_for(&mut store, owner, share, at(0));
        }
        assert_eq!(store.release(&key(), held, at(0)), (true, woken![late, prompt]));
        assert_eq!(ask_for(&mut store, prompt, Share::READER, at(1)), granted(2));
        assert_eq!(store.release(&key(), prompt, at(2)), (true, woken![]), "the first is expected");
        assert_eq!(store.look(at(50)).0, [writer]);
        assert_eq!(ask_for(&mut store, late, Share::READER, at(51)), granted(3), "it came first after all");
        assert_eq!(ask(&mut store, writer, at(52)), busy());
        assert_eq!(store.release(&key(), late, at(60)), (true, woken![writer]));
    }

    #[test]
    fn another_number_of_permits_waits_until_the_former_are_back() {
        let [one, two, raised, behind] = owners();
        let mut store = Store::default();
        ask_for(&mut store, one, part(1, 2), at(0));
        ask_for(&mut store, two, part(1, 2), at(0));
        assert_eq!(ask_for(&mut store, raised, part(1, 9), at(1)), busy());
        assert_eq!(store.release(&key(), one, at(2)), (true, woken![]));
        assert_eq!(ask_for(&mut store, behind, part(1, 2), at(3)), busy(), "it does not pass");
        assert_eq!(store.release(&key(), two, at(4)), (true, woken![raised]));
    }

    #[test]
    fn a_downgrade_admits_readers_that_are_ahead_of_the_next_writer() {
        let [writer, reader, ahead, next, behind] = owners();
        let mut store = Store::default();
        ask(&mut store, writer, at(0));
        for (owner, share) in [(ahead, Share::READER), (next, Share::All), (behind, Share::READER)] {
            ask_for(&mut store, owner, share, at(0));
        }
        let answer = exchange(&mut store, writer, reader, Share::READER);
        assert_eq!(answer, (ExchangeAnswer::Exchanged(token(2)), woken![ahead]));
        let again = exchange(&mut store, writer, reader, Share::READER);
        assert_eq!(again, (ExchangeAnswer::Exchanged(token(2)), woken![]), "the same grant");
        assert_eq!(store.renew(&key(), writer, ttl(), at(20)), (false, woken![]));
        assert_eq!(store.renew(&key(), reader, ttl(), at(20)), (true, woken![]));
        let lost = exchange(&mut store, writer, behind, Share::READER);
        assert_eq!(lost, (ExchangeAnswer::Lost, woken![]));
    }

    #[test]
    fn an_upgrade_is_for_one_that_is_alone_and_passes_no_writer() {
        let [reader, other, writer, waiter] = owners();
        let mut store = Store::default();
        ask_for(&mut store, reader, Share::READER, at(0));
        ask_for(&mut store, other, Share::READER, at(0));
        let refused = (ExchangeAnswer::Busy, woken![]);
        assert_eq!(exchange(&mut store, reader, writer, Share::All), refused);
        store.release(&key(), other, at(10));
        ask(&mut store, waiter, at(10));
        assert_eq!(exchange(&mut store, reader, writer, Share::All), refused);
        store.release(&key(), waiter, at(10));
        ask_for(&mut store, waiter, part(1, 2), at(10));
        let upgraded = exchange(&mut store, reader, writer, Share::All);
        assert_eq!(upgraded, (ExchangeAnswer::Exchanged(token(3)), woken![]), "permits do not count");
        assert_eq!(store.release(&key(), writer, at(11)), (true, woken![waiter]));
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
                        if let (StoreAnswer::Granted(granted), _) = store.acquire(&key(), asker(owners[owner], queue), now) {
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
