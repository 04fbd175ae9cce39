//! What servers send unasked, and the waiters that it wakes.

use super::keys::Naming;
use super::number::GrantNumber;
use super::wire::{HandOff, Inbox};
use crate::backend::LossSignal;
use crate::backend::wakeups::{Waiter, Wakeups};
use crate::lease::{LossReason, OwnerId};
use foldhash::HashMap;
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The waiters of one backend value, and the pushes that they wait for.
pub(super) struct Pushes {
    pub(super) inbox: Inbox,
    pub(super) naming: Naming,
    wakeups: Wakeups<GrantNumber>,
    /// Keys that a client of another library holds, each with the first of our waiters for it.
    watched: Mutex<HashMap<Vec<u8>, OwnerId>>,
    /// Owners that may be granted a lock, or have one: from before they wait until they leave. With whom it concerns if
    /// the lock is taken away.
    known: Mutex<HashMap<OwnerId, LossSignal>>,
    /// The latest hand-offs that a runtime's connection told of: the keeper's tells of them too.
    told: Mutex<LatestNumbers>,
    on_stray: OnceLock<Box<dyn Fn(Stray) + Send + Sync>>,
}

/// A grant for an owner that is not known here, or has left; or one that was taken away.
pub(super) struct Stray {
    pub(super) key: Vec<u8>,
    /// The owner as it stands in Redis.
    pub(super) owner: String,
    /// Whom it concerns that the lock was taken away, if it was.
    pub(super) taken_from: Option<LossSignal>,
}

impl Stray {
    /// Ends the guard of a lock that was taken away. Whether there is none that could be valid. Without a listener it is not
    /// certain that there is none: then only the end of the lease is.
    pub(super) fn has_no_guard(&self) -> bool {
        self.taken_from.as_ref().is_none_or(|loss| loss.is_told(LossReason::TakenAway))
    }
}

/// The word to ask again: no grant has this number.
const ASK: GrantNumber = GrantNumber::NONE;

impl Pushes {
    pub(super) fn new(inbox: Inbox, naming: Naming) -> Self {
        let (wakeups, watched, known) = (Wakeups::default(), Mutex::default(), Mutex::default());
        Self { inbox, naming, wakeups, watched, known, told: Mutex::default(), on_stray: OnceLock::new() }
    }

    /// Enters a waiter, before it asks. Its owner is known until it is forgotten.
    pub(super) fn enter(&self, owner: OwnerId, loss: LossSignal) -> Waiter<'_, GrantNumber> {
        self.know(owner, loss);
        self.wakeups.enter(owner)
    }

    /// The owner has a lock, or may be granted one.
    pub(super) fn know(&self, owner: OwnerId, loss: LossSignal) {
        self.known.lock().insert(owner, loss);
    }

    /// The owner leaves: a grant to it is a stray from here on.
    pub(super) fn forget(&self, owner: OwnerId) {
        self.known.lock().remove(&owner);
    }

    /// How many owners are known.
    pub(super) fn known(&self) -> usize {
        self.known.lock().len()
    }

    /// How many owners wait.
    pub(super) fn waiters(&self) -> usize {
        self.wakeups.len()
    }

    /// How many keys are watched.
    pub(super) fn watched(&self) -> usize {
        self.watched.lock().len()
    }

    /// Sets what to do about a grant to an owner that has left. It is called where it must not block.
    pub(super) fn on_stray(&self, give_back: impl Fn(Stray) + Send + Sync + 'static) {
        let _ = self.on_stray.set(Box::new(give_back));
    }

    /// Has every waiter ask again: a push may have been missed.
    pub(super) fn wake_all(&self) {
        self.wakeups.wake_all();
    }

    /// Wakes `owner` when the value of `key` changes. Read the value after this call.
    pub(super) fn watch(&self, key: &[u8], owner: OwnerId) -> KeyWatch<'_> {
        self.watched.lock().insert(key.to_vec(), owner);
        KeyWatch { pushes: self, key: key.to_vec(), owner }
    }

    fn changed(&self, keys: Option<&Value>) {
        let mut watched = self.watched.lock();
        let owners: Vec<_> = match keys {
            Some(Value::Array(keys)) => keys.iter().filter_map(|key| watched.remove(text(key)?)).collect(),
            // The server forgot all keys at once.
            _ => watched.drain().map(|(_, owner)| owner).collect(),
        };
        drop(watched);
        owners.into_iter().for_each(|owner| self.wakeups.wake(owner, ASK));
    }
}

