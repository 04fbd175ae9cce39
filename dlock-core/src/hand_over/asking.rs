//! A request for a grant that is under way: asked by a caller's own future first, and by the keeper once there is something
//! to wait for.

use super::queue::{InPlaceStanding, PATIENCE};
use super::watch::Watch;
use crate::backend::answers::panicked;
use crate::backend::{AcquireRequest, Backend, Grant, Mode, Progress};
use crate::error::LockError;
use crate::lease::OwnerId;
use crate::time::{Moment, sleep};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// It owns what it asks with, so it can go on elsewhere.
pub(super) type Asking = BoxFuture<'static, Result<Grant, LockError>>;

/// How a request goes on that a caller made in its own future.
pub(super) enum AskedInPlace {
    Answered(Result<Grant, LockError>),
    /// The keeper asks by now, or goes on with the request, since this caller was not polled.
    Displaced,
}

pub(super) fn ask(backend: Arc<dyn Backend>, request: AcquireRequest) -> Asking {
    Box::pin(async move { backend.acquire(&request).await })
}

/// A request in its caller's own future, from where the keeper can take it.
///
/// The request keeps a waker that keeps this. So the side that ends the request takes it out.
#[derive(Clone)]
pub(super) struct InPlace(Arc<InPlaceSlot>);

struct InPlaceSlot {
    asking: Mutex<Option<Asking>>,
    competitor: OwnerId,
    mode: Mode,
    /// What the request waits for.
    progress: Arc<Progress>,
    caller: AtomicWaker,
    /// When the caller was woken, if it was not polled since.
    woken: AtomicU64,
    watch: Arc<Watch>,
}

/// The caller was polled after it was last woken.
const POLLED: u64 = u64::MAX;

/// From here on the caller is expected to come. One that only tries is not followed if it does not.
impl Wake for InPlaceSlot {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.mode == Mode::Wait {
            let now = Moment::now();
            // Only the first of several wake-ups counts. Either the look that is due sees it, or it asks for a new look.
            let _ = self.woken.compare_exchange(POLLED, now.as_nanos(), Ordering::SeqCst, Ordering::SeqCst);
            self.watch.look_by(now.after(PATIENCE));
        }
        self.caller.wake();
    }
}

impl InPlace {
    pub(super) fn new(backend: Arc<dyn Backend>, request: AcquireRequest, watch: Arc<Watch>) -> Self {
        let (competitor, mode) = (request.claim.owner, request.mode);
        let (progress, caller, woken) =
            (Arc::clone(&request.progress), AtomicWaker::new(), AtomicU64::new(POLLED));
        let asking = Mutex::new(Some(ask(backend, request)));
        Self(Arc::new(InPlaceSlot { asking, competitor, mode, progress, caller, woken, watch }))
    }

    /// The acquisition that it asks for.
    pub(super) fn competitor(&self) -> OwnerId {
        self.0.competitor
    }

    /// How it stands with the caller.
    pub(super) fn standing(&self) -> InPlaceStanding {
        let woken = self.0.woken.load(Ordering::SeqCst);
        let woken = (woken != POLLED).then(|| Moment::from_nanos(woken));
        InPlaceStanding { woken, is_queued: self.0.progress.is_queued() }
    }

    /// Takes the request away from its caller, unless it polls it at this very moment.
    pub(super) fn take(&self) -> Option<Asking> {
        self.0.asking.try_lock()?.take()
    }

    /// Takes the request away from a caller that was woken and not polled since.
    ///
    /// A caller that was polled since has put its request back, and nothing but the request wakes it.
    pub(super) fn take_from_unpolled(&self) -> Option<Asking> {
        let mut slot = self.0.asking.try_lock()?;
        let is_polled = self.0.woken.load(Ordering::SeqCst) == POLLED;
        if is_polled { None } else { slot.take() }
    }

    /// Asks in the caller's own future, until there is something to wait for.
    pub(super) async fn ask(&self) -> AskedInPlace {
        let waker = Waker::from(Arc::clone(&self.0));
        poll_fn(|context| self.0.poll(context, &waker)).await
    }

    /// Ends the request, as soon as its caller does not poll it at this very moment.
    pub(super) async fn end(self) {
        let asking = loop {
            let taken = self.0.asking.try_lock().map(|mut slot| slot.take());
            match taken {
                Some(asking) => break asking,
                None => sleep(Duration::from_millis(1)).await,
            }
        };
        drop(asking);
        // From here on it waits for what the keeper asks.
        self.0.caller.wake();
    }
}

impl InPlaceSlot {
    /// Polls the request with `waker`, by which its caller is woken.
    fn poll(&self, context: &Context<'_>, waker: &Waker) -> Poll<AskedInPlace> {
        let mut slot = self.asking.lock();
        let Some(mut asking) = slot.take() else { return Poll::Ready(AskedInPlace::Displaced) };
        // In this order: a wake-up from here on wakes the caller, and one before is for what this poll sees.
        self.caller.register(context.waker());
        self.woken.store(POLLED, Ordering::SeqCst);
        match asking.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Ready(outcome) => Poll::Ready(AskedInPlace::Answered(outcome)),
            Poll::Pending => {
                *slot = Some(asking);
                Poll::Pending
            }
        }
    }
}

/// The outcome of a request that the keeper goes on with. One that panics has failed.
pub(super) async fn outcome(asking: Asking) -> Result<Grant, LockError> {
    AssertUnwindSafe(asking).catch_unwind().await.unwrap_or_else(|_| Err(panicked()))
}
