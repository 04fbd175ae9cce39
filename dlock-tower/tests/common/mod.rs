//! A backend that can be watched and made to lose locks, and a body that is fed by hand.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod raw;

use bytes::Bytes;
use dlock_core::backend::{AcquireRequest, BackendFuture, Claim, Grant, LossSignal};
use dlock_core::{Backend, EmbeddedBackend, ErrorKind, HandOver, LockError, LockManager, LossReason, Moment};
use http_body::{Body, Frame};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Longer than anything here takes. Only a test that fails waits for it.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LONG, future).await.expect("should have happened by now")
}

/// The embedded backend, counting what it is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe(Arc<State>);

#[derive(Debug)]
struct State {
    embedded: EmbeddedBackend,
    acquires: Semaphore,
    releases: Semaphore,
    losses: Mutex<Vec<LossSignal>>,
}

impl Default for State {
    fn default() -> Self {
        let (embedded, losses) = (EmbeddedBackend::new(), Mutex::default());
        Self { embedded, acquires: Semaphore::new(0), releases: Semaphore::new(0), losses }
    }
}

impl Probe {
    /// Without a queue in the process, so that every request that waits is seen here.
    pub(crate) fn manager(&self) -> LockManager {
        LockManager::builder(self.clone()).hand_over(HandOver::OFF).build().unwrap()
    }

    /// Waits for an acquire that was not waited for yet.
    pub(crate) async fn acquire_asked(&self) {
        soon(self.0.acquires.acquire()).await.unwrap().forget();
    }

    /// Waits for a release that was not waited for yet.
    pub(crate) async fn release_asked(&self) {
        soon(self.0.releases.acquire()).await.unwrap().forget();
    }

    /// Acquires that were asked for and not waited for.
    pub(crate) fn acquires(&self) -> usize {
        self.0.acquires.available_permits()
    }

    /// Waits until nothing is held or waited for.
    pub(crate) async fn emptied(&self) {
        soon(async {
            while !self.0.embedded.is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.embedded.is_empty()
    }

    /// Tells every holder that its lock is lost.
    pub(crate) fn lose_all(&self) {
        self.0.losses.lock().unwrap().drain(..).for_each(|loss| loss.lose(LossReason::NotOwner));
    }
}

impl Backend for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn guarantees(&self) -> dlock_core::Guarantees {
        dlock_core::Guarantees::empty()
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        self.0.losses.lock().unwrap().push(request.loss());
        self.0.acquires.add_permits(1);
        self.0.embedded.acquire(request)
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        self.0.embedded.renew(claim)
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        self.0.releases.add_permits(1);
        self.0.embedded.release(claim)
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        self.0.embedded.exchange(held, wanted)
    }
}

/// A backend that answers every acquire with an error of this kind.
#[derive(Debug)]
pub(crate) struct Failing(pub(crate) ErrorKind);

impl Backend for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn guarantees(&self) -> dlock_core::Guarantees {
        dlock_core::Guarantees::empty()
    }

    fn acquire<'a>(&'a self, _: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(std::future::ready(Err(LockError::new(self.0, "told to fail"))))
    }

    fn renew<'a>(&'a self, _: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(std::future::ready(Err(LockError::new(self.0, "told to fail"))))
    }

    fn release<'a>(&'a self, _: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn exchange<'a>(&'a self, _: &'a Claim, _: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        dlock_core::backend::without_shares(self.name())
    }
}

pub(crate) async fn assert_held(locks: &LockManager, key: &str) {
    let attempt = locks.lock(key).try_acquire().await.unwrap();
    assert!(attempt.is_none(), "{key} is free");
}

pub(crate) async fn assert_freed(locks: &LockManager, key: &str) {
    locks.lock(key).wait(LONG).await.unwrap().release().await.unwrap();
}

pub(crate) type Feed = mpsc::UnboundedSender<Result<Frame<Bytes>, std::io::Error>>;

/// A streamed body: it has what the feed is given and ends with it.
#[derive(Debug)]
pub(crate) struct Fed(mpsc::UnboundedReceiver<Result<Frame<Bytes>, std::io::Error>>);

impl Fed {
    pub(crate) fn new() -> (Feed, Self) {
        let (feed, frames) = mpsc::unbounded_channel();
        (feed, Self(frames))
    }
}

impl Body for Fed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context)
    }
}

pub(crate) fn data(text: &'static str) -> Result<Frame<Bytes>, std::io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// Completes its channel when it is dropped.
#[derive(Debug)]
pub(crate) struct OnDrop(Option<tokio::sync::oneshot::Sender<()>>);

impl OnDrop {
    pub(crate) fn new() -> (Self, tokio::sync::oneshot::Receiver<()>) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        (Self(Some(sender)), receiver)
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            // The test may not wait for it.
            let _ = sender.send(());
        }
    }
}
