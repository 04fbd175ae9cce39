//! Asking for a lock: options, the deadline of the wait, and undoing what an unfinished request may leave.

use crate::backend::{AcquireRequest, Claim, Grant, Mode};
use crate::error::{ErrorKind, LockError, Operation};
use crate::guard::LockGuard;
use crate::key::LockKey;
use crate::lease::{LeaseState, Ttl};
use crate::manager::{Inner, LockManager};
use crate::renewal::Held;
use crate::scope;
use crate::time::{Moment, sleep};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tracing::Instrument as _;
use tracing::field::{Empty, display};

/// A request for one lock. Awaiting it is [`acquire`](LockRequest::acquire).
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct LockRequest {
    locks: LockManager,
    key: Result<LockKey, LockError>,
    ttl: Option<Duration>,
    wait: Option<Duration>,
}

impl LockRequest {
    pub(crate) fn new(locks: LockManager, key: Result<LockKey, LockError>) -> Self {
        Self { locks, key, ttl: None, wait: None }
    }

    /// The length of the lease, renewed while the guard lives: 100 ms to 24 h, by default the manager's.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How long to wait for the lock's turn, by default the manager's. Zero tries once;
    /// [`Duration::MAX`] waits without end.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Waits for the lock's turn and acquires it.
    ///
    /// # Errors
    /// - [`ErrorKind::Busy`]: another owner held it for the whole wait.
    /// - [`ErrorKind::Reentrant`]: the caller is inside the scope of this very lock ([`LockGuard::run`], an annotated
    ///   function, a layer). It fails at once, since it would wait for itself.
    /// - [`ErrorKind::Unavailable`]: the backend did not answer in time.
    /// - [`ErrorKind::InvalidKey`], [`ErrorKind::InvalidOption`]: the key or the ttl is out of its range.
    /// - [`ErrorKind::Closed`]: the manager was closed before or meanwhile.
    /// - [`ErrorKind::NotConfigured`]: called outside a Tokio runtime.
    /// - [`ErrorKind::Auth`], [`ErrorKind::Corrupt`], [`ErrorKind::Unsupported`]: the backend refuses.
    /// - [`ErrorKind::SequenceExhausted`]: ZooKeeper's numbers for this key are nearly used up.
    ///
    /// Whatever a failed request may have left with the backend is undone in the background.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue; a grant that was on its way is given back in the background
    /// (I4).
    pub async fn acquire(self) -> Result<LockGuard, LockError> {
        Attempt::prepare(self)?.acquire().await
    }

    /// Acquires the lock if it is free and nobody waits for it; `None` if not. Ignores
    /// [`wait`](LockRequest::wait).
    ///
    /// # Errors
    /// As [`acquire`](LockRequest::acquire), save [`ErrorKind::Busy`] and [`ErrorKind::Reentrant`]: for who only
    /// tries, a lock that it holds itself is one that is not free.
    ///
    /// # Cancel safety
    /// As [`acquire`](LockRequest::acquire).
    pub async fn try_acquire(self) -> Result<Option<LockGuard>, LockError> {
        match self.wait(Duration::ZERO).acquire().await {
            Ok(guard) => Ok(Some(guard)),
            Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::Reentrant) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Acquires the lock, runs `work` under it and releases it; `work` gets the guard and is dropped at its next await
    /// if the lock is lost. What an annotated function does, without the annotation.
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
    pub async fn run<T>(self, work: impl AsyncFnOnce(&LockGuard) -> T) -> Result<T, LockError> {
        let guard = self.acquire().await?;
        let output = guard.run(work(&guard)).await?;
        guard.release_quietly().await;
        Ok(output)
    }
}

impl IntoFuture for LockRequest {
    type Output = Result<LockGuard, LockError>;
    type IntoFuture = AcquireFuture;

    fn into_future(self) -> AcquireFuture {
        AcquireFuture(Box::pin(self.acquire()))
    }
}

/// The future of an awaited [`LockRequest`].
#[must_use = "a future does nothing until it is awaited"]
pub struct AcquireFuture(Pin<Box<dyn Future<Output = Result<LockGuard, LockError>> + Send>>);

impl Future for AcquireFuture {
    type Output = Result<LockGuard, LockError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for AcquireFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AcquireFuture(..)")
    }
}