/// An owner's interest in a key, until dropped.
pub(super) struct KeyWatch<'a> {
    pushes: &'a Pushes,
    key: Vec<u8>,
    owner: OwnerId,
}

impl Drop for KeyWatch<'_> {
    fn drop(&mut self) {
        let mut watched = self.pushes.watched.lock();
        if watched.get(&self.key) == Some(&self.owner) {
            watched.remove(&self.key);
        }
    }
}

/// The end of one connection that hears what the server sends unasked. It runs in the task that reads the
/// socket, so it must not block.
pub(super) struct Receiver {
    /// `None` if only its end is of interest.
    pub(super) pushes: Option<Arc<Pushes>>,
    pub(super) broken: Broken,
    /// For the connection of a caller's runtime: that of the keeper, which is beside it and hears the same.
    pub(super) beside: Option<Broken>,
}

/// Set when a connection has failed.
pub(super) type Broken = Arc<AtomicBool>;

impl Receiver {
    pub(super) fn receive(&self, push: &PushInfo) {
        // A shard subscription ends by itself when its slot moves.
        let is_over = matches!(push.kind, PushKind::Disconnection | PushKind::SUnsubscribe);
        if is_over {
            self.broken.store(true, Ordering::Release);
        }
        let Some(pushes) = &self.pushes else { return };
        match push.kind {
            PushKind::Message | PushKind::SMessage => self.hand_off(pushes, push.data.get(1)),
            // A runtime's connection misses nothing that the keeper's does not tell.
            _ if self.beside.is_some() => {}
            PushKind::Invalidate => pushes.changed(push.data.first()),
            _ if is_over => pushes.wake_all(),
            _ => {}
        }
    }

    /// A push over a connection that was given up may come from another server than the present one. It only tells the
    /// waiter to ask.
    fn hand_off(&self, pushes: &Pushes, message: Option<&Value>) {
        let hand_off = message.and_then(text).and_then(|text| pushes.inbox.parse(text));
        let Some(mut hand_off) = hand_off else { return };
        if self.is_given_up() {
            hand_off.number = ASK;
        }
        match self.beside {
            Some(_) => pushes.told_beside(&hand_off),
            None => pushes.told(hand_off),
        }
    }

    fn is_given_up(&self) -> bool {
        let is_set = |broken: &Broken| broken.load(Ordering::Acquire);
        is_set(&self.broken) || self.beside.as_ref().is_some_and(is_set)
    }
}

impl Pushes {
    /// The keeper's connection tells of every hand-off, and of every lock that is taken away.
    fn told(&self, hand_off: HandOff<'_>) {
        let HandOff { owner, owner_text, number, key, is_taken_away } = hand_off;
        let stray = |taken_from| Stray { key: key.to_vec(), owner: owner_text, taken_from };
        let known = self.known.lock().get(&owner).cloned();
        let stray = match (is_taken_away, known) {
            (false, Some(_)) => return self.wakeups.wake(owner, number),
            // Its waiter may have been told already, and have released the lock since.
            (false, None) if number == ASK || self.told.lock().contains(number) => return,
            // An owner that is not known here may have a guard all the same.
            (true, None) => return,
            (_, taken_from) => stray(taken_from),
        };
        if let Some(give_back) = self.on_stray.get() {
            give_back(stray);
        }
    }

    /// A runtime's connection tells sooner: its waiters need no change of threads.
    fn told_beside(&self, hand_off: &HandOff<'_>) {
        if !hand_off.is_taken_away && self.known.lock().contains_key(&hand_off.owner) {
            self.told.lock().note(hand_off.number);
            self.wakeups.wake(hand_off.owner, hand_off.number);
        }
    }
}

/// The last few numbers. One that is forgotten too soon costs a request that releases nothing.
struct LatestNumbers {
    numbers: [GrantNumber; 64],
    next: usize,
}

impl Default for LatestNumbers {
    fn default() -> Self {
        Self { numbers: [GrantNumber::NONE; 64], next: 0 }
    }
}

impl LatestNumbers {
    fn note(&mut self, number: GrantNumber) {
        if let Some(place) = self.numbers.get_mut(self.next) {
            *place = number;
        }
        self.next = (self.next + 1) % self.numbers.len();
    }

