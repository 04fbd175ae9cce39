//! What a function under a lock does when its backend fails or says nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

use dlock_core::backend::{AcquireRequest, BackendFuture, Claim, Grant, LossSignal};
use dlock_core::testing::Tap;
use dlock_core::{
    Backend, EmbeddedBackend, ErrorKind, LockError, LockManager, LossReason, Moment, distributed_lock,
};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// After this, what was to happen is taken not to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Releases nothing before it is let, and can take a lock away.
#[derive(Debug)]
struct Stuck {
    store: EmbeddedBackend,
    gate: Semaphore,
    releases: AtomicUsize,
    loss: Mutex<Option<LossSignal>>,
}

impl Stuck {
    /// The store, the backend over it, and a manager over that.
    fn set() -> (EmbeddedBackend, Arc<Self>, LockManager) {
        let store = EmbeddedBackend::new();
        let stuck = Arc::new(Self {
            store: store.clone(),
            gate: Semaphore::new(0),
            releases: AtomicUsize::new(0),
            loss: Mutex::default(),
        });
        let locks = LockManager::builder(Arc::clone(&stuck)).build().unwrap();
        (store, stuck, locks)
    }

    /// Waits until a release was asked for this many times in all.
    async fn asked_to_release(&self, times: usize) {
        soon(async {
            while self.releases.load(Ordering::SeqCst) < times {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    fn take_away(&self) {
        self.loss.lock().unwrap().take().unwrap().lose(LossReason::NotOwner);
    }
}

impl Backend for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn guarantees(&self) -> dlock_core::Guarantees {
        dlock_core::Guarantees::empty()
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        *self.loss.lock().unwrap() = Some(request.loss());
        self.store.acquire(request)
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        self.store.renew(claim)
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            self.releases.fetch_add(1, Ordering::SeqCst);
            let _permit = self.gate.acquire().await.unwrap();
            self.store.release(claim).await
        })
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        self.store.exchange(held, wanted)
    }
}

/// Refuses every release.
#[derive(Debug, Default)]
struct Unreleased(EmbeddedBackend);

impl Backend for Unreleased {
    fn name(&self) -> &'static str {
        "unreleased"
    }

    fn guarantees(&self) -> dlock_core::Guarantees {
        dlock_core::Guarantees::empty()
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        self.0.acquire(request)
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        self.0.renew(claim)
    }

    fn release<'a>(&'a self, _: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(std::future::ready(Err(LockError::new(ErrorKind::Auth, "told to fail"))))
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        self.0.exchange(held, wanted)
    }
}

#[distributed_lock("order", locks = locks)]
async fn returns(locks: &LockManager, output: Result<u8, LockError>) -> Result<u8, LockError> {
    output
}

#[tokio::test]
async fn a_release_that_fails_does_not_replace_the_output() {
    let locks = || LockManager::builder(Unreleased::default()).build().unwrap();
    assert_eq!(returns(&locks(), Ok(7)).await.unwrap(), 7);
    let output = Err(LockError::new(ErrorKind::Corrupt, "the body's"));
    assert_eq!(returns(&locks(), output).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

#[distributed_lock("order", locks = locks)]
async fn runs_until(locks: &LockManager, end: impl Future<Output = ()>) -> Result<(), LockError> {
    end.await;
    Ok(())
}

#[tokio::test]
async fn a_call_dropped_while_it_releases_leaves_no_grant() {
    let (store, stuck, locks) = Stuck::set();
    tokio::select! {
        _ = runs_until(&locks, async {}) => panic!("the release is not answered"),
        () = stuck.asked_to_release(1) => {}
    }
    assert!(!store.is_empty(), "the release that was dropped did nothing");
    stuck.gate.add_permits(1);
    stuck.asked_to_release(2).await;
    soon(async {
        while !store.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The release is never answered: if it were waited for, this would not end.
#[tokio::test]
async fn a_loss_is_told_while_the_release_is_stuck() {
    let (store, stuck, locks) = Stuck::set();
    let lost = runs_until(&locks, async {
        stuck.take_away();
        std::future::pending::<()>().await;
    });
    assert_eq!(soon(lost).await.unwrap_err().kind(), ErrorKind::Lost);
    stuck.asked_to_release(1).await;
    assert!(!store.is_empty(), "it is still under way");
}

#[distributed_lock("order", locks = locks, wait = wait, on_busy = Ok("skipped"))]
async fn skips(locks: &LockManager, wait: Duration) -> Result<&'static str, LockError> {
    Ok("done")
}

#[tokio::test]
async fn on_busy_is_not_for_a_backend_that_is_away() {
    let tap = Tap::new(Arc::new(EmbeddedBackend::new()));
    let locks = LockManager::builder(Arc::clone(&tap)).build().unwrap();
    let waits = [Duration::ZERO, Duration::from_millis(5)];
    tap.cut();
    for wait in waits {
        assert_eq!(skips(&locks, wait).await.unwrap_err().kind(), ErrorKind::Unavailable, "{wait:?}");
    }
    tap.restore();
    let held = locks.lock("order").await.unwrap();
    for wait in waits {
        assert_eq!(skips(&locks, wait).await.unwrap(), "skipped", "{wait:?}");
    }
    held.release().await.unwrap();
    assert_eq!(skips(&locks, Duration::ZERO).await.unwrap(), "done");
}
