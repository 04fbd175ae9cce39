//! A request for a grant that is under way: asked by a caller's own future first, and by the keeper once there is something
//! to wait for.

use crate::backend::{AcquireRequest, Backend, Grant, Mode};
use crate::error::{ErrorKind, LockError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;

/// It owns what it asks with, so it can go on elsewhere.
pub(super) type Asking = BoxFuture<'static, Result<Grant, LockError>>;

/// How a request goes on that a caller made in its own future.
pub(super) enum AskedInPlace {
    Answered(Result<Grant, LockError>),
    /// The backend has it wait: the rest is for the keeper.
    Queued(Asking),
    /// The keeper asks by now, since this caller was not polled.
    Displaced,
}

pub(super) fn ask(backend: Arc<dyn Backend>, request: Arc<AcquireRequest>) -> Asking {
    Box::pin(async move { backend.acquire(&request).await })
}

/// Asks in the caller's own future, until there is something to wait for.
pub(super) async fn ask_in_place(
    backend: Arc<dyn Backend>,
    request: Arc<AcquireRequest>,
    is_displaced: impl Fn() -> bool,
) -> AskedInPlace {
    let mut asking = ask(backend, Arc::clone(&request));
    let is_queued = poll_fn(|context| {
        if is_displaced() {
            return Poll::Ready(Some(AskedInPlace::Displaced));
        }
        match asking.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Some(AskedInPlace::Answered(outcome))),
            Poll::Pending if request.mode == Mode::Wait && request.progress.is_queued() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    is_queued.await.unwrap_or(AskedInPlace::Queued(asking))
}

/// The outcome of a request that the keeper goes on with. One that panics has failed.
pub(super) async fn outcome(asking: Asking) -> Result<Grant, LockError> {
    AssertUnwindSafe(asking).catch_unwind().await.unwrap_or_else(|_| Err(panicked()))
}

fn panicked() -> LockError {
    LockError::new(ErrorKind::Unavailable, "the backend panicked; what it says before is its own report")
}
