//! Runtimes that end, idle or block.

use super::*;
use dlock_core::{LockGuard, LockManager};
use dlock_tests::fresh_key;
use tokio::runtime::Runtime;

on_each!(
    a_runtime_that_ends_takes_no_renewals_with_it,
    a_runtime_that_is_only_kept_takes_no_renewals_with_it,
    the_runtime_of_the_build_takes_no_renewals_with_it,
    a_caller_that_blocks_its_runtime_keeps_its_lock,
    a_caller_that_blocks_its_worker_right_after_the_grant_keeps_its_lock,
    a_guard_dropped_as_its_runtime_of_one_thread_ends_frees_its_key,
    a_guard_dropped_as_its_runtime_of_many_threads_ends_frees_its_key,
    a_guard_of_a_task_that_ends_with_its_runtime_frees_its_key,
    a_guard_dropped_after_its_runtime_frees_its_key,
    a_guard_dropped_while_its_runtime_is_only_kept_frees_its_key,
    a_wait_that_ends_with_its_runtime_leaves_nothing,
    a_wait_dropped_while_its_runtime_is_only_kept_leaves_nothing,
    a_loss_is_told_while_the_runtime_of_the_grant_is_only_kept,
    shutdown_does_not_wait_for_a_runtime_that_is_only_kept,
    the_next_runtime_does_not_wait_for_the_lease_of_the_one_before,
);

fn acquire(runtime: &Runtime, locks: &LockManager, key: &str) -> LockGuard {
    runtime.block_on(locks.lock(key).acquire()).unwrap()
}

/// I11: neither the lock of the runtime that ended is lost, nor one of a runtime that goes on.
fn a_runtime_that_ends_takes_no_renewals_with_it(place: Place) {
    let (locks, keys) = (place.client(BRIEF), [(); 2].map(|()| fresh_key("renewed")));
    let (side, main) = (threaded(1), driven());
    let first = acquire(&side, &locks, &keys[0]);
    let second = main.run(locks.lock(&keys[1]).acquire()).unwrap();
    drop(side);
    outlast(BRIEF);
    assert_kept(place, &second);
    assert_kept(place, &first);
}

/// I11.
fn a_runtime_that_is_only_kept_takes_no_renewals_with_it(place: Place) {
    let (locks, keys) = (place.client(BRIEF), [(); 2].map(|()| fresh_key("renewed")));
    let (side, main) = (kept(), driven());
    let first = acquire(&side, &locks, &keys[0]);
    let second = main.run(locks.lock(&keys[1]).acquire()).unwrap();
    outlast(BRIEF);
    assert_kept(place, &second);
    assert_kept(place, &first);
    drop(side);
}

/// I11: connections and sessions are made while a backend is built, and go on without its runtime.
fn the_runtime_of_the_build_takes_no_renewals_with_it(place: Place) {
    let (side, main, key) = (threaded(1), driven(), fresh_key("renewed"));
    let locks = side.block_on(place.client_of_this_runtime(BRIEF));
    let guard = main.run(locks.lock(&key).acquire()).unwrap();
    drop(side);
    outlast(BRIEF);
    assert_kept(place, &guard);
}

/// I11: the process lives, so its lock does. The client belongs to the very runtime that is blocked.
fn a_caller_that_blocks_its_runtime_keeps_its_lock(place: Place) {
    let (runtime, key) = (kept(), fresh_key("blocked"));
    let guard = runtime.block_on(async {
        let locks = place.client_of_this_runtime(BRIEF).await;
        let guard = locks.lock(&key).await.unwrap();
        outlast(BRIEF);
        guard
    });
    assert_kept(place, &guard);
}

/// I11: what was started by the grant must not sit in the slot of the worker that is blocked.
fn a_caller_that_blocks_its_worker_right_after_the_grant_keeps_its_lock(place: Place) {
    let (runtime, key) = (threaded(4), fresh_key("blocked"));
    let task = runtime.spawn(async move {
        let locks = place.client_of_this_runtime(BRIEF).await;
        let guard = locks.lock(&key).await.unwrap();
        outlast(BRIEF);
        guard
    });
    let guard = runtime.block_on(task).unwrap();
    assert_kept(place, &guard);
}

/// I9, I11.
fn a_guard_dropped_as_its_runtime_of_one_thread_ends_frees_its_key(place: Place) {
    let (locks, key) = (place.client(LONG), fresh_key("ended"));
    drop_at_the_end_of(kept(), &locks, &key);
    assert_free(place, &key);
}

