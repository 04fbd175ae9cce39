//! What servers send unasked, and the waiters that it wakes.

use super::keys::Naming;
use super::number::GrantNumber;
use super::wire::{HandOff, Inbox};
use crate::backend::wakeups::{Waiter, Wakeups};
use crate::lease::OwnerId;
use foldhash::{HashMap, HashSet};
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
    /// Owners that may be granted a lock: from before they wait until they leave.
    known: Mutex<HashSet<OwnerId>>,
    on_stray: OnceLock<Box<dyn Fn(Stray) + Send + Sync>>,
}

/// A grant for an owner that is not known here, or has left.
pub(super) struct Stray {
    pub(super) key: Vec<u8>,
    /// The owner as it stands in Redis.
    pub(super) owner: String,
}

/// The word to ask again: no grant has this number.
const ASK: GrantNumber = GrantNumber::NONE;

impl Pushes {
    pub(super) fn new(inbox: Inbox, naming: Naming) -> Self {
        let (watched, known, on_stray) = (Mutex::default(), Mutex::default(), OnceLock::new());
        Self { inbox, naming, wakeups: Wakeups::default(), watched, known, on_stray }
    }

    /// Enters a waiter, before it asks. Its owner is known until it is forgotten.
    pub(super) fn enter(&self, owner: OwnerId) -> Waiter<'_, GrantNumber> {
        self.known.lock().insert(owner);
        self.wakeups.enter(owner)
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
            PushKind::Message | PushKind::SMessage => {
                pushes.granted(push.data.get(1), self.broken.load(Ordering::Acquire));
            }
            PushKind::Invalidate => pushes.changed(push.data.first()),
            _ if is_over => pushes.wake_all(),
            _ => {}
        }
    }
}

impl Pushes {
    /// A push over a connection that was given up may come from another server than the present one. It only tells the
    /// waiter to ask.
    fn granted(&self, message: Option<&Value>, is_given_up: bool) {
        let hand_off = message.and_then(text).and_then(|text| self.inbox.parse(text));
        let Some(HandOff { owner, owner_text, number, key }) = hand_off else { return };
        if self.known.lock().contains(&owner) {
            self.wakeups.wake(owner, if is_given_up { ASK } else { number });
        } else if let (Some(give_back), true) = (self.on_stray.get(), number != ASK) {
            give_back(Stray { key: key.to_vec(), owner: owner_text });
        }
    }
}

fn text(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(text) => Some(text),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}
