//! One acquisition from its first request to its guard: the deadline of the wait, and undoing what an unfinished
//! request may leave.

use crate::acquisition::Acquisition;
use crate::backend::{AcquireRequest, Claim, Grant, Mode};
use crate::error::{ErrorKind, LockError, Operation};
use crate::guard::LockGuard;
use crate::lease::{FencingToken, Ttl};
use crate::request::LockRequest;
use crate::scope;
use crate::time::{Moment, sleep};
use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tracing::field::{Empty, debug, display};

/// A request that waits.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Result<LockGuard, LockError>> + Send>>;

/// Dropped before it is settled, its owner leaves in the background (I4): the guard is there from the start.
pub(crate) struct Attempt {
    guard: LockGuard,
    wait: Duration,
    trace: Trace,
}

impl Attempt {
    pub(crate) fn prepare(request: LockRequest) -> Result<Self, LockError> {
        let LockRequest { locks, key, ttl, wait } = request;
        let manager = locks.into_inner();
        let key = key.map_err(|error| error.with_operation(Operation::Acquire))?;
        let name = |error: LockError| error.with_operation(Operation::Acquire).with_key(&key);
        let ttl = ttl.map_or(Ok(manager.ttl), Ttl::new).map_err(name)?;
        let runtime = Handle::try_current().map_err(|cause| name(no_runtime().with_source(cause)))?;
        let claim = Claim::by_way_of(&*manager.backend, key, ttl)?;
        let (wait, trace) = (wait.unwrap_or(manager.wait), Trace::of(&claim, manager.backend.name()));
        let acquisition = Arc::new(Acquisition::new(claim, runtime, manager.backend.name()));
        Ok(Self { guard: LockGuard::pending(manager, acquisition), wait, trace })
    }

    /// What there is to say without waiting: a refusal, or the grant of a backend inside this process. Most locks
    /// are free.
    pub(crate) fn at_once(self) -> ControlFlow<Result<LockGuard, LockError>, Self> {
        if let Err(error) = self.admit() {
            return ControlFlow::Break(Err(self.failed(error)));
        }
        let (backend, claim, now) =
            (&self.guard.manager().backend, &self.guard.acquisition().claim, Moment::now());
        match self.trace.within(|| backend.acquire_at_once(claim, now)) {
            Some(grant) => ControlFlow::Break(Ok(self.granted(&grant, now))),
            None => ControlFlow::Continue(self),
        }
    }

    fn admit(&self) -> Result<(), LockError> {
        let manager = self.guard.manager();
        if manager.closed.is_cancelled() {
            return Err(manager.closed_error(self.guard.key()));
        }
        scope::check(manager, self.guard.key())
    }

    /// Asks the backend, for no longer than the wait and the manager's life.
    ///
    /// In one block, which has everything once: an `async fn` keeps what it is given beside what it works on.
    pub(crate) fn wait(mut self) -> Waiting {
        Box::pin(async move {
            self.guard.set_to_release(true);
            let outcome = {
                let (request, manager) = (self.request(), self.guard.manager());
                let mut asked = manager.backend.acquire(&request);
                tokio::select! {
                    biased;
                    outcome = poll_fn(|context| self.trace.within(|| asked.as_mut().poll(context))) => outcome,
                    () = manager.closed.cancelled() => Err(manager.closed_error(self.guard.key())),
                    () = sleep(self.wait), if request.mode == Mode::Wait => {
                        Err(request.progress.verdict(self.wait))
                    }
                }
            };
            match outcome {
                Ok(grant) => Ok(self.granted(&grant, Moment::now())),
                Err(error) => Err(self.failed(error)),
            }
        })
    }

    fn request(&self) -> AcquireRequest {
        let acquisition = self.guard.acquisition();
        let mode = if self.wait.is_zero() { Mode::Try } else { Mode::Wait };
        AcquireRequest::of(acquisition.claim.clone(), mode, Arc::default(), acquisition.clone())
    }

    fn granted(self, grant: &Grant, now: Moment) -> LockGuard {
        self.trace.granted(grant.token);
        self.guard.granted(grant, now)
    }

    fn failed(mut self, error: LockError) -> LockError {
        self.trace.failed(error.kind());
        if self.wait.is_zero() && error.kind() == ErrorKind::Busy {
            // A try that was refused leaves nothing: the backend's promise.
            self.guard.set_to_release(false);
        }
        self.guard.name(error, Operation::Acquire)
    }
}

fn no_runtime() -> LockError {
    LockError::new(ErrorKind::NotConfigured, "no Tokio runtime here to wait on; await locks inside one")
}

/// The span of an acquire, where somebody listens.
struct Trace(Option<Box<(tracing::Span, Moment)>>);

impl Trace {
    fn of(claim: &Claim, backend: &str) -> Self {
        let key = &claim.key;
        let span = tracing::info_span!(
            "dlock.acquire", %key, backend, outcome = Empty, waited_ms = Empty, token = Empty
        );
        Self((!span.is_disabled()).then(|| Box::new((span, Moment::now()))))
    }

    fn within<T>(&self, step: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(there) => there.0.in_scope(step),
            None => step(),
        }
    }

    /// The span of the hold that follows is no part of it.
    fn granted(self, token: FencingToken) {
        self.end(|span| span.record("outcome", "granted").record("token", display(token)));
    }

    fn failed(self, kind: ErrorKind) {
        self.end(|span| span.record("outcome", debug(kind)));
    }

    fn end(self, say: impl FnOnce(&tracing::Span) -> &tracing::Span) {
        if let Some((span, start)) = self.0.as_deref() {
            say(span).record("waited_ms", Moment::now().since(*start).as_millis());
        }
    }
}
