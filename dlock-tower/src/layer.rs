//! The layer and its setters.

use crate::key::KeyFromRequest;
use crate::policy::{HoldUntil, OnLost, OnUnavailable};
use crate::read_first::{AsItComes, ReadFirst};
use crate::rejection::LockRejection;
use crate::service::Lock;
use crate::settings::LayerSettings;
use crate::wait_limit::WaitLimit;
use bytes::Bytes;
use dlock_core::LockManager;
use http::{Response, StatusCode};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use tower_layer::Layer;

/// Locks what a request is about before the inner service sees it. It is cheap to clone. Clones share the count of
/// [`max_waiting`](Self::max_waiting).
///
/// The [crate's page](crate) is the guide.
///
/// ```
/// use dlock_core::{EmbeddedBackend, LockManager};
/// use dlock_tower::{HoldUntil, Key, LockLayer, OnLost, OnUnavailable};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), dlock_core::LockError> {
/// let locks = LockManager::builder(EmbeddedBackend::new()).build()?;
/// let layer = LockLayer::new(locks, Key::new("report").uri_path())
///     .wait(Duration::from_secs(5))
///     .ttl(Duration::from_secs(10))
///     .max_hold(Duration::from_secs(30))
///     .max_waiting(16, 1_000)
///     .hold(HoldUntil::Head)
///     .on_lost(OnLost::Finish)
///     .on_unavailable(OnUnavailable::Proceed);
/// assert!(format!("{layer:?}").contains("wait: 5s"));
/// # Ok(()) }
/// ```
///
/// `M` is how the request's body is treated, see [`read_body_first`](Self::read_body_first).
#[must_use = "a layer does nothing until a service is wrapped in it"]
pub struct LockLayer<M = AsItComes> {
    settings: Arc<LayerSettings>,
    mode: PhantomData<fn() -> M>,
}

impl LockLayer {
    /// A layer that locks, with `locks`, what `key` reads from a request: a [`Key`](crate::Key), or a closure
    /// `Fn(&Parts) -> Result<Option<LockKey>, KeyError>` where `Ok(None)` leaves the request unlocked.
    pub fn new(locks: LockManager, key: impl KeyFromRequest) -> Self {
        Self::of(Arc::new(LayerSettings::new(locks, Arc::new(key))))
    }
}

impl<M> LockLayer<M> {
    fn of(settings: Arc<LayerSettings>) -> Self {
        Self { settings, mode: PhantomData }
    }

    fn with(mut self, set: impl FnOnce(&mut LayerSettings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }

    /// How long a request waits for its turn before it is answered as busy, by default 2 seconds. Zero tries
    /// once; [`Duration::MAX`] waits without end.
    pub fn wait(self, wait: Duration) -> Self {
        self.with(|settings| settings.wait = wait)
    }

    /// Answers a request as busy at once if another request has the lock or waits for it: a [`wait`](Self::wait) of
    /// zero. It is off by default.
    pub fn try_once(self) -> Self {
        self.wait(Duration::ZERO)
    }

    /// The length of the lease, renewed while the request is handled: 100 ms to 24 h, by default the
    /// manager's. Out of that range every request is answered 500.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.with(|settings| settings.ttl = Some(ttl))
    }

    /// How long a request may hold its lock, including the time for the response's body; by default 60 seconds. After
    /// that the lock is treated as lost, see [`OnLost`]. So neither a client that reads a stream slowly nor a handler
    /// that hangs can keep it for ever. [`Duration::MAX`] sets no limit.
    ///
    /// A guard from [`Locked::hold`](crate::Locked::hold) is not bound by it: the code that keeps the guard decides.
    /// A [`max_hold`](dlock_core::LockManagerBuilder::max_hold) of the manager bounds both.
    pub fn max_hold(self, max_hold: Duration) -> Self {
        self.with(|settings| settings.max_hold = max_hold)
    }

    /// How many requests may wait, for one key and in all; by default 64 and 4,096, and at least one. Further requests
    /// are answered 429 at once, without a request to the backend.
    ///
    /// This counts the requests of this layer and its clones that have asked for their lock and do not have it yet.
    /// With [`try_once`](Self::try_once) no request waits, and none is counted.
    pub fn max_waiting(self, per_key: usize, total: usize) -> Self {
        self.with(|settings| settings.wait_limit = Arc::new(WaitLimit::new(per_key, total)))
    }

    /// Until when a request holds its lock, by default [`HoldUntil::BodyEnd`].
    pub fn hold(self, until: HoldUntil) -> Self {
        self.with(|settings| settings.hold = until)
    }

