//! A lock that a request or its response's body holds, and for how long it may.

use crate::layer::OnLost;
use dlock_core::{Lease, LockGuard, LockScope, Moment, sleep_until};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::AbortHandle;

/// The guard of a request. Dropped, it gives the guard up; the lock is released unless a handler kept it with
/// [`Locked::hold`](crate::Locked::hold).
pub(crate) struct Held {
    lease: Lease,
    scope: LockScope,
    until: Moment,
    on_lost: OnLost,
    keeper: Keeper,
    /// Wakes whoever waits while the lock is held. Made when somebody does: most requests never wait.
    watch: Option<Watch>,
}

/// Says whether the time is up; if not, the lock is lost.
type Watch = Pin<Box<dyn Future<Output = bool> + Send + Sync>>;

/// Where the guard is.
enum Keeper {
    Request(Arc<LockGuard>),
    /// Also with a task that takes it away in time: a server does not poll the body of a client that does not read.
    Task {
        guard: Arc<Mutex<Option<Arc<LockGuard>>>>,
        task: Option<AbortHandle>,
    },
}

/// What to do with that which runs under the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    GoOn,
    Stop,
}

impl Held {
    pub(crate) fn new(guard: Arc<LockGuard>, max_hold: Duration, on_lost: OnLost) -> Self {
        let (lease, scope, until) = (guard.lease(), guard.scope(), Moment::now().after(max_hold));
        Self { lease, scope, until, on_lost, keeper: Keeper::Request(guard), watch: None }
    }

    /// Does what is done under `held`, so that it cannot wait for the lock it is under.
    pub(crate) fn enter<T>(held: &Option<Self>, step: impl FnOnce() -> T) -> T {
        match held {
            Some(held) => held.scope.enter(step),
            None => step(),
        }
    }

    /// Whether what runs under `held` has to stop now. If it goes on without a lock, `held` is given up.
    ///
    /// The lock stays in `held` for what has to stop, so that it can be dropped before the lock is.
    pub(crate) fn look(held: &mut Option<Self>) -> Verdict {
        match held {
            Some(this) if this.is_over() => Self::end(held),
            _ => Verdict::GoOn,
        }
    }

    /// As [`look`](Self::look), for what waits: wakes it when the answer may have changed. Pending while it may
    /// go on.
    pub(crate) fn poll_stop(held: &mut Option<Self>, context: &mut Context<'_>) -> Poll<()> {
        ready!(Self::poll_over(held, context));
        match Self::end(held) {
            Verdict::Stop => Poll::Ready(()),
            Verdict::GoOn => Poll::Pending,
        }
    }

    /// Ready once the lock is lost or held too long; never without one.
    pub(crate) fn poll_over(held: &mut Option<Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(this) = held else { return Poll::Pending };
        let watch = this.watch.get_or_insert_with(|| watch_over(&this.lease, this.until));
        let overdue = ready!(watch.as_mut().poll(context));
        this.watch = None;
        if overdue && !this.keeper.is_empty() {
            tell(&this.lease);
        }
        Poll::Ready(())
    }

    /// Whether somebody has waited under the lock, so that it may be over.
    pub(crate) fn has_waited(held: &Option<Self>) -> bool {
        held.as_ref().is_some_and(|held| held.watch.is_some())
    }

    /// Sees to it that the lock is given up in time even if nobody polls what runs under it.
    pub(crate) fn watch_from_outside(held: &mut Option<Self>) {
        if let Some(Self { lease, until, keeper, .. }) = held
            && let Keeper::Request(guard) = keeper
            && *until < Moment::START.after(Duration::MAX)
        {
            let guard = Arc::new(Mutex::new(Some(Arc::clone(guard))));
            let task = take_away_at(*until, lease.clone(), Arc::clone(&guard));
            *keeper = Keeper::Task { guard, task };
        }
    }

    fn is_over(&self) -> bool {
        !self.lease.is_valid()
            || self.keeper.is_empty()
            || self.watch.is_some() && Moment::now() >= self.until
    }

    fn end(held: &mut Option<Self>) -> Verdict {
        match held.as_ref().map(|held| held.on_lost) {
            Some(OnLost::Abort) => Verdict::Stop,
            Some(OnLost::Finish) | None => {
                *held = None;
                Verdict::GoOn
            }
        }
    }
}

/// The manager tells of a lock that was lost; of one that was held too long only the layer knows.
fn tell(lease: &Lease) {
    tracing::warn!(key = %lease.key(), "lock held for longer than max_hold; it is given up");
}

fn watch_over(lease: &Lease, until: Moment) -> Watch {
    let lease = lease.clone();
    Box::pin(async move {
        let mut lost = std::pin::pin!(lease.lost());
        let mut overdue = std::pin::pin!(sleep_until(until));
        std::future::poll_fn(|context| {
            if lost.as_mut().poll(context).is_ready() {
                return Poll::Ready(false);
            }
            overdue.as_mut().poll(context).map(|()| true)
        })
        .await
    })
}

/// Nobody is there to take it away outside of a runtime; there nobody serves bodies that are not polled, either.
fn take_away_at(
    until: Moment,
    lease: Lease,
    guard: Arc<Mutex<Option<Arc<LockGuard>>>>,
) -> Option<AbortHandle> {
    let runtime = tokio::runtime::Handle::try_current().ok()?;
    let task = runtime.spawn(async move {
        sleep_until(until).await;
        if let Some(guard) = take(&guard) {
            tell(&lease);
            drop(guard);
        }
    });
    Some(task.abort_handle())
}

fn take(guard: &Mutex<Option<Arc<LockGuard>>>) -> Option<Arc<LockGuard>> {
    guard.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Keeper {
    fn is_empty(&self) -> bool {
        match self {
            Self::Request(_) => false,
            Self::Task { guard, .. } => guard.lock().unwrap_or_else(PoisonError::into_inner).is_none(),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Self::Task { guard, task } = self {
            drop(take(guard));
            task.iter().for_each(AbortHandle::abort);
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lease.fmt(f)
    }
}
