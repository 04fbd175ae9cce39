//! Callers that have no executor at all, or must not await.

use super::*;
use crate::runtime::on_a_thread;
use dlock_core::ErrorKind;
use dlock_tests::{fresh_key, wait_until};
use std::thread;

on_each!(
    a_plain_thread_takes_and_releases_a_lock,
    a_plain_thread_waits_for_its_turn,
    a_plain_thread_is_told_of_a_busy_lock,
    a_thread_of_the_blocking_pool_takes_and_releases_a_lock,
    a_worker_in_block_in_place_takes_and_releases_a_lock,
    a_lock_of_a_plain_thread_is_renewed,
);

fn a_plain_thread_takes_and_releases_a_lock(place: Place) {
    let (locks, key) = (place.client(LONG), fresh_key("plain"));
    let request = locks.lock(&key);
    on_a_thread("a turn is over", || request.blocking_acquire().unwrap().blocking_release()).unwrap();
    assert_free(place, &key);
}

fn a_plain_thread_waits_for_its_turn(place: Place) {
    let (locks, key) = (place.client(LONG), fresh_key("plain"));
    let holder = granted(place.observer().lock(&key).acquire());
    let request = locks.lock(&key);
    let waiter = thread::spawn(|| request.blocking_acquire());
    if place != Place::Embedded {
        wait_until("it waits", LIMIT, || place.waiters(&key) == Some(1));
    }
    soon("the release is confirmed", holder.release()).unwrap();
    let next = on_a_thread("the waiter is granted the lock", || waiter.join().unwrap()).unwrap();
    assert_kept(place, &next);
}

fn a_plain_thread_is_told_of_a_busy_lock(place: Place) {
    let (locks, key) = (place.client(LONG), fresh_key("plain"));
    let _holder = granted(place.observer().lock(&key).acquire());
    let request = locks.lock(&key).wait(BRIEF);
    let refused = on_a_thread("the wait is over", || request.blocking_acquire()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
}

fn a_thread_of_the_blocking_pool_takes_and_releases_a_lock(place: Place) {
    let (runtime, locks, key) = (kept(), place.client(LONG), fresh_key("pool"));
    let request = locks.lock(&key);
    let turn = runtime.spawn_blocking(|| request.blocking_acquire()?.blocking_release());
    soon("a turn is over", turn).unwrap().unwrap();
    assert_free(place, &key);
}

fn a_worker_in_block_in_place_takes_and_releases_a_lock(place: Place) {
    let (runtime, locks, key) = (threaded(1), place.client(LONG), fresh_key("in place"));
    let request = locks.lock(&key);
    let turn = runtime
        .spawn(async { tokio::task::block_in_place(|| request.blocking_acquire()?.blocking_release()) });
    soon("a turn is over", turn).unwrap().unwrap();
    assert_free(place, &key);
}

/// I11.
fn a_lock_of_a_plain_thread_is_renewed(place: Place) {
    let request = place.client(BRIEF).lock(fresh_key("renewed"));
    let guard = on_a_thread("it is granted", || request.blocking_acquire()).unwrap();
    outlast(BRIEF);
    assert_kept(place, &guard);
}
