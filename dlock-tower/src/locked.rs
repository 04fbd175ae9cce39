//! What a handler sees of its lock.

use dlock_core::{FencingToken, Lease, LockGuard, LockKey, LockManager, LossReason};
use http::Extensions;
use http::request::Parts;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The lock of the current request. It is an extension of every request that a [`LockLayer`](crate::LockLayer) locked,
/// and with the feature `axum` an extractor. If several layers locked the request, it is the lock of the innermost one.
///
/// It is a view. Keeping it does not keep the lock; [`hold`](Locked::hold) does.
///
/// ```
/// use dlock_tower::Locked;
///
/// /// Writes if the store has not seen a later holder's token.
/// fn write<B>(request: &http::Request<B>, store: &mut u64) -> bool {
///     let Some(locked) = request.extensions().get::<Locked>() else { return false };
///     let token = locked.token().as_u64();
///     let newest = token >= *store;
///     *store = token.max(*store);
///     newest
/// }
/// # assert!(!write(&http::Request::new(()), &mut 0));
/// ```
#[derive(Clone)]
pub struct Locked {
    lease: Lease,
    guard: Weak<LockGuard>,
    locks: LockManager,
    outer: Option<Arc<Self>>,
}

impl Locked {
    /// A `Locked` as a handler gets it, for the lock that `guard` holds and that came from `locks`. It is for unit
    /// tests that call a handler without a layer. Only the guard keeps the lock.
    ///
    /// ```
    /// use dlock_tower::Locked;
    /// use std::sync::Arc;
    ///
    /// async fn pay(locked: Locked) -> String {
    ///     format!("{} is paid", locked.key())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:").await?;
    /// let guard = Arc::new(locks.lock("order:42").await?);
    /// assert_eq!(pay(Locked::of(&guard, &locks)).await, "order:42 is paid");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn of(guard: &Arc<LockGuard>, locks: &LockManager) -> Self {
        Self { lease: guard.lease(), guard: Arc::downgrade(guard), locks: locks.clone(), outer: None }
    }

    /// The key that is locked.
    #[must_use]
    pub fn key(&self) -> &LockKey {
        self.lease.key()
    }

    /// The fencing token, for the store that the lock protects to compare.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.lease.token()
    }

    /// Whether the lease is valid now, by the clock. Once this is false, it stays false.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.lease.is_valid()
    }

    /// How long the lease is valid without another renewal; zero if it is over.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.lease.remaining()
    }

    /// Waits until the lock is lost or released, and says why.
    ///
    /// While the handler runs, the layer waits for this too, and drops the handler, unless it has
    /// [`OnLost::Finish`](crate::OnLost::Finish). So this is for handlers that are not dropped, and for work that they
    /// started elsewhere.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub fn lost(&self) -> impl Future<Output = LossReason> + Send + Sync + use<> {
        let lease = self.lease.clone();
        async move { lease.lost().await }
    }

    /// The guard. It keeps the lock until it is dropped, even beyond the response and beyond
    /// [`LockLayer::max_hold`](crate::LockLayer::max_hold). `None` once the lock is released.
    ///
    /// ```
    /// # use dlock_core::{EmbeddedBackend, LockManager};
    /// # use dlock_tower::{Key, LockLayer, Locked};
    /// # use http::{Request, Response};
    /// # use http_body_util::Empty;
    /// # use tower::{Layer as _, ServiceExt as _, service_fn};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let locks = LockManager::builder(EmbeddedBackend::new()).build()?;
    /// let rebuild = service_fn(async |request: Request<()>| {
    ///     let guard = request.extensions().get::<Locked>().and_then(Locked::hold);
    ///     tokio::spawn(async move {
    ///         // … rebuild, then:
    ///         drop(guard);
    ///     });
    ///     Ok::<_, http::Error>(Response::builder().status(202).body(Empty::<bytes::Bytes>::new())?)
    /// });
    /// let service = LockLayer::new(locks.clone(), Key::new("index")).layer(rebuild);
    /// let response = service.oneshot(Request::new(())).await?;
    /// assert_eq!(response.status(), 202);
    /// drop(response);
    /// assert!(locks.lock("index").try_acquire().await?.is_none()); // the rebuild has it
    /// assert!(locks.lock("index").await?.is_valid()); // once it is done
    /// # Ok(()) }
    /// ```
    #[must_use = "the lock is kept only for as long as the guard is"]
    pub fn hold(&self) -> Option<Arc<LockGuard>> {
        self.guard.upgrade()
    }

    /// Makes `guard` the lock of the request with these extensions.
    pub(crate) fn enter(extensions: &mut Extensions, guard: &Arc<LockGuard>, locks: &LockManager) {
        let outer = extensions.remove::<Self>().map(Arc::new);
        extensions.insert(Self { outer, ..Self::of(guard, locks) });
    }

    /// Makes the lock of the request with these extensions what it was before [`enter`](Self::enter).
    pub(crate) fn leave(extensions: &mut Extensions) {
        if let Some(outer) = extensions.remove::<Self>().and_then(|left| left.outer) {
            extensions.insert(Self::clone(&outer));
        }
    }

    /// Whether the request already has the lock on `key` from `locks`. If it waited for that, it would wait for itself.
    pub(crate) fn covers(parts: &Parts, locks: &LockManager, key: &LockKey) -> bool {
        let innermost = parts.extensions.get::<Self>();
        std::iter::successors(innermost, |locked| locked.outer.as_deref())
            .any(|locked| locked.key() == key && locked.locks.is_same(locks) && locked.is_valid())
    }
}

impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked")
            .field("key", self.key())
            .field("token", &self.token())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
