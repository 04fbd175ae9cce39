//! Asking for a lock: its options, and the future that asks.

use crate::attempt::{Attempt, Waiting, Wanted};
use crate::error::{ErrorKind, LockError};
use crate::guard::LockGuard;
use crate::holding::Holding;
use crate::key::LockKey;
use crate::kind::{Exclusive, LockKind};
use crate::label::Label;
use crate::lease::{MaxHold, Ttl};
use crate::shared::Shared;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A request for one lock. Awaiting it is [`acquire`](LockRequest::acquire).
///
/// Waiters are served in the order in which they came, as long as they are polled. A future that is pinned and not
/// polled, such as the losing branch of a loop around `select!`, keeps its place and holds up no other waiter. If its
/// turn comes and it is not polled within 50 ms, waiters behind it may pass. The grant goes to one of them, or back to
/// the backend after a second. Once the future is polled again, it goes on waiting.
///
/// The type says what is asked for: all of the key ([`Exclusive`], the default), a reader's part
/// ([`Reader`](crate::Reader)), or permits of a [semaphore](crate::Semaphore).
#[must_use = "a request does nothing until it is awaited"]
pub struct LockRequest<S = Exclusive>(Option<Wanted>, S);

impl<S: LockKind> LockRequest<S> {
    pub(crate) fn new(manager: Arc<Shared>, key: Result<LockKey, LockError>, kind: S) -> Self {
        let (ttl, wait, label, max_hold) = (None, None, None, None);
        Self(Some(Wanted { manager, key, ttl, wait, label, max_hold }), kind)
    }

    /// The length of the lease, renewed while the guard lives: 100 ms to 24 h, by default the manager's.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.with(|wanted| match Ttl::new(ttl) {
            Ok(ttl) => wanted.ttl = Some(ttl),
            Err(error) => wanted.refuse(error),
        })
    }

    /// How long to wait for the lock's turn, by default the manager's. Zero tries once;
    /// [`Duration::MAX`] waits without end.
    pub fn wait(self, wait: Duration) -> Self {
        self.with(|wanted| wanted.wait = Some(wait))
    }

    /// What the caller calls itself as the holder and as a waiter, by default the manager's [label](Label).
    ///
    /// Requests of one process with different labels stand in different lines: the lock is handed over from one
    /// to the other by the backend, not inside the process. So prefer a label for each process or kind of work to one for
    /// each request.
    ///
    /// A label that is not valid is reported when the request is awaited.
    pub fn label<L>(self, label: L) -> Self
    where
        L: TryInto<Label>,
        L::Error: Into<LockError>,
    {
        let label = label.try_into().map_err(Into::into);
        self.with(|wanted| match label {
            Ok(label) => wanted.label = Some(label),
            Err(error) => wanted.refuse(error),
        })
    }

    /// How long the guard may hold the lock, by default the manager's limit. [`Duration::MAX`] sets no limit. It counts from
    /// the grant.
    ///
    /// A lock is renewed for as long as its guard lives, so work that hangs keeps it for ever. After `max_hold` the lease
    /// is no longer renewed, and the guard is lost with [`LossReason::MaxHold`](crate::LossReason::MaxHold).
    ///
    /// The holder may still be at work, so the key stays closed until the last lease is over. That takes one `ttl` at
    /// most, and over ZooKeeper one session timeout at most. Dropping or releasing the guard opens the key at once.
    ///
    /// A `max_hold` shorter than the `ttl` ends the guard as well.
    ///
    /// ```
    /// use dlock_core::{EmbeddedBackend, LockManager, LossReason, TestClock};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let clock = TestClock::new();
    /// let locks = LockManager::builder(EmbeddedBackend::with_clock(clock.clone())).build()?;
    /// let guard = locks.lock("order:42").max_hold(Duration::from_secs(10)).await?;
    /// clock.advance(Duration::from_secs(10));
    /// assert_eq!(guard.lost().await, LossReason::MaxHold);
    /// assert!(locks.lock("order:42").try_acquire().await?.is_none()); // its lease is 30 s
    /// drop(guard);
    /// assert!(locks.lock("order:42").try_acquire().await?.is_some());
    /// # Ok(()) }
    /// ```
    pub fn max_hold(self, max_hold: Duration) -> Self {
        self.with(|wanted| match MaxHold::new(max_hold) {
            Ok(max_hold) => wanted.max_hold = Some(max_hold),
            Err(error) => wanted.refuse(error),
        })
    }

    /// The same, which fails with `error` when it is awaited.
    pub(crate) fn refused(self, error: LockError) -> Self {
        self.with(|wanted| wanted.refuse(error))
    }

    fn with(mut self, set: impl FnOnce(&mut Wanted)) -> Self {
        self.0.as_mut().map(set);
        self
    }

    /// Waits for the lock's turn and acquires it.
    ///
    /// # Errors
    /// - [`ErrorKind::Busy`]: another owner held the lock for the whole wait.
    /// - [`ErrorKind::Reentrant`]: the caller is inside the scope of this very lock ([`LockGuard::run`], an annotated
    ///   function, a layer). It fails at once, since it would wait for itself.
    /// - [`ErrorKind::Unavailable`]: the backend did not answer in time.
    /// - [`ErrorKind::InvalidKey`], [`ErrorKind::InvalidOption`]: the key, the ttl, the label or `max_hold` is out of
    ///   its range.
    /// - [`ErrorKind::Closed`]: the manager is closed, or was closed during the wait.
    /// - [`ErrorKind::NotConfigured`]: called in a process that was forked after the manager was built.
    /// - [`ErrorKind::Auth`], [`ErrorKind::Corrupt`], [`ErrorKind::Unsupported`]: the backend refuses. For readers and permits
    ///   it must promise [`Guarantees::SHARES`](crate::Guarantees::SHARES).
    /// - [`ErrorKind::SequenceExhausted`]: ZooKeeper's numbers for this key are nearly used up.
    ///
    /// Whatever a failed request may have left with the backend is undone in the background.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue. A grant that was on its way is given back in the background.
    pub async fn acquire(self) -> Result<LockGuard<S>, LockError> {
        self.into_future().await
    }

    /// As [`acquire`](Self::acquire), for a thread that may block: a plain thread, or one inside `spawn_blocking` or
    /// `block_in_place`. In async code it blocks the runtime's thread.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// ```
    /// use dlock_core::{EmbeddedBackend, LockManager};
    ///
    /// # fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = LockManager::builder(EmbeddedBackend::new()).build()?;
    /// let guard = locks.lock("order:42").blocking_acquire()?;
    /// assert!(guard.is_valid());
    /// guard.blocking_release()?;
    /// # Ok(()) }
    /// ```
    pub fn blocking_acquire(self) -> Result<LockGuard<S>, LockError> {
        pollster::block_on(self.into_future())
    }

    /// Acquires the lock if it is free and has no waiters; otherwise `None`. A part must fit beside the holders, and have no
    /// waiters ahead of it. It ignores [`wait`](LockRequest::wait).
    ///
    /// # Errors
    /// As [`acquire`](LockRequest::acquire), without [`ErrorKind::Busy`] and [`ErrorKind::Reentrant`]: a lock that the caller
    /// itself holds is not free, and the answer is `None`.
    ///
    /// # Cancel safety
    /// As [`acquire`](LockRequest::acquire).
    pub async fn try_acquire(self) -> Result<Option<LockGuard<S>>, LockError> {
        match self.wait(Duration::ZERO).into_future().await {
            Ok(guard) => Ok(Some(guard)),
            Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::Reentrant) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Acquires the lock, runs `work` under it and releases it. `work` gets the guard. If the lock is lost, `work` is
    /// dropped at its next await. This is what an annotated function does, without the annotation.
    ///
    /// # Errors
    /// As [`acquire`](LockRequest::acquire), and [`ErrorKind::Lost`] if the lock was lost while `work` ran. A failed
    /// release is not an error: the lease ends it.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work` and releases the lock in the background.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:").await?;
    /// let order = String::from("42");
    /// let paid = locks
    ///     .lock("order:42")
    ///     .wait(Duration::from_secs(2))
    ///     .run(async |guard| format!("{order} under {}", guard.key()))
    ///     .await?;
    /// assert_eq!(paid, "42 under order:42");
    /// # Ok(()) }
    /// ```
    pub async fn run<T>(self, work: impl AsyncFnOnce(&LockGuard<S>) -> T) -> Result<T, LockError> {
        let guard = self.into_future().await?;
        let output = guard.run(work(&guard)).await?;
        guard.release_quietly().await;
        Ok(output)
    }
}

