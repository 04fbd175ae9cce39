//! The layer: what it locks, and how.

use crate::future::Stage;
use crate::key::KeyFromRequest;
use crate::locked::Locked;
use crate::rejection::LockRejection;
use crate::service::Lock;
use dlock_core::{AcquireFuture, LockKey, LockManager};
use http::StatusCode;
use http::request::Parts;
use std::fmt;
use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;
use tower_layer::Layer;

/// Locks what a request is about before the inner service sees it. Cheap to clone.
///
/// The [crate's page](crate) is the guide.
///
/// ```
/// use dlock_core::{EmbeddedBackend, LockManager};
/// use dlock_tower::{HoldUntil, Key, LockLayer};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), dlock_core::LockError> {
/// let locks = LockManager::builder(EmbeddedBackend::new()).build()?;
/// let layer = LockLayer::new(locks, Key::new("report").uri_path())
///     .wait(Duration::from_secs(5))
///     .ttl(Duration::from_secs(10))
///     .hold(HoldUntil::Head);
/// # let _ = layer; Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until a service is wrapped in it"]
pub struct LockLayer {
    locks: LockManager,
    key: Arc<dyn KeyFromRequest>,
    settings: Settings,
}

/// Until when a request holds its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum HoldUntil {
    /// Until the response's body is at its end, fails or is dropped. A body that is one piece is at its end
    /// as soon as the server took the piece, however slowly the client reads.
    #[default]
    BodyEnd,
    /// Until the handler has returned: what a streamed body still does is not under the lock.
    Head,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    wait: Duration,
    ttl: Option<Duration>,
    hold: HoldUntil,
    busy_status: StatusCode,
    retry_after: Duration,
}

impl LockLayer {
    /// A layer that locks, with `locks`, what `key` reads from a request: a [`Key`](crate::Key), or a closure
    /// `Fn(&Parts) -> Result<Option<LockKey>, KeyError>` where `Ok(None)` leaves the request unlocked.
    pub fn new(locks: LockManager, key: impl KeyFromRequest) -> Self {
        Self { locks, key: Arc::new(key), settings: Settings::default() }
    }

    /// How long a request waits for its turn before it is answered as busy, by default 2 seconds. Zero tries
    /// once; [`Duration::MAX`] waits without end.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.wait = wait;
        self
    }

    /// Answers a request as busy at once if another has the lock or waits for it: a [`wait`](Self::wait) of
    /// zero. Not the default.
    pub fn try_once(self) -> Self {
        self.wait(Duration::ZERO)
    }

    /// The length of the lease, renewed while the request is handled: 100 ms to 24 h, by default the
    /// manager's. Out of that range every request is answered 500.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = Some(ttl);
        self
    }

    /// Until when a request holds its lock, by default [`HoldUntil::BodyEnd`].
    pub fn hold(mut self, until: HoldUntil) -> Self {
        self.settings.hold = until;
        self
    }

    /// The status of the answer to a request whose lock stayed busy, by default 409 Conflict. Prefer 4xx:
    /// load balancers take a server that answers 5xx for ill, when it is the key that is busy.
    pub fn busy_status(mut self, status: StatusCode) -> Self {
        self.settings.busy_status = status;
        self
    }

    /// What `Retry-After` tells a client whose request was not handled, by default 1 second. Sent in whole
    /// seconds, rounded up, and never less than one.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.settings.retry_after = after;
        self
    }

    /// The first stage of a request with these parts.
    pub(crate) fn begin<F>(&self, parts: &Parts) -> Stage<F> {
        match self.key.lock_key(parts) {
            Err(error) => Stage::Rejected { rejection: self.reject(error) },
            Ok(Some(key)) if !Locked::covers(parts, &self.locks, &key) => {
                Stage::Acquiring { acquiring: self.acquire(key) }
            }
            Ok(_) => Stage::Readying { held: None },
        }
    }

    /// The answer to `error`, as this layer gives it.
    pub(crate) fn reject(&self, error: impl Into<LockRejection>) -> LockRejection {
        error.into().answered_with(self.settings.busy_status, self.settings.retry_after)
    }

    pub(crate) fn locks(&self) -> &LockManager {
        &self.locks
    }

    pub(crate) fn hold_until(&self) -> HoldUntil {
        self.settings.hold
    }

    fn acquire(&self, key: LockKey) -> AcquireFuture {
        let request = self.locks.lock(key).wait(self.settings.wait);
        match self.settings.ttl {
            Some(ttl) => request.ttl(ttl).into_future(),
            None => request.into_future(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(2),
            ttl: None,
            hold: HoldUntil::default(),
            busy_status: LockRejection::BUSY_STATUS,
            retry_after: LockRejection::RETRY_AFTER,
        }
    }
}

impl<S> Layer<S> for LockLayer {
    type Service = Lock<S>;

    fn layer(&self, inner: S) -> Lock<S> {
        Lock::new(inner, self.clone())
    }
}

impl fmt::Debug for LockLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockLayer")
            .field("locks", &self.locks)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
