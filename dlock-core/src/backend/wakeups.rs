//! Whom to wake: the waiters of one backend value in this process.

use crate::lease::OwnerId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// The waiters that can be woken, by owner, each with the last news of it. A wake-up for an owner that is not
/// here is for nobody.
#[derive(Debug)]
pub(crate) struct Wakeups<News = ()>(Mutex<HashMap<OwnerId, Arc<Bell<News>>>>);

#[derive(Debug)]
struct Bell<News> {
    news: Mutex<Option<News>>,
    rung: Notify,
}

impl<News> Default for Wakeups<News> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<News> Wakeups<News> {
    /// Enters a waiter. To be done *before* the request that may queue it is sent: a hand-off in between
    /// would wake nobody.
    pub(crate) fn enter(&self, owner: OwnerId) -> Waiter<'_, News> {
        let bell = Arc::new(Bell { news: Mutex::new(None), rung: Notify::new() });
        self.0.lock().insert(owner, Arc::clone(&bell));
        Waiter { wakeups: self, owner, bell }
    }

    /// Wakes this owner. Both the wake-up and the news are kept until the owner waits.
    pub(crate) fn wake(&self, owner: OwnerId, news: News) {
        if let Some(bell) = self.0.lock().get(&owner) {
            *bell.news.lock() = Some(news);
            bell.rung.notify_one();
        }
    }

    /// Wakes everybody, to ask again.
    #[cfg(feature = "redis")]
    pub(crate) fn wake_all(&self) {
        self.0.lock().values().for_each(|bell| bell.rung.notify_one());
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
        self.bell.rung.notified().await;
        self.bell.news.lock().take()
    }
}

impl<News> Drop for Waiter<'_, News> {
    fn drop(&mut self) {
        self.wakeups.0.lock().remove(&self.owner);
    }
}
