//! A request for a grant that is under way: asked by a caller's own future first, and by the keeper once there is something
//! to wait for.

use crate::backend::answers::panicked;
use crate::backend::{AcquireRequest, Backend, Grant, Mode};
use crate::error::LockError;
use crate::time::sleep;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

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

/// A request in its caller's own future, from where the keeper can take it.
#[derive(Clone)]
pub(super) struct InPlace(Arc<Mutex<Option<Asking>>>);

impl InPlace {
    pub(super) fn new(asking: Asking) -> Self {
        Self(Arc::new(Mutex::new(Some(asking))))
    }

    /// Asks in the caller's own future, until there is something to wait for.
    pub(super) async fn ask(
        &self,
        request: &AcquireRequest,
        on_wake: impl Fn() + Send + Sync + 'static,
        on_poll: impl Fn(),
    ) -> AskedInPlace {
        let caller = Arc::new(CallerWaker { caller: AtomicWaker::new(), on_wake });
        let waker = Waker::from(Arc::clone(&caller));
        poll_fn(|context| {
            let mut slot = self.0.lock();
            let Some(mut asking) = slot.take() else { return Poll::Ready(AskedInPlace::Displaced) };
            on_poll();
            caller.caller.register(context.waker());
            match asking.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(outcome) => return Poll::Ready(AskedInPlace::Answered(outcome)),
                Poll::Pending if request.mode == Mode::Wait && request.progress.is_queued() => {
                    return Poll::Ready(AskedInPlace::Queued(asking));
                }
                Poll::Pending => *slot = Some(asking),
            }
            Poll::Pending
        })
        .await
    }

    /// Ends the request, as soon as its caller does not poll it at this very moment.
    pub(super) async fn end(self) {
        let asking = loop {
            let taken = self.0.try_lock().map(|mut slot| slot.take());
            match taken {
                Some(asking) => break asking,
                None => sleep(Duration::from_millis(1)).await,
            }
        };
        drop(asking);
    }
}

/// The outcome of a request that the keeper goes on with. One that panics has failed.
pub(super) async fn outcome(asking: Asking) -> Result<Grant, LockError> {
    AssertUnwindSafe(asking).catch_unwind().await.unwrap_or_else(|_| Err(panicked()))
}