/// One acquisition from its first request to its guard. Dropped before that, its owner leaves in the
/// background (I4).
struct Attempt {
    manager: Arc<Inner>,
    runtime: Handle,
    request: AcquireRequest,
    lease: Arc<LeaseState>,
    wait: Duration,
    /// Whether the backend may have something of this owner that no guard answers for.
    to_undo: bool,
}

impl Attempt {
    fn prepare(request: LockRequest) -> Result<Self, LockError> {
        let manager = Arc::clone(request.locks.inner());
        let key = request.key.map_err(|error| error.with_operation(Operation::Acquire))?;
        let name = |error: LockError| error.with_operation(Operation::Acquire).with_key(&key);
        let ttl = request.ttl.map_or(Ok(manager.ttl), Ttl::new).map_err(name)?;
        let runtime = Handle::try_current().map_err(|cause| name(no_runtime().with_source(cause)))?;
        let claim = Claim::by_way_of(&*manager.backend, key.clone(), ttl).map_err(name)?;
        let wait = request.wait.unwrap_or(manager.wait);
        let mode = if wait.is_zero() { Mode::Try } else { Mode::Wait };
        let lease = Arc::new(LeaseState::pending());
        let request = AcquireRequest::of(claim, mode, Arc::default(), lease.clone());
        Ok(Self { manager, runtime, request, lease, wait, to_undo: false })
    }

    fn span(&self) -> tracing::Span {
        let (key, backend) = (&self.request.claim.key, self.manager.backend.name());
        tracing::info_span!("dlock.acquire", %key, backend, outcome = Empty, waited_ms = Empty, token = Empty)
    }

    async fn acquire(mut self) -> Result<LockGuard, LockError> {
        let (start, span) = (Moment::now(), self.span());
        let outcome = self.ask().instrument(span.clone()).await;
        record(&span, &outcome, Moment::now().since(start));
        // The span of the hold that follows is no part of the acquire's.
        drop(span);
        match outcome {
            Ok(grant) => Ok(self.into_guard(&grant)),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Asks the backend, for no longer than the wait and the manager's life.
    async fn ask(&mut self) -> Result<Grant, LockError> {
        if self.manager.closed.is_cancelled() {
            return Err(self.manager.closed_error(&self.request.claim.key));
        }
        scope::check(&self.manager, &self.request.claim.key)?;
        self.to_undo = true;
        tokio::select! {
            biased;
            outcome = self.manager.backend.acquire(&self.request) => outcome,
            () = self.manager.closed.cancelled() => Err(self.manager.closed_error(&self.request.claim.key)),
            () = sleep(self.wait), if self.request.mode == Mode::Wait => {
                Err(self.request.progress.verdict(self.wait))
            }
        }
    }

    fn into_guard(mut self, grant: &Grant) -> LockGuard {
        self.to_undo = false;
        self.lease.grant(grant.valid_until, &self.request.claim.key, self.manager.backend.name());
        let (claim, lease) = (self.request.claim.clone(), Arc::clone(&self.lease));
        self.manager.guard(Held { claim, lease, runtime: self.runtime.clone() }, grant.token)
    }

    fn fail(&mut self, error: LockError) -> LockError {
        if self.request.mode == Mode::Try && error.kind() == ErrorKind::Busy {
            // A try that was refused leaves nothing: the backend's promise.
            self.to_undo = false;
        }
        let name = self.manager.backend.name();
        error.with_operation(Operation::Acquire).with_key(&self.request.claim.key).with_backend(name)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.to_undo {
            self.manager.release_in_background(self.request.claim.clone(), &self.runtime);
        }
    }
}

fn no_runtime() -> LockError {
    LockError::new(ErrorKind::NotConfigured, "no Tokio runtime here to wait on; await locks inside one")
}

fn record(span: &tracing::Span, outcome: &Result<Grant, LockError>, waited: Duration) {
    span.record("waited_ms", waited.as_millis());
    match outcome {
        Ok(grant) => {
            span.record("outcome", "granted");
            span.record("token", display(grant.token));
        }
        Err(error) => {
            span.record("outcome", tracing::field::debug(error.kind()));
        }
    }
}
