//! A clock that the test moves.

use super::*;
use dlock_core::{EmbeddedBackend, ErrorKind, HandOver, LockManager, LossReason, TestClock};
use dlock_tests::wait_until_async;
use std::future::IntoFuture as _;

fn clock_and_locks() -> (TestClock, LockManager) {
    let clock = TestClock::new();
    let store = EmbeddedBackend::with_clock(clock.clone());
    let locks = LockManager::builder(store).ttl(Duration::from_secs(30)).hand_over(HandOver::OFF).build();
    (clock, locks.unwrap())
}

#[test]
fn a_lease_that_is_not_renewed_ends_when_the_clock_says_so() {
    let (clock, locks) = clock_and_locks();
    let guard = granted(locks.lock("k").acquire());
    clock.advance(Duration::from_secs(31));
    assert_eq!(soon("the loss is told", guard.lost()), LossReason::Expired);
    let next = granted(locks.lock("k").acquire());
    assert!(next.token() > guard.token());
}

#[test]
fn a_lease_is_renewed_when_the_clock_moves_in_steps() {
    let (clock, locks) = clock_and_locks();
    let guard = granted(locks.lock("k").acquire());
    for _ in 0..10 {
        clock.advance(Duration::from_secs(11));
        let renewed = async || guard.remaining() > Duration::from_secs(20);
        soon("it is renewed", wait_until_async("it is renewed", LIMIT, renewed));
    }
    assert!(guard.is_valid());
}

#[test]
fn a_wait_ends_when_the_clock_says_so() {
    let (clock, locks) = clock_and_locks();
    let _holder = granted(locks.lock("k").acquire());
    let mut waiter = Box::pin(locks.lock("k").wait(Duration::from_secs(10)).into_future());
    assert!(poll_once(&mut waiter).is_pending());
    clock.advance(Duration::from_secs(9));
    assert!(poll_once(&mut waiter).is_pending(), "it has a second left");
    clock.advance(Duration::from_secs(2));
    let refused = soon("the wait is over", waiter).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
}
