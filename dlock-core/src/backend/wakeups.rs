//! Whom to wake: the waiters of one backend value in this process.

use crate::lease::OwnerId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// The waiters that can be woken, by owner. A wake-up for an owner that is not here is for nobody.
#[derive(Debug, Default)]
pub(super) struct Wakeups(Mutex<HashMap<OwnerId, Arc<Notify>>>);

impl Wakeups {
    /// Enters a waiter. To be done *before* the request that may queue it is sent: a hand-off in between
    /// would wake nobody.
    pub(super) fn enter(&self, owner: OwnerId) -> Waiter<'_> {
        let woken = Arc::new(Notify::new());
        self.0.lock().insert(owner, Arc::clone(&woken));
        Waiter { wakeups: self, owner, woken }
    }

    /// Wakes this owner. A wake-up that comes before the owner waits is kept.
    pub(super) fn wake(&self, owner: OwnerId) {
        if let Some(waiter) = self.0.lock().get(&owner) {
            waiter.notify_one();
        }
    }

    /// Wakes everybody, to ask again.
    #[cfg(feature = "redis")]
    pub(super) fn wake_all(&self) {
        self.0.lock().values().for_each(|waiter| waiter.notify_one());
    }
}

/// A waiter's place in the table, left on drop.
#[derive(Debug)]
pub(super) struct Waiter<'a> {
    wakeups: &'a Wakeups,
    owner: OwnerId,
    woken: Arc<Notify>,
}

impl Waiter<'_> {
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.wakeups.0.lock().remove(&self.owner);
    }
}
