//! The backend as a whole, by the manager's public methods.

use super::EmbeddedBackend;
use crate::error::{ErrorKind, LockError};
use crate::guard::LockGuard;
use crate::lease::LossReason;
use crate::manager::LockManager;
use crate::request::AcquireFuture;
use crate::time::TestClock;
use futures_util::{FutureExt as _, poll};
use std::future::IntoFuture as _;
use std::task::Poll;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

/// A manager whose time a test moves.
fn stage() -> (TestClock, LockManager) {
    let clock = TestClock::new();
    let backend = EmbeddedBackend::with_clock(clock.clone());
    (clock, LockManager::builder(backend).ttl(TTL).wait(Duration::MAX).build().unwrap())
}

async fn pending(locks: &LockManager) -> AcquireFuture {
    let mut waiting = locks.lock("k").into_future();
    assert!(poll!(&mut waiting).is_pending());
    waiting
}

fn granted(polled: Poll<Result<LockGuard, LockError>>) -> Option<LockGuard> {
    match polled {
        Poll::Ready(outcome) => Some(outcome.unwrap()),
        Poll::Pending => None,
    }
}

/// The keeper does its part on its own thread: until it has, the clock goes on.
async fn until<T>(clock: &TestClock, mut step: impl AsyncFnMut() -> Option<T>) -> T {
    loop {
        if let Some(output) = step().await {
            return output;
        }
        clock.advance(Duration::from_millis(50));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn leases_losses_and_waits_follow_the_clock() {
    let (clock, locks) = stage();
    let guard = locks.lock("k").await.unwrap();
    let mut patient = Box::pin(locks.lock("k").wait(60 * SECOND).acquire());
    assert!(poll!(patient.as_mut()).is_pending());
    clock.advance(TTL + SECOND);
    assert!(!guard.is_valid());
    assert_eq!(guard.lost().await, LossReason::Expired);
    assert!(patient.await.unwrap().is_valid(), "the lock is free");
}

#[tokio::test]
async fn a_wait_ends_by_the_clock() {
    let (clock, locks) = stage();
    let other = LockManager::builder(EmbeddedBackend::with_clock(clock.clone())).build().unwrap();
    let held = locks.lock("k").await.unwrap();
    assert!(other.lock("k").await.is_ok(), "another table");
    let mut waiting = Box::pin(locks.lock("k").wait(60 * SECOND).acquire());
    for _ in 0..6 {
        assert!(poll!(waiting.as_mut()).is_pending());
        clock.advance(9 * SECOND);
        renewed(&held).await;
    }
    clock.advance(6 * SECOND);
    assert_eq!(waiting.await.unwrap_err().kind(), ErrorKind::Busy);
}

async fn renewed(guard: &LockGuard) {
    while guard.remaining() < TTL / 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_lease_is_renewed_when_the_clock_comes_to_it() {
    let (clock, locks) = stage();
    let guard = locks.lock("k").await.unwrap();
    for _ in 0..10 {
        clock.advance(20 * SECOND);
        renewed(&guard).await;
    }
    assert!(guard.is_valid());
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_waiter_that_is_not_polled_is_passed_and_keeps_its_place() {
    let (clock, locks) = stage();
    let held = locks.lock("k").await.unwrap();
    let mut first = pending(&locks).await;
    let (mut second, mut third) = (pending(&locks).await, pending(&locks).await);
    held.release().await.unwrap();
    assert!(poll!(&mut second).is_pending(), "it is offered to the first one alone");
    let second = until(&clock, async || granted(poll!(&mut second))).await;
    assert!(poll!(&mut first).is_pending(), "it comes too late");
    second.release().await.unwrap();
    assert!(poll!(&mut third).is_pending());
    assert!(granted(poll!(&mut first)).is_some(), "its place is the first");
}

#[tokio::test]
async fn a_release_does_not_wait_for_a_waiter_that_let_an_offer_pass() {
    let (clock, locks) = stage();
    let held = locks.lock("k").await.unwrap();
    let (_first, mut second) = (pending(&locks).await, pending(&locks).await);
    held.release().await.unwrap();
    let second = until(&clock, async || granted(poll!(&mut second))).await;
    let mut third = pending(&locks).await;
    second.release().await.unwrap();
    assert!(granted(poll!(&mut third)).is_some(), "at once");
}

#[tokio::test]
async fn a_try_passes_waiters_that_are_not_polled() {
    let (clock, locks) = stage();
    let held = locks.lock("k").await.unwrap();
    let _waiters = (pending(&locks).await, pending(&locks).await);
    held.release().await.unwrap();
    assert!(locks.lock("k").try_acquire().await.unwrap().is_none());
    clock.advance(Duration::from_millis(99));
    assert!(locks.lock("k").try_acquire().await.unwrap().is_none());
    let guard = until(&clock, async || locks.lock("k").try_acquire().await.unwrap()).await;
    assert!(guard.is_valid());
}

/// In real time: a runtime polls only what was woken.
#[tokio::test]
async fn a_waiter_is_woken_when_the_one_before_it_lets_the_offer_pass() {
    let locks = LockManager::builder(EmbeddedBackend::new()).build().unwrap();
    let held = locks.lock("k").await.unwrap();
    let (_first, second) = (pending(&locks).await, pending(&locks).await);
    held.release().await.unwrap();
    assert!(tokio::time::timeout(20 * SECOND, second).await.unwrap().unwrap().is_valid());
}

/// The holder and the first waiter hang in a runtime that is not driven any longer.
#[tokio::test]
async fn a_waiter_is_woken_when_the_holder_is_gone_and_the_one_before_it_does_not_ask() {
    let clock = TestClock::new();
    let backend = EmbeddedBackend::with_clock(clock.clone());
    let manager = || LockManager::builder(backend.clone()).ttl(TTL).build().unwrap();
    let (gone, locks) = (manager(), manager());
    let held = gone.lock("k").await.unwrap();
    gone.shared().renewal.clear();
    let (_first, mut second) = (pending(&locks).await, pending(&locks).await);
    clock.advance(TTL);
    let guard = until(&clock, async || (&mut second).now_or_never()).await.unwrap();
    assert!(guard.is_valid() && !held.is_valid());
}

#[tokio::test]
async fn a_table_that_is_dropped_ends_its_alarm() {
    let clock = TestClock::new();
    let backend = EmbeddedBackend::with_clock(clock);
    let table = std::sync::Arc::downgrade(&backend.0);
    let locks = LockManager::builder(backend).build().unwrap();
    let held = locks.lock("k").await.unwrap();
    drop(pending(&locks).await);
    drop((held, locks));
    while table.upgrade().is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
