//! Managers that are closed, and programs that end.

use super::*;
use dlock_core::{ErrorKind, LockError, LockGuard, LockManager};
use dlock_tests::{Link, fresh_key, printed_seed};
use std::future::IntoFuture as _;
use std::process::Command;
use tokio::task::JoinHandle;

on_each!(
    what_waits_at_the_shutdown_is_granted_nothing,
    what_is_released_beside_the_shutdown_is_granted_to_nothing_that_lasts,
    what_is_released_after_the_close_is_not_granted_to_what_waits,
    a_shutdown_beside_many_acquires_leaves_nothing,
);

on_servers!(
    a_shutdown_ends_although_the_server_is_silent,
    a_shutdown_ends_although_the_server_is_away,
    a_main_that_returns_with_a_lock_on_one_thread_frees_its_key,
    a_main_that_returns_with_a_lock_on_many_threads_frees_its_key,
    a_main_that_returns_after_a_wait_on_one_thread_leaves_nothing,
    a_main_that_returns_after_a_wait_on_many_threads_leaves_nothing,
);

/// What may come in more than one order does.
const ROUNDS: usize = 50;

/// A key that one task of a client holds and another waits for.
struct Pair {
    key: String,
    locks: LockManager,
    holder: LockGuard,
    waiter: JoinHandle<Result<LockGuard, LockError>>,
}

impl Pair {
    fn new(place: Place) -> Self {
        let (key, locks) = (fresh_key("closed"), place.client(LONG));
        let holder = granted(locks.lock(&key).acquire());
        let mut waiter = Box::pin(locks.lock(&key).into_future());
        assert!(poll_once(&mut waiter).is_pending());
        Self { key, locks, holder, waiter: home().spawn(waiter) }
    }
}

#[track_caller]
fn answer(waiter: JoinHandle<Result<LockGuard, LockError>>) -> Result<LockGuard, LockError> {
    soon("a waiter has an answer", waiter).unwrap()
}

#[track_caller]
fn assert_closed(waiter: JoinHandle<Result<LockGuard, LockError>>) {
    let refused = answer(waiter).expect_err("it was granted the lock of a manager that is closed");
    assert_eq!(refused.kind(), ErrorKind::Closed, "{refused}");
}

/// The releases of a shutdown let others have the lock, and never a waiter of the manager itself.
fn what_waits_at_the_shutdown_is_granted_nothing(place: Place) {
    for _ in 0..ROUNDS {
        let Pair { key, locks, holder, waiter } = Pair::new(place);
        let _ = soon("the shutdown is over", locks.shutdown());
        assert_closed(waiter);
        assert!(!holder.is_valid());
        assert_free(place, &key);
    }
}

/// Which of them comes first is open. What was granted before the shutdown is released by it.
fn what_is_released_beside_the_shutdown_is_granted_to_nothing_that_lasts(place: Place) {
    let mut random = fastrand::Rng::with_seed(printed_seed());
    for _ in 0..ROUNDS {
        let Pair { key, locks, holder, waiter } = Pair::new(place);
        let pause = Duration::from_micros(random.u64(..2_000));
        let release = home().spawn(async move {
            tokio::time::sleep(pause).await;
            holder.release().await
        });
        let _ = soon("the shutdown is over", locks.shutdown());
        match answer(waiter) {
            Ok(guard) => assert!(!guard.is_valid(), "it holds a lock of a manager that is shut down"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
        }
        // Lost, or released: the shutdown may have been faster.
        drop(soon("the release is answered", release).unwrap());
        assert_free(place, &key);
    }
}

/// A close lets what is held stay held, and grants nothing more.
fn what_is_released_after_the_close_is_not_granted_to_what_waits(place: Place) {
    for _ in 0..ROUNDS {
        let Pair { key, locks, holder, waiter } = Pair::new(place);
        locks.close();
        assert!(holder.is_valid());
        soon("the release is confirmed", holder.release()).unwrap();
        assert_closed(waiter);
        assert_free(place, &key);
    }
}

/// Requests at any stage: none is granted a lock that lasts, and none leaves anything with the backend.
fn a_shutdown_beside_many_acquires_leaves_nothing(place: Place) {
    let mut random = fastrand::Rng::with_seed(printed_seed());
    for _ in 0..ROUNDS {
        let (locks, keys) = (place.client(LONG), [(); 4].map(|()| fresh_key("closed")));
        let acquire = |number: usize| home().spawn(locks.lock(&keys[number % keys.len()]).into_future());
        let acquires: Vec<_> = (0..16).map(acquire).collect();
        let pause = Duration::from_micros(random.u64(..3_000));
        home().block_on(async { tokio::time::sleep(pause).await });
        let _ = soon("the shutdown is over", locks.shutdown());
        for acquire in acquires {
            match answer(acquire) {
                Ok(guard) => assert!(!guard.is_valid(), "it holds a lock of a manager that is shut down"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
            }
        }
        keys.iter().for_each(|key| assert_free(place, key));
    }
}

/// I10: the lock outlasts what is waited for here, so a shutdown that waits for its end fails.
fn a_shutdown_ends_although_the_server_is_silent(place: Place) {
    let link = Link::to(place.address());
    let locks = place.client_over(&link, LONG);
    let guard = granted(locks.lock(fresh_key("silent")).acquire());
    link.block();
    let _ = soon("the shutdown is over", locks.shutdown());
    assert!(!guard.is_valid());
}

/// I10.
fn a_shutdown_ends_although_the_server_is_away(place: Place) {
    let link = Link::to(place.address());
    let locks = place.client_over(&link, LONG);
    let guard = granted(locks.lock(fresh_key("away")).acquire());
    drop(link);
    let _ = soon("the shutdown is over", locks.shutdown());
    assert!(!guard.is_valid());
}

/// I9, I11.
fn a_main_that_returns_with_a_lock_on_one_thread_frees_its_key(place: Place) {
    let key = fresh_key("returned");
    run("holds", "one", place, &key);
    assert_free(place, &key);
}

/// I9, I11.
fn a_main_that_returns_with_a_lock_on_many_threads_frees_its_key(place: Place) {
    let key = fresh_key("returned");
    run("holds", "many", place, &key);
    assert_free(place, &key);
}

/// I4, I11.
fn a_main_that_returns_after_a_wait_on_one_thread_leaves_nothing(place: Place) {
    give_up_a_wait("one", place);
}

/// I4, I11.
fn a_main_that_returns_after_a_wait_on_many_threads_leaves_nothing(place: Place) {
    give_up_a_wait("many", place);
}

fn give_up_a_wait(runtime: &str, place: Place) {
    let key = fresh_key("returned");
    let holder = granted(place.observer().lock(&key).acquire());
    run("waits", runtime, place, &key);
    soon("the release is confirmed", holder.release()).unwrap();
    assert_free(place, &key);
}

/// Runs a program until its `main` has returned.
fn run(act: &str, runtime: &str, place: Place, key: &str) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_return_from_main"));
    program.args([act, runtime, &place.url(), key, &LONG.as_millis().to_string()]);
    assert!(program.status().unwrap().success());
}
