//! What servers send unasked, and whom it wakes.

use super::owner::Inbox;
use crate::backend::wakeups::{Waiter, Wakeups};
use crate::lease::{FencingToken, OwnerId};
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The waiters of one backend value, and what they want to hear of.
pub(super) struct Pushes {
    pub(super) inbox: Inbox,
    wakeups: Wakeups<FencingToken>,
    /// Keys that a client of another library holds, each with the first of our waiters for it.
    watched: Mutex<HashMap<Vec<u8>, OwnerId>>,
}

/// The word to ask again: no grant has this token.
const ASK: FencingToken = FencingToken::new(0);

impl Pushes {
    pub(super) fn new(inbox: Inbox) -> Self {
        Self { inbox, wakeups: Wakeups::default(), watched: Mutex::default() }
    }

    /// Enters a waiter, before it asks.
    pub(super) fn enter(&self, owner: OwnerId) -> Waiter<'_, FencingToken> {
        self.wakeups.enter(owner)
    }

    /// Has everybody ask again: a push may have been missed.
    pub(super) fn wake_all(&self) {
        self.wakeups.wake_all();
    }

    /// Has `owner` woken when the value of `key` changes, which is to be read after this.
    pub(super) fn watch(&self, key: &[u8], owner: OwnerId) -> Watch<'_> {
        self.watched.lock().insert(key.to_vec(), owner);
        Watch { pushes: self, key: key.to_vec(), owner }
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
pub(super) struct Watch<'a> {
    pushes: &'a Pushes,
    key: Vec<u8>,
    owner: OwnerId,
}

impl Drop for Watch<'_> {
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
    pub(super) pushes: Arc<Pushes>,
    /// Set when the connection is of no use any more.
    pub(super) broken: Arc<AtomicBool>,
}

impl Receiver {
    pub(super) fn receive(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Message | PushKind::SMessage => self.granted(push.data.get(1)),
            PushKind::Invalidate => self.pushes.changed(push.data.first()),
            // A shard subscription ends by itself when its slot moves.
            PushKind::Disconnection | PushKind::SUnsubscribe => {
                self.broken.store(true, Ordering::Release);
                self.pushes.wake_all();
            }
            _ => {}
        }
    }

    fn granted(&self, message: Option<&Value>) {
        if let Some((owner, token)) = message.and_then(text).and_then(|text| self.pushes.inbox.parse(text)) {
            self.pushes.wakeups.wake(owner, token);
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
