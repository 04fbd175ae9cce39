//! The waiters of one backend value in this process, and how to wake them.

use super::bell::Bell;
use crate::lease::OwnerId;
use foldhash::HashMap;
use parking_lot::Mutex;
use std::sync::Arc;

/// The waiters that can be woken, by owner, each with its last news. A wake-up for an owner that is not here is
/// dropped.
#[derive(Debug)]
pub(crate) struct Wakeups<News = ()>(Mutex<HashMap<OwnerId, Arc<Bell<News>>>>);

impl<News> Default for Wakeups<News> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<News> Wakeups<News> {
    /// Enters a waiter. To be done *before* the request that may queue it is sent: a hand-off in between
    /// would wake no waiter.
    pub(crate) fn enter(&self, owner: OwnerId) -> Waiter<'_, News> {
        let bell = Arc::default();
        self.0.lock().insert(owner, Arc::clone(&bell));
        Waiter { wakeups: self, owner, bell }
    }

    /// Wakes this owner. Both the wake-up and the news are kept until the owner waits.
    pub(crate) fn wake(&self, owner: OwnerId, news: News) {
        let bell = self.0.lock().get(&owner).cloned();
        if let Some(bell) = bell {
            bell.ring(Some(news));
        }
    }

    /// How many waiters there are.
    #[cfg(feature = "redis")]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Wakes all waiters, to ask again.
    #[cfg(feature = "redis")]
    pub(crate) fn wake_all(&self) {
        let bells: Vec<_> = self.0.lock().values().cloned().collect();
        bells.iter().for_each(|bell| bell.ring(None));
    }
}

/// A waiter's place in the table, left on drop.
#[derive(Debug)]
pub(crate) struct Waiter<'a, News> {
    wakeups: &'a Wakeups<News>,
    owner: OwnerId,
    bell: Arc<Bell<News>>,
}

impl<News> Waiter<'_, News> {
    /// Waits until woken, and takes the news if there is any.
    pub(crate) async fn woken(&self) -> Option<News> {
        self.bell.rung().await
    }
}

impl<News> Drop for Waiter<'_, News> {
    fn drop(&mut self) {
        self.wakeups.0.lock().remove(&self.owner);
    }
}
