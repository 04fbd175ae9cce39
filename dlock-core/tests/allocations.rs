//! What a lock costs in memory above its backend: bytes and allocations, counted.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use allocation_counter::{AllocationInfo, measure};
use dlock_core::backend::{AcquireRequest, Backend, BackendFuture, Claim, Grant};
use dlock_core::{AcquireFuture, EmbeddedBackend, FencingToken, LockGuard, LockManager, Moment};
use std::future::{Future as _, IntoFuture as _, pending, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use tokio::runtime::Runtime;

/// Enough for what they share to hardly count.
const MANY: usize = 1_000;

/// Keeps nothing, so that what is counted is not its own.
#[derive(Debug)]
enum Weightless {
    GrantsAll,
    GrantsNothing,
}

impl Backend for Weightless {
    fn name(&self) -> &'static str {
        "weightless"
    }

    fn guarantees(&self) -> dlock_core::Guarantees {
        dlock_core::Guarantees::empty()
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        let valid_until = request.claim.ttl.valid_until(Moment::now());
        match self {
            Self::GrantsAll => Box::pin(ready(Ok(Grant::new(FencingToken::new(1), valid_until)))),
            Self::GrantsNothing => Box::pin(pending()),
        }
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(ready(Ok(claim.ttl.valid_until(Moment::now()))))
    }

    fn release<'a>(&'a self, _: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    fn exchange<'a>(&'a self, _: &'a Claim, _: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        dlock_core::backend::without_shares(self.name())
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn manager(backend: impl Backend) -> LockManager {
    LockManager::builder(backend).build().unwrap()
}

async fn cycle(locks: &LockManager) {
    locks.lock("order:42").await.unwrap().release().await.unwrap();
}

/// What `cycle` allocates once the tables have their size.
fn of_a_cycle(backend: impl Backend) -> AllocationInfo {
    let (runtime, locks) = (runtime(), manager(backend));
    runtime.block_on(async { cycle(&locks).await });
    measure(|| runtime.block_on(cycle(&locks)))
}

/// What is kept for each of many locks.
fn bytes_each<T>(locks: &LockManager, runtime: &Runtime, step: impl Fn(&LockManager) -> T) -> usize {
    let mut kept = Vec::with_capacity(MANY);
    let info = measure(|| runtime.block_on(async { kept.extend((0..MANY).map(|_| step(locks))) }));
    usize::try_from(info.bytes_current).unwrap() / MANY
}

fn poll(mut future: AcquireFuture) -> (AcquireFuture, Poll<LockGuard>) {
    let polled = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
    (future, polled.map(Result::unwrap))
}

/// One for the key, one for the acquisition.
#[test]
fn a_free_lock_in_the_process_takes_two_allocations() {
    let cycle = of_a_cycle(EmbeddedBackend::new());
    assert_eq!(cycle.count_total, 2, "{cycle:?}");
    assert!(cycle.bytes_total <= 200, "{cycle:?}");
}

/// Beside those the queue of its key, the request, the future that waits, and the two answers of the backend.
#[test]
fn a_lock_elsewhere_takes_eleven_allocations() {
    let cycle = of_a_cycle(Weightless::GrantsAll);
    assert_eq!(cycle.count_total, 11, "{cycle:?}");
    assert!(cycle.bytes_total <= 1_900, "{cycle:?}");
}

/// With its key, and its place in the tables.
#[test]
fn a_held_lock_takes_less_than_768_bytes_and_its_guard_32() {
    let (runtime, locks, number) = (runtime(), manager(Weightless::GrantsAll), AtomicUsize::new(0));
    let bytes = bytes_each(&locks, &runtime, |locks| {
        let key = format!("order:{}", number.fetch_add(1, Ordering::Relaxed));
        match poll(locks.lock(key).into_future()) {
            (_, Poll::Ready(guard)) => guard,
            (_, Poll::Pending) => panic!("granted at once"),
        }
    });
    assert!(bytes < 768, "{bytes}");
    assert!(size_of::<LockGuard>() <= 32);
}

#[test]
fn a_waiter_takes_less_than_1280_bytes_and_its_future_64() {
    let bytes = of_a_waiter(&manager(Weightless::GrantsNothing));
    assert!(bytes < 1_280, "{bytes}");
    assert!(size_of::<AcquireFuture>() <= 64);
}

fn of_a_waiter(locks: &LockManager) -> usize {
    bytes_each(locks, &runtime(), |locks| {
        let (waiting, polled) = poll(locks.lock("order:42").into_future());
        assert!(polled.is_pending());
        waiting
    })
}
