//! Whom to wake: the waiters of one backend value in this process.

use crate::lease::OwnerId;
use foldhash::HashMap;
use parking_lot::Mutex;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The waiters that can be woken, by owner, each with the last news of it. A wake-up for an owner that is not
/// here has no waiter.
#[derive(Debug)]
pub(crate) struct Wakeups<News = ()>(Mutex<HashMap<OwnerId, Arc<Bell<News>>>>);

type Bell<News> = Mutex<Ring<News>>;

/// What a waiter was told, or whom to tell.
#[derive(Debug)]
struct Ring<News> {
    news: Option<News>,
    rung: bool,
    waiter: Option<Waker>,
}

impl<News> Default for Wakeups<News> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<News> Wakeups<News> {
    /// Enters a waiter. To be done *before* the request that may queue it is sent: a hand-off in between
    /// would wake no waiter.
    pub(crate) fn enter(&self, owner: OwnerId) -> Waiter<'_, News> {
        let bell = Arc::new(Mutex::new(Ring { news: None, rung: false, waiter: None }));
        self.0.lock().insert(owner, Arc::clone(&bell));
        Waiter { wakeups: self, owner, bell }
    }

    /// Wakes this owner. Both the wake-up and the news are kept until the owner waits.
    pub(crate) fn wake(&self, owner: OwnerId, news: News) {
        let bell = self.0.lock().get(&owner).cloned();
        if let Some(bell) = bell {
            ring(&bell, Some(news));
        }
    }

    /// Wakes this owner, to look for itself.
    pub(crate) fn wake_one(&self, owner: OwnerId) {
        let bell = self.0.lock().get(&owner).cloned();
        if let Some(bell) = bell {
            ring(&bell, None);
        }
    }

    /// How many waiters there are.
    #[cfg(feature = "redis")]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Wakes everybody, to ask again.
    #[cfg(feature = "redis")]
    pub(crate) fn wake_all(&self) {
        let bells: Vec<_> = self.0.lock().values().cloned().collect();
        bells.iter().for_each(|bell| ring(bell, None));
    }
}

/// What is woken is foreign code, so nothing may be locked meanwhile.
fn ring<News>(bell: &Bell<News>, news: Option<News>) {
    let mut ring = bell.lock();
    ring.rung = true;
    ring.news = news.or(ring.news.take());
    let waiter = ring.waiter.take();
    drop(ring);
    waiter.into_iter().for_each(Waker::wake);
}

impl<News> Ring<News> {
    fn poll(&mut self, context: &Context<'_>) -> Poll<Option<News>> {
        if std::mem::take(&mut self.rung) {
            return Poll::Ready(self.news.take());
        }
        match &mut self.waiter {
            Some(waiter) => waiter.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
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
        poll_fn(|context| self.bell.lock().poll(context)).await
    }
}

impl<News> Drop for Waiter<'_, News> {
    fn drop(&mut self) {
        self.wakeups.0.lock().remove(&self.owner);
    }
}
