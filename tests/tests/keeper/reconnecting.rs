//! Connections that break, and callers that begin a new one and do not go on.

use super::*;
use dlock_core::{AcquireFuture, LockGuard, LockManager};
use dlock_tests::{Link, fresh_key, wait_until_async};
use std::future::IntoFuture as _;
use std::pin::Pin;
use tokio::runtime::Runtime;

on_servers!(
    a_future_that_begins_to_reconnect_and_is_not_polled_holds_up_nothing,
    a_runtime_that_begins_to_reconnect_and_is_only_kept_holds_up_nothing,
    a_runtime_that_begins_to_reconnect_and_ends_holds_up_nothing,
    a_lock_is_kept_though_nothing_is_asked_after_the_connection_broke,
);

/// Longer than it takes to connect over a slow link.
const LEASE: Duration = Duration::from_secs(5);
/// Each way, so that connecting takes several times as long.
const SLOW: Duration = Duration::from_millis(100);

/// A client with a lock, over a link that has just been cut and mended.
struct Broken {
    place: Place,
    link: Link,
    locks: LockManager,
    guard: LockGuard,
    connects: usize,
}

impl Broken {
    fn new(place: Place) -> Self {
        let link = Link::to(place.address());
        let locks = place.client_over(&link, LEASE);
        let guard = granted(locks.lock(fresh_key("held")).acquire());
        link.close();
        link.delay(SLOW);
        let connects = link.connects();
        link.open();
        Self { place, link, locks, guard, connects }
    }

    /// An acquire that is polled in `runtime` until there is a new connection, and then no more.
    fn begin_to_connect(&self, runtime: &Runtime) -> Pin<Box<AcquireFuture>> {
        let mut acquire = Box::pin(self.locks.lock(fresh_key("stuck")).into_future());
        let connects = async || self.link.connects() > self.connects;
        let begun = wait_until_async("a connection is made", LIMIT, connects);
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = &mut acquire => {}
                () = begun => {}
            }
        });
        acquire
    }

    /// Another key can be had elsewhere, and the lock that was held is renewed.
    #[track_caller]
    fn assert_going_on(&self) {
        let tried = soon("a try is answered", self.locks.lock(fresh_key("tried")).try_acquire());
        assert!(tried.unwrap().is_some());
        outlast(LEASE);
        assert_kept(self.place, &self.guard);
    }
}

/// I10, I11.
fn a_future_that_begins_to_reconnect_and_is_not_polled_holds_up_nothing(place: Place) {
    let broken = Broken::new(place);
    let stuck = broken.begin_to_connect(home());
    broken.assert_going_on();
    drop(stuck);
}

/// I10, I11.
fn a_runtime_that_begins_to_reconnect_and_is_only_kept_holds_up_nothing(place: Place) {
    let (broken, runtime) = (Broken::new(place), kept());
    let stuck = broken.begin_to_connect(&runtime);
    let stuck = runtime.spawn(stuck);
    broken.assert_going_on();
    drop(stuck);
}

/// I10, I11.
fn a_runtime_that_begins_to_reconnect_and_ends_holds_up_nothing(place: Place) {
    let (broken, runtime) = (Broken::new(place), kept());
    let stuck = broken.begin_to_connect(&runtime);
    drop(runtime);
    broken.assert_going_on();
    drop(stuck);
}

/// I11: the connection is made again for the sake of the lock alone.
fn a_lock_is_kept_though_nothing_is_asked_after_the_connection_broke(place: Place) {
    let broken = Broken::new(place);
    outlast(LEASE);
    assert_kept(place, &broken.guard);
}