    /// What happens to a request whose lock is lost while it is handled; by default [`OnLost::Abort`].
    pub fn on_lost(self, on_lost: OnLost) -> Self {
        self.with(|settings| settings.on_lost = on_lost)
    }

    /// What happens to a request while the backend cannot be reached; by default [`OnUnavailable::Reject`].
    pub fn on_unavailable(self, on_unavailable: OnUnavailable) -> Self {
        self.with(|settings| settings.on_unavailable = on_unavailable)
    }

    /// Reads the body of a request before its lock is asked for, so that a slow upload does not hold the lock.
    /// By default it is read by the handler, under the lock.
    ///
    /// A body of more than `bytes` is answered 413, and one that breaks off 400. The handler gets the body in one
    /// piece, without trailers. So the body's type must be one that can be made from `Bytes`, such as axum's `Body` or
    /// [`Full<Bytes>`](http_body_util::Full). A request that is not locked is passed on unread.
    ///
    /// This sets no time for the client to send its body: put a timeout layer outside.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use dlock_core::{EmbeddedBackend, LockManager};
    /// use dlock_tower::{Key, LockLayer};
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt as _, Full};
    /// use tower::{Layer as _, ServiceExt as _, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockManager::builder(EmbeddedBackend::new()).build()?;
    /// let layer = LockLayer::new(locks, Key::new("note").uri_path()).read_body_first(8);
    /// let echo = layer.layer(service_fn(async |request: Request<Full<Bytes>>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new(request.into_body()))
    /// }));
    /// let short = echo.clone().oneshot(Request::new(Full::from("short"))).await?;
    /// assert_eq!(short.into_body().collect().await.unwrap().to_bytes(), "short");
    /// let long = echo.oneshot(Request::new(Full::from("much too long"))).await?;
    /// assert_eq!(long.status(), 413);
    /// # Ok(()) }
    /// ```
    pub fn read_body_first(self, bytes: usize) -> LockLayer<ReadFirst> {
        LockLayer::of(self.with(|settings| settings.read_first = bytes).settings)
    }

    /// The status of the answer to a request whose lock stayed busy, by default 409 Conflict. Prefer 4xx: load
    /// balancers take a server that answers 5xx for unhealthy, though only the key is busy.
    pub fn busy_status(self, status: StatusCode) -> Self {
        self.with(|settings| settings.answering.busy_status = status)
    }

    /// What `Retry-After` tells a client whose request was not handled, by default 1 second. It is sent in whole
    /// seconds, rounded up, at least one. It is made up to twice as long at random, so that clients that were refused
    /// together do not come back together.
    pub fn retry_after(self, after: Duration) -> Self {
        self.with(|settings| settings.answering.retry_after = after)
    }

    /// Makes the answers to requests that the layer refuses, instead of [`LockRejection::to_http`] or, for
    /// gRPC, [`LockRejection::to_grpc`].
    ///
    /// ```
    /// use bytes::Bytes;
    /// use dlock_core::{EmbeddedBackend, LockManager};
    /// use dlock_tower::{Key, LockLayer};
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt as _, Full};
    /// use tower::{Layer as _, ServiceExt as _, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockManager::builder(EmbeddedBackend::new()).build()?;
    /// let layer = LockLayer::new(locks.clone(), Key::new("index")).try_once().reject_with(|rejection| {
    ///     let mut response = rejection.to_http(); // the status and `Retry-After` stay
    ///     *response.body_mut() = Bytes::from(format!("sorry: {rejection}"));
    ///     response
    /// });
    /// let service = layer.layer(service_fn(async |_: Request<()>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
    /// }));
    /// let _held = locks.lock("index").await?;
    /// let response = service.oneshot(Request::new(())).await?;
    /// assert_eq!(response.status(), 409);
    /// let text = response.into_body().collect().await.unwrap().to_bytes();
    /// assert_eq!(text, "sorry: Another request holds the lock");
    /// # Ok(()) }
    /// ```
    pub fn reject_with(
        self,
        answer: impl Fn(&LockRejection) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.with(|settings| settings.reject_with = Some(Arc::new(answer)))
    }
}

impl<M> Clone for LockLayer<M> {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.settings))
    }
}

impl<S, M> Layer<S> for LockLayer<M> {
    type Service = Lock<S, M>;

    fn layer(&self, inner: S) -> Lock<S, M> {
        Lock::new(inner, Arc::clone(&self.settings))
    }
}

impl<M> fmt::Debug for LockLayer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.debug("LockLayer", f)
    }
}
