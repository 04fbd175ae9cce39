//! How one waiter is woken.

use parking_lot::Mutex;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// Rings for one waiter, sometimes with news. Both are kept until the waiter waits.
#[derive(Debug)]
pub(crate) struct Bell<News = ()>(Mutex<Ring<News>>);

/// What the waiter was told, or its waker.
#[derive(Debug)]
struct Ring<News> {
    news: Option<News>,
    rung: bool,
    waiter: Option<Waker>,
}

impl<News> Default for Bell<News> {
    fn default() -> Self {
        Self(Mutex::new(Ring { news: None, rung: false, waiter: None }))
    }
}

impl<News> Bell<News> {
    /// Wakes the waiter. A waker is code from outside the library, so nothing may be locked meanwhile.
    pub(crate) fn ring(&self, news: Option<News>) {
        let mut ring = self.0.lock();
        ring.rung = true;
        ring.news = news.or(ring.news.take());
        let waiter = ring.waiter.take();
        drop(ring);
        waiter.into_iter().for_each(Waker::wake);
    }

    /// Waits until it is rung, and takes the news if there is any. For one waiter.
    pub(crate) async fn rung(&self) -> Option<News> {
        poll_fn(|context| self.0.lock().poll(context)).await
    }
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