impl<S: LockKind> IntoFuture for LockRequest<S> {
    type Output = Result<LockGuard<S>, LockError>;
    type IntoFuture = AcquireFuture<S>;

    fn into_future(mut self) -> AcquireFuture<S> {
        AcquireFuture(self.0.take().map_or(Stage::Done, Stage::Asked), self.1)
    }
}

impl<S> fmt::Debug for LockRequest<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockRequest").field(&self.0).finish()
    }
}

/// Nothing was asked for: mostly an `.await` is missing.
impl<S> Drop for LockRequest<S> {
    fn drop(&mut self) {
        if let Some(wanted) = self.0.take() {
            let key = wanted.key.as_ref().ok().map(tracing::field::display);
            tracing::debug!(key, "a request for a lock was dropped before it was awaited");
        }
    }
}

/// The future of an awaited [`LockRequest`].
#[must_use = "a future does nothing until it is awaited"]
pub struct AcquireFuture<S = Exclusive>(Stage, S);

enum Stage {
    Asked(Wanted),
    /// In a box: only what has to wait pays for the room.
    Waiting(Waiting),
    Done,
}

impl<S: LockKind> AcquireFuture<S> {
    fn start(&mut self, wanted: Wanted, context: &mut Context<'_>) -> Poll<Result<Holding, LockError>> {
        match Attempt::prepare(wanted, self.1.share())?.at_once() {
            ControlFlow::Break(outcome) => Poll::Ready(outcome),
            ControlFlow::Continue(attempt) => {
                let mut waiting = attempt.wait();
                let polled = waiting.as_mut().poll(context);
                self.0 = Stage::Waiting(waiting);
                polled
            }
        }
    }
}

impl<S: LockKind> Future for AcquireFuture<S> {
    type Output = Result<LockGuard<S>, LockError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = match &mut self.0 {
            Stage::Waiting(waiting) => waiting.as_mut().poll(context),
            stage => match std::mem::replace(stage, Stage::Done) {
                Stage::Asked(wanted) => self.start(wanted, context),
                // Only a caller that polls again after the output gets here.
                Stage::Waiting(_) | Stage::Done => Poll::Pending,
            },
        };
        polled.map_ok(LockGuard::of)
    }
}

impl<S> fmt::Debug for AcquireFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AcquireFuture(..)")
    }
}