/// I9, I11.
fn a_guard_dropped_as_its_runtime_of_many_threads_ends_frees_its_key(place: Place) {
    let (locks, key) = (place.client(LONG), fresh_key("ended"));
    drop_at_the_end_of(threaded(2), &locks, &key);
    assert_free(place, &key);
}

fn drop_at_the_end_of(runtime: Runtime, locks: &LockManager, key: &str) {
    runtime.block_on(async { drop(locks.lock(key).await.unwrap()) });
    drop(runtime);
}

/// I9, I11.
fn a_guard_of_a_task_that_ends_with_its_runtime_frees_its_key(place: Place) {
    let (runtime, locks, key) = (threaded(2), place.client(LONG), fresh_key("ended"));
    let (granted, is_granted) = tokio::sync::oneshot::channel();
    let acquire = locks.lock(&key).acquire();
    runtime.spawn(async move {
        let _guard = acquire.await.unwrap();
        granted.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    soon("the task has the lock", is_granted).unwrap();
    drop(runtime);
    assert_free(place, &key);
}

/// I9, I11: on a plain thread.
fn a_guard_dropped_after_its_runtime_frees_its_key(place: Place) {
    let (runtime, locks, key) = (kept(), place.client(LONG), fresh_key("ended"));
    let guard = acquire(&runtime, &locks, &key);
    drop(runtime);
    std::thread::spawn(move || drop(guard)).join().unwrap();
    assert_free(place, &key);
}

/// I9, I11.
fn a_guard_dropped_while_its_runtime_is_only_kept_frees_its_key(place: Place) {
    let (runtime, locks, key) = (kept(), place.client(LONG), fresh_key("kept"));
    drop(acquire(&runtime, &locks, &key));
    assert_free(place, &key);
    drop(runtime);
}

/// I4, I11.
fn a_wait_that_ends_with_its_runtime_leaves_nothing(place: Place) {
    let (runtime, locks, key) = (threaded(1), place.client(LONG), fresh_key("given up"));
    let holder = acquire(home(), place.observer(), &key);
    let mut waiter = Box::pin(locks.lock(&key).acquire());
    queue_up(&runtime, place, &key, 1, &mut waiter);
    runtime.spawn(waiter);
    drop(runtime);
    soon("the holder has released", holder.release()).unwrap();
    assert_free(place, &key);
}

/// I4, I11.
fn a_wait_dropped_while_its_runtime_is_only_kept_leaves_nothing(place: Place) {
    let (runtime, locks, key) = (kept(), place.client(LONG), fresh_key("given up"));
    let holder = acquire(home(), place.observer(), &key);
    let mut waiter = Box::pin(locks.lock(&key).acquire());
    queue_up(&runtime, place, &key, 1, &mut waiter);
    drop(waiter);
    soon("the holder has released", holder.release()).unwrap();
    assert_free(place, &key);
    drop(runtime);
}

/// I3, I11: the manager is shut down in another runtime, and the one of the grant does nothing.
fn a_loss_is_told_while_the_runtime_of_the_grant_is_only_kept(place: Place) {
    let (runtime, locks, key) = (kept(), place.client(LONG), fresh_key("kept"));
    let guard = acquire(&runtime, &locks, &key);
    let _ = soon("the shutdown is over", locks.shutdown());
    soon("the loss is told", guard.lost());
    assert_free(place, &key);
    drop(runtime);
}

/// I10, I11.
fn shutdown_does_not_wait_for_a_runtime_that_is_only_kept(place: Place) {
    let (runtime, locks, key) = (kept(), place.client(LONG), fresh_key("kept"));
    drop(acquire(&runtime, &locks, &key));
    let _ = soon("the shutdown is over", locks.shutdown());
    assert_free(place, &key);
    drop(runtime);
}

/// I11: as one test after the other does it.
fn the_next_runtime_does_not_wait_for_the_lease_of_the_one_before(place: Place) {
    let (locks, key) = (place.client(LONG), fresh_key("again"));
    let mut last = None;
    for _ in 0..3 {
        let runtime = kept();
        let acquire = async { tokio::time::timeout(LIMIT, locks.lock(&key).acquire()).await };
        let guard = runtime.block_on(acquire).expect("the key is free").unwrap();
        assert!(guard.is_valid() && Some(guard.token()) > last);
        last = Some(guard.token());
        runtime.block_on(async { drop(guard) });
    }
}