    fn contains(&self, number: GrantNumber) -> bool {
        self.numbers.contains(&number)
    }
}

fn text(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(text) => Some(text),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Claim;
    use crate::key::LockKey;
    use crate::lease::Ttl;

    /// What one process hears, and what it gives back.
    struct Process {
        pushes: Arc<Pushes>,
        given_back: Arc<Mutex<Vec<String>>>,
        keepers: Receiver,
        runtimes: Receiver,
    }

    impl Process {
        fn new() -> Self {
            let pushes = Arc::new(Pushes::new(Inbox::new(OwnerId::random().unwrap()), Naming::default()));
            let given_back = Arc::<Mutex<Vec<String>>>::default();
            let strays = Arc::clone(&given_back);
            pushes.on_stray(move |stray| strays.lock().push(stray.owner));
            let (broken, heard) = (Broken::default(), || Some(Arc::clone(&pushes)));
            let keepers = Receiver { pushes: heard(), broken: Arc::clone(&broken), beside: None };
            let runtimes = Receiver { pushes: heard(), broken: Broken::default(), beside: Some(broken) };
            Self { given_back, keepers, runtimes, pushes }
        }

        fn hand_off(&self, claim: &Claim, number: u64) -> PushInfo {
            let message = format!("{}{number}|k", self.pushes.inbox.owner(claim));
            let data = vec![Value::Nil, Value::BulkString(message.into_bytes())];
            PushInfo { kind: PushKind::Message, data }
        }

        fn strays(&self) -> usize {
            self.given_back.lock().len()
        }
    }

    fn claim() -> Claim {
        Claim::new(LockKey::new("k").unwrap(), Ttl::default()).unwrap()
    }

    #[tokio::test]
    async fn a_hand_off_is_told_by_either_connection_and_is_no_stray_when_it_is_over() {
        let (process, claim) = (Process::new(), claim());
        let waiter = process.pushes.enter(claim.owner, LossSignal::idle());
        let push = process.hand_off(&claim, 7);
        process.runtimes.receive(&push);
        assert_eq!(waiter.woken().await, Some(GrantNumber::new(7)));
        drop(waiter);
        process.pushes.forget(claim.owner);
        process.keepers.receive(&push);
        process.runtimes.receive(&push);
        assert_eq!(process.strays(), 0);
    }

    #[test]
    fn a_hand_off_to_an_owner_that_is_not_known_is_given_back_once() {
        let (process, claim) = (Process::new(), claim());
        for number in [7, 8] {
            let push = process.hand_off(&claim, number);
            process.runtimes.receive(&push);
            process.keepers.receive(&push);
        }
        assert_eq!(process.strays(), 2);
    }

    #[tokio::test]
    async fn a_push_of_a_connection_that_was_given_up_is_the_word_to_ask() {
        for is_keepers in [true, false] {
            let (process, claim) = (Process::new(), claim());
            let waiter = process.pushes.enter(claim.owner, LossSignal::idle());
            process.keepers.broken.store(true, Ordering::Release);
            let receiver = if is_keepers { &process.keepers } else { &process.runtimes };
            receiver.receive(&process.hand_off(&claim, 7));
            assert_eq!(waiter.woken().await, Some(ASK));
        }
    }

    /// The word that a lock was taken away: heard once, and only about an owner whose guard can be ended.
    #[test]
    fn a_lock_that_was_taken_away_is_opened_for_an_owner_that_is_known() {
        let (process, mine, other) = (Process::new(), claim(), claim());
        process.pushes.know(mine.owner, LossSignal::idle());
        for claim in [&mine, &other] {
            let mut push = process.hand_off(claim, 7);
            if let Some(Value::BulkString(text)) = push.data.get_mut(1) {
                *text = [b"dl2!", text.strip_prefix(b"dl2").unwrap()].concat();
            }
            process.runtimes.receive(&push);
            process.keepers.receive(&push);
        }
        assert_eq!(*process.given_back.lock(), [process.pushes.inbox.owner(&mine)]);
    }

    #[test]
    fn of_many_numbers_the_latest_are_remembered() {
        let mut latest = LatestNumbers::default();
        (1..=100).map(GrantNumber::new).for_each(|number| latest.note(number));
        assert!(latest.contains(GrantNumber::new(100)) && latest.contains(GrantNumber::new(37)));
        assert!(!latest.contains(GrantNumber::new(36)));
    }
}
