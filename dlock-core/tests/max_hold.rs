//! For how long a guard may hold its lock.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use dlock_core::testing::Tap;
use dlock_core::{
    EmbeddedBackend, ErrorKind, GuardState, HandOver, LockGuard, LockManager, LossReason, TestClock,
};
use std::sync::Arc;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
/// What does not come true within this time never does.
const LIMIT: Duration = Duration::from_secs(30);

/// A manager by a clock that the test moves, and what its backend is asked.
fn clock_and_locks(max_hold: Duration) -> (TestClock, Arc<Tap>, LockManager) {
    let clock = TestClock::new();
    let tap = Tap::new(Arc::new(EmbeddedBackend::with_clock(clock.clone())));
    let builder = LockManager::builder(Arc::clone(&tap)).ttl(TTL).max_hold(max_hold);
    (clock, tap, builder.build().unwrap())
}

/// Moves the clock past the time of a renewal, and waits until the lease was renewed.
async fn step(clock: &TestClock, guard: &LockGuard) {
    clock.advance(11 * SECOND);
    let renewed = async {
        while guard.remaining() < 20 * SECOND {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, renewed).await.expect("it is renewed");
}

async fn is_free(locks: &LockManager, key: &str) -> bool {
    locks.lock(key).try_acquire().await.unwrap().is_some()
}

async fn is_lost(guard: &LockGuard) -> LossReason {
    tokio::time::timeout(LIMIT, guard.lost()).await.unwrap()
}

#[tokio::test]
async fn a_guard_is_renewed_until_its_max_hold_and_no_longer() {
    let (clock, tap, locks) = clock_and_locks(30 * SECOND);
    let guard = locks.lock("k").max_hold(65 * SECOND).await.unwrap();
    for _ in 0..4 {
        step(&clock, &guard).await;
    }
    let renewals = tap.renewals();
    clock.advance(11 * SECOND);
    assert_eq!(guard.remaining(), 10 * SECOND, "the lease is longer");
    clock.advance(10 * SECOND);
    assert!(!guard.is_valid());
    assert_eq!(is_lost(&guard).await, LossReason::MaxHold);
    assert_eq!(guard.state(), GuardState::Lost(LossReason::MaxHold));
    assert_eq!(tap.renewals(), renewals, "the last lease was longer than max_hold");
}

#[tokio::test]
async fn the_key_stays_closed_until_the_last_lease_is_over() {
    let (clock, _, locks) = clock_and_locks(10 * SECOND);
    let guard = locks.lock("k").await.unwrap();
    clock.advance(10 * SECOND);
    assert_eq!(is_lost(&guard).await, LossReason::MaxHold);
    clock.advance(19 * SECOND);
    assert!(!is_free(&locks, "k").await, "the holder may be at work");
    clock.advance(SECOND);
    assert!(is_free(&locks, "k").await);
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
}

#[tokio::test]
async fn a_guard_that_is_given_up_opens_its_key_at_once() {
    let (clock, _, locks) = clock_and_locks(10 * SECOND);
    let (dropped, released) = (locks.lock("dropped").await.unwrap(), locks.lock("released").await.unwrap());
    clock.advance(10 * SECOND);
    drop(dropped);
    let error = released.release().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert!(error.to_string().contains("max_hold"), "{error}");
    assert!(is_free(&locks, "dropped").await && is_free(&locks, "released").await);
}

#[tokio::test]
async fn work_under_a_lock_that_is_held_too_long_is_dropped_and_the_error_says_why() {
    let (clock, _, locks) = clock_and_locks(10 * SECOND);
    let hang = async || {
        clock.advance(10 * SECOND);
        std::future::pending::<()>().await;
    };
    let errors = [
        locks.run("k", hang()).await.unwrap_err(),
        locks.lock("k").run(async |_| hang().await).await.unwrap_err(),
        locks.lock("k").await.unwrap().run(hang()).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Lost);
        assert!(error.to_string().contains("held for its max_hold"), "{error}");
    }
}

#[tokio::test]
async fn a_lease_that_ended_before_was_not_held_too_long() {
    let (clock, _, locks) = clock_and_locks(60 * SECOND);
    let guard = locks.lock("k").await.unwrap();
    clock.advance(120 * SECOND);
    assert_eq!(is_lost(&guard).await, LossReason::Expired);
}

#[tokio::test]
async fn a_request_has_a_limit_of_its_own_or_none() {
    let (clock, _, locks) = clock_and_locks(5 * SECOND);
    let guard = locks.lock("k").max_hold(Duration::MAX).await.unwrap();
    for _ in 0..10 {
        step(&clock, &guard).await;
    }
    assert!(guard.is_valid());
}

#[tokio::test]
async fn zero_is_refused() {
    let builder = LockManager::builder(EmbeddedBackend::new()).max_hold(Duration::ZERO);
    let of_manager = builder.build().unwrap_err();
    let of_url = LockManager::connect("memory:?max_hold=0s").await.unwrap_err();
    let locks = LockManager::connect("memory:?max_hold=max").await.unwrap();
    let of_request = locks.lock("k").max_hold(Duration::ZERO).await.unwrap_err();
    for error in [of_manager, of_url, of_request] {
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        assert!(error.to_string().contains("max_hold"), "{error}");
    }
}

#[tokio::test]
async fn a_url_sets_it() {
    let locks = LockManager::connect("memory:?max_hold=10ms").await.unwrap();
    assert_eq!(is_lost(&locks.lock("k").await.unwrap()).await, LossReason::MaxHold);
}

/// What was handed over counts from the hand-over, and what hangs is passed by those behind it.
#[tokio::test]
async fn it_counts_for_each_holder_that_a_lock_is_handed_over_to() {
    for hand_over in [HandOver::OFF, HandOver::default()] {
        let store: Arc<dyn dlock_core::Backend> = Arc::new(EmbeddedBackend::new());
        let builder = LockManager::builder(Elsewhere(store)).hand_over(hand_over).ttl(SECOND);
        let locks = builder.max_hold(SECOND / 20).build().unwrap();
        let first = locks.lock("k").await.unwrap();
        let (second, third) = (locks.lock("k").acquire(), locks.lock("k").acquire());
        let last = async {
            assert_eq!(is_lost(&first).await, LossReason::MaxHold);
            first.release().await.unwrap_err();
        };
        let hang = async {
            let second = second.await.unwrap();
            assert_eq!(is_lost(&second).await, LossReason::MaxHold);
            second
        };
        let ((), hung, third) = tokio::join!(last, hang, third);
        assert!(third.unwrap().token() > hung.token(), "it passed the one that hangs");
    }
}

/// A backend that is taken for one in another process: its managers hand over.
#[derive(Debug)]
struct Elsewhere(Arc<dyn dlock_core::Backend>);

mod elsewhere {
    use super::Elsewhere;
    use dlock_core::Moment;
    use dlock_core::backend::{AcquireRequest, Backend, BackendFuture, Claim, Grant};

    impl Backend for Elsewhere {
        fn name(&self) -> &'static str {
            "elsewhere"
        }

        fn guarantees(&self) -> dlock_core::Guarantees {
            dlock_core::Guarantees::empty()
        }

        fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
            Box::pin(async move { Ok(self.0.acquire(request).await?.with_tokens(8)) })
        }

        fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
            self.0.renew(claim)
        }

        fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
            self.0.release(claim)
        }

        fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
            self.0.exchange(held, wanted)
        }
    }
}
