//! A request for a grant that is under way: asked by a caller's own future first, and by the keeper once there is something
//! to wait for.

use crate::backend::{AcquireRequest, Backend, Grant, Mode};
use crate::error::{ErrorKind, LockError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

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

/// Wakes a caller that asks for itself, and says so: from here on it is expected to come.
struct CallerWaker<F> {
    caller: AtomicWaker,
    on_wake: F,
}

impl<F: Fn() + Send + Sync + 'static> Wake for CallerWaker<F> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        (self.on_wake)();
        self.caller.wake();
    }
}

/// Asks in the caller's own future, until there is something to wait for.
pub(super) async fn ask_in_place(
    backend: Arc<dyn Backend>,
    request: Arc<AcquireRequest>,
    on_wake: impl Fn() + Send + Sync + 'static,
    still_asks: impl Fn() -> bool,
) -> AskedInPlace {
    let mut asking = ask(backend, Arc::clone(&request));
    let caller = Arc::new(CallerWaker { caller: AtomicWaker::new(), on_wake });
    let waker = Waker::from(Arc::clone(&caller));
    let is_queued = poll_fn(|context| {
        if !still_asks() {
            return Poll::Ready(Some(AskedInPlace::Displaced));
        }
        caller.caller.register(context.waker());
        match asking.as_mut().poll(&mut Context::from_waker(&waker)) {
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
