//! A lock that a request or its response's body holds, and for how long it may.

use crate::background::{Attended, attend};
use crate::policy::OnLost;
use dlock_core::{Lease, LockGuard, LockScope, Moment, sleep_until};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The guard of a request. Dropped, it gives the guard up; the lock is released unless a handler kept it with
/// [`Locked::hold`](crate::Locked::hold).
pub(crate) struct HeldLock {
    lease: Lease,
    scope: LockScope,
    until: Moment,
    on_lost: OnLost,
    owner: GuardOwner,
    /// Wakes work that waits while the lock is held. Made when the work first waits: most requests never do.
    watch: Option<HoldWatch>,
}

/// Says whether the time is up; if not, the lock is lost.
type HoldWatch = Pin<Box<dyn Future<Output = bool> + Send + Sync>>;

type SharedGuard = Arc<Mutex<Option<Arc<LockGuard>>>>;

/// Where the guard is.
enum GuardOwner {
    Request(Arc<LockGuard>),
    /// Also with a task that takes it away in time: a server does not poll the body of a client that does not read.
    Task {
        guard: SharedGuard,
        _task: Option<Attended>,
    },
}

impl HeldLock {
    pub(crate) fn new(guard: Arc<LockGuard>, max_hold: Duration, on_lost: OnLost) -> Self {
        let (lease, scope, until) = (guard.lease(), guard.scope(), Moment::now().after(max_hold));
        Self { lease, scope, until, on_lost, owner: GuardOwner::Request(guard), watch: None }
    }

    /// Does what is done under `held`, so that it cannot wait for the lock it is under.
    pub(crate) fn enter<T>(held: &Option<Self>, step: impl FnOnce() -> T) -> T {
        match held {
            Some(held) => held.scope.enter(step),
            None => step(),
        }
    }

    /// Whether the work under `held` has to stop now. If it may go on without the lock, `held` is given up.
    ///
    /// For work that has to stop the lock stays in `held`, so that the work can be dropped before the lock is.
    pub(crate) fn must_stop(held: &mut Option<Self>) -> bool {
        match held {
            Some(this) if this.is_over() => Self::end(held),
            _ => false,
        }
    }

    /// As [`must_stop`](Self::must_stop), for work that waits: ready once the work has to stop, pending while it may go
    /// on.
    pub(crate) fn poll_stop(held: &mut Option<Self>, context: &mut Context<'_>) -> Poll<()> {
        ready!(Self::poll_over(held, context));
        if Self::end(held) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ready once the lock is lost or held too long; never without one.
    pub(crate) fn poll_over(held: &mut Option<Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(this) = held else { return Poll::Pending };
        let watch = this.watch.get_or_insert_with(|| watch_over(&this.lease, this.until));
        let overdue = ready!(watch.as_mut().poll(context));
        this.watch = None;
        if overdue && !this.owner.is_empty() {
            tell(&this.lease);
        }
        Poll::Ready(())
    }

    /// Whether the work has waited under the lock, so that the lock may be over.
    pub(crate) fn has_waited(held: &Option<Self>) -> bool {
        held.as_ref().is_some_and(|held| held.watch.is_some())
    }

    /// Sees to it that the lock is given up in time even if the body is not polled.
    pub(crate) fn watch_from_outside(held: &mut Option<Self>) {
        if let Some(Self { lease, until, owner, .. }) = held
            && let GuardOwner::Request(guard) = owner
            && *until < Moment::START.after(Duration::MAX)
        {
            let guard = Arc::new(Mutex::new(Some(Arc::clone(guard))));
            let _task = attend(take_away_at(*until, lease.clone(), Arc::clone(&guard)));
            *owner = GuardOwner::Task { guard, _task };
        }
    }

    fn is_over(&self) -> bool {
        !self.lease.is_valid() || self.owner.is_empty() || self.watch.is_some() && Moment::now() >= self.until
    }

    /// What the layer does about a lock that is over: whether the work has to stop.
    fn end(held: &mut Option<Self>) -> bool {
        match held.as_ref().map(|held| held.on_lost) {
            Some(OnLost::Abort) => true,
            Some(OnLost::Finish) | None => {
                *held = None;
                false
            }
        }
    }
}

/// The manager tells of a lock that was lost; of one that was held too long only the layer knows.
fn tell(lease: &Lease) {
    tracing::warn!(key = %lease.key(), "a request held its lock for longer than max_hold; the layer gives the lock up");
}

fn watch_over(lease: &Lease, until: Moment) -> HoldWatch {
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

/// Needs no runtime of the caller's: it runs on the library's own thread.
async fn take_away_at(until: Moment, lease: Lease, guard: SharedGuard) {
    sleep_until(until).await;
    if let Some(guard) = take(&guard) {
        tell(&lease);
        drop(guard);
    }
}

fn take(guard: &Mutex<Option<Arc<LockGuard>>>) -> Option<Arc<LockGuard>> {
    guard.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl GuardOwner {
    fn is_empty(&self) -> bool {
        match self {
            Self::Request(_) => false,
            Self::Task { guard, .. } => guard.lock().unwrap_or_else(PoisonError::into_inner).is_none(),
        }
    }
}

impl Drop for GuardOwner {
    fn drop(&mut self) {
        if let Self::Task { guard, .. } = self {
            drop(take(guard));
        }
    }
}

impl fmt::Debug for HeldLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lease.fmt(f)
    }
}
