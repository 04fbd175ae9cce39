//! A lock that a request or its response's body holds, and for how long it may.

use crate::layer::OnLost;
use dlock_core::{LockGuard, LockScope, Moment, sleep_until};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The guard of a request. Dropped, it gives the guard up; the lock is released unless a handler kept it with
/// [`Locked::hold`](crate::Locked::hold).
pub(crate) struct Held {
    guard: Arc<LockGuard>,
    scope: LockScope,
    until: Moment,
    on_lost: OnLost,
    /// Wakes whoever waits while the lock is held. Made when somebody does: most requests never wait.
    watch: Option<Watch>,
}

type Watch = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// What to do with that which runs under the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    GoOn,
    Stop,
}

impl Held {
    pub(crate) fn new(guard: LockGuard, max_hold: Duration, on_lost: OnLost) -> Self {
        let (scope, until) = (guard.scope(), Moment::now().after(max_hold));
        Self { guard: Arc::new(guard), scope, until, on_lost, watch: None }
    }

    /// Does what is done under `held`, so that it cannot wait for the lock it is under.
    pub(crate) fn enter<T>(held: &Option<Self>, step: impl FnOnce() -> T) -> T {
        match held {
            Some(held) => held.scope.enter(step),
            None => step(),
        }
    }

    pub(crate) fn guard(&self) -> &Arc<LockGuard> {
        &self.guard
    }

    /// Whether what runs under `held` has to stop now. If it goes on without a lock, `held` is given up.
    ///
    /// The lock stays in `held` for what has to stop, so that it can be dropped before the lock is.
    pub(crate) fn look(held: &mut Option<Self>) -> Verdict {
        let Some(this) = held.as_ref().filter(|held| held.is_over()) else { return Verdict::GoOn };
        this.tell();
        match this.on_lost {
            OnLost::Abort => Verdict::Stop,
            OnLost::Finish => {
                *held = None;
                Verdict::GoOn
            }
        }
    }

    /// As [`look`](Self::look), for what waits: wakes it when the answer may have changed. Pending while it may
    /// go on.
    pub(crate) fn poll_stop(held: &mut Option<Self>, context: &mut Context<'_>) -> Poll<()> {
        ready!(Self::poll_over(held, context));
        match Self::look(held) {
            Verdict::Stop => Poll::Ready(()),
            Verdict::GoOn => Poll::Pending,
        }
    }

    /// Ready once the lock is lost or held too long; never without one.
    pub(crate) fn poll_over(held: &mut Option<Self>, context: &mut Context<'_>) -> Poll<()> {
        match held {
            Some(Self { guard, until, watch, .. }) => {
                watch.get_or_insert_with(|| watch_over(guard, *until)).as_mut().poll(context)
            }
            None => Poll::Pending,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        !self.guard.is_valid() || Moment::now() >= self.until
    }

    /// The manager tells of a lock that was lost; of one that was held too long only the layer knows.
    fn tell(&self) {
        if self.guard.is_valid() {
            tracing::warn!(key = %self.guard.key(), "lock held for longer than max_hold; it is given up");
        }
    }
}

fn watch_over(guard: &LockGuard, until: Moment) -> Watch {
    let lease = guard.lease();
    Box::pin(async move {
        let mut lost = std::pin::pin!(lease.lost());
        let mut overdue = std::pin::pin!(sleep_until(until));
        std::future::poll_fn(|context| {
            let over = lost.as_mut().poll(context).is_ready() || overdue.as_mut().poll(context).is_ready();
            if over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    })
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guard.fmt(f)
    }
}
