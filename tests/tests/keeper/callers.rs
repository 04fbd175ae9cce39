//! Callers without Tokio, with half of it, or with a time of their own.

use super::*;
use crate::runtime::on_a_thread;
use dlock_core::{
    ErrorKind, HandOver, Lease, LockError, LockManager, Moment, RedisBackend, RedlockBackend,
    ZooKeeperBackend, distributed_lock, sleep_until,
};
use dlock_tests::{Link, RedisServer, fresh_key, shared_redis, shared_zookeeper, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tokio::runtime::Builder;

on_each!(
    a_backend_is_built_without_a_runtime,
    a_lock_is_taken_and_released_without_a_runtime,
    a_lock_is_taken_and_released_by_smol,
    a_lock_is_renewed_without_a_runtime,
    a_wait_ends_without_a_runtime,
    a_busy_lock_is_told_without_a_runtime,
    what_is_dropped_without_a_runtime_leaves_nothing,
    executors_of_several_kinds_take_turns,
    a_runtime_without_timers_and_sockets_waits,
    a_runtime_without_timers_and_sockets_is_told_of_a_busy_lock,
    a_runtime_of_paused_time_waits_in_real_time,
);

on_servers!(
    a_loss_is_the_result_of_work_that_never_awaits,
    a_loss_is_the_result_of_an_annotated_body_that_never_awaits,
    a_loss_does_not_undo_a_body_that_is_to_finish,
    a_limit_without_end_is_a_limit,
);

/// Neither connections nor sessions take their runtime from the caller.
fn a_backend_is_built_without_a_runtime(place: Place) {
    let valid = on_a_thread("a lock is taken", move || {
        futures_executor::block_on(async {
            let locks = place.client_of_this_runtime(LONG).await;
            let guard = locks.lock(fresh_key("built")).await.unwrap();
            guard.is_valid()
        })
    });
    assert!(valid);
}

fn a_lock_is_taken_and_released_without_a_runtime(place: Place) {
    let (locks, key) = (place.client(LONG), fresh_key("no runtime"));
    take_turns(&locks, &key, futures_executor::block_on);
    assert_free(place, &key);
}

fn a_lock_is_taken_and_released_by_smol(place: Place) {
    let (locks, key) = (place.client(LONG), fresh_key("smol"));
    take_turns(&locks, &key, smol::block_on);
    assert_free(place, &key);
}

type Turn = std::pin::Pin<Box<dyn Future<Output = Result<(), LockError>> + Send>>;

/// Takes and releases the lock a few times, by an executor that is not Tokio's.
#[track_caller]
fn take_turns(locks: &LockManager, key: &str, execute: fn(Turn) -> Result<(), LockError>) {
    for _ in 0..3 {
        let acquire = locks.lock(key).acquire();
        let turn = Box::pin(async {
            let guard = acquire.await?;
            assert!(guard.is_valid());
            guard.release().await
        });
        on_a_thread("a turn is over", move || execute(turn)).unwrap();
    }
}

/// I11.
fn a_lock_is_renewed_without_a_runtime(place: Place) {
    let acquire = place.client(BRIEF).lock(fresh_key("renewed")).acquire();
    let guard = on_a_thread("it is granted", || futures_executor::block_on(acquire)).unwrap();
    outlast(BRIEF);
    assert_kept(place, &guard);
}

fn a_wait_ends_without_a_runtime(place: Place) {
    let (locks, key) = (place.client(LONG), fresh_key("waited"));
    let holder = granted(place.observer().lock(&key).acquire());
    let mut waiter = Box::pin(locks.lock(&key).acquire());
    queue_up(home(), place, &key, 1, &mut waiter);
    let waiter = thread::spawn(|| futures_executor::block_on(waiter));
    soon("the release is confirmed", holder.release()).unwrap();
    let next = on_a_thread("the waiter is granted the lock", || waiter.join().unwrap()).unwrap();
    assert_kept(place, &next);
}

/// The wait has an end although no runtime has timers for it.
fn a_busy_lock_is_told_without_a_runtime(place: Place) {
    let (locks, key) = (place.client(LONG), fresh_key("busy"));
    let _holder = granted(place.observer().lock(&key).acquire());
    let acquire = locks.lock(&key).wait(BRIEF).acquire();
    let refused = on_a_thread("the wait is over", || futures_executor::block_on(acquire)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
}

/// I4, I9: a guard, and a wait.
fn what_is_dropped_without_a_runtime_leaves_nothing(place: Place) {
    let (locks, keys) = (place.client(LONG), [(); 2].map(|()| fresh_key("dropped")));
    let holder = granted(place.observer().lock(&keys[0]).acquire());
    let guard = granted(locks.lock(&keys[1]).acquire());
    let mut waiter = Box::pin(locks.lock(&keys[0]).acquire());
    queue_up(home(), place, &keys[0], 1, &mut waiter);
    thread::spawn(move || drop((guard, waiter))).join().unwrap();
    soon("the release is confirmed", holder.release()).unwrap();
    keys.iter().for_each(|key| assert_free(place, key));
}

/// I1: they count by reading and writing, which comes out right only under a lock.
fn executors_of_several_kinds_take_turns(place: Place) {
    let (locks, key, count) = (place.client(LONG), fresh_key("counted"), Arc::new(AtomicUsize::new(0)));
    let executors: [fn(Turn) -> Result<(), LockError>; 3] =
        [futures_executor::block_on, smol::block_on, |turn| kept().block_on(turn)];
    let workers = executors.map(|execute| {
        let (locks, key, count) = (locks.clone(), key.clone(), Arc::clone(&count));
        thread::spawn(move || {
            for _ in 0..TURNS {
                let (acquire, count) = (locks.lock(&key).acquire(), Arc::clone(&count));
                execute(Box::pin(async move {
                    let guard = acquire.await?;
                    let seen = count.load(Ordering::SeqCst);
                    thread::yield_now();
                    count.store(seen + 1, Ordering::SeqCst);
                    guard.release().await
                }))
                .unwrap();
            }
        })
    });
    for worker in workers {
        on_a_thread("all turns are over", || worker.join()).unwrap();
    }
    assert_eq!(count.load(Ordering::SeqCst), 3 * TURNS);
}

const TURNS: usize = 50;

/// A runtime as `Builder::build` makes it when nothing is enabled.
fn bare() -> tokio::runtime::Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn a_runtime_without_timers_and_sockets_waits(place: Place) {
    let (locks, key) = (place.client(LONG), fresh_key("bare"));
    let holder = granted(place.observer().lock(&key).acquire());
    let waits = locks.lock(&key).acquire();
    let (sender, polled) = tokio::sync::oneshot::channel();
    let waiter = thread::spawn(move || {
        let (runtime, mut waits) = (bare(), Box::pin(waits));
        let is_pending = runtime.block_on(async { futures_util::poll!(&mut waits).is_pending() });
        sender.send(is_pending).unwrap();
        runtime.block_on(waits)
    });
    assert!(soon("it was polled", polled).expect("a poll is no panic"), "it did not have to wait");
    soon("the release is confirmed", holder.release()).unwrap();
    let next = on_a_thread("the waiter is granted the lock", || waiter.join().unwrap()).unwrap();
    assert_kept(place, &next);
}

fn a_runtime_without_timers_and_sockets_is_told_of_a_busy_lock(place: Place) {
    let (locks, key) = (place.client(LONG), fresh_key("bare"));
    let _holder = granted(place.observer().lock(&key).acquire());
    let acquire = locks.lock(&key).wait(BRIEF).acquire();
    let refused = on_a_thread("the wait is over", || bare().block_on(acquire)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
}

fn paused() -> tokio::runtime::Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Time that is paused jumps to the next timer as soon as nothing else is to be done, while the holder, in another
/// process or on another thread, lives in real time.
fn a_runtime_of_paused_time_waits_in_real_time(place: Place) {
    let (locks, key) = (place.client(LONG), fresh_key("paused"));
    let holder = granted(place.observer().lock(&key).acquire());
    let acquire = locks.lock(&key).wait(LIMIT).acquire();
    let waiter = thread::spawn(|| paused().block_on(acquire));
    // The holder has real work to do.
    outlast(BRIEF);
    soon("the release is confirmed", holder.release()).unwrap();
    let next = on_a_thread("the waiter has an answer", || waiter.join().unwrap());
    assert_kept(place, &next.unwrap());
}

/// Tasks hold for long, by paused time: all together much longer than each of them is ready to wait.
#[test]
fn contention_in_memory_under_paused_time_never_ends_busy() {
    const TASKS: u32 = 8;
    let (locks, key) = (Place::Embedded.client(LONG), fresh_key("paused"));
    on_a_thread("all turns are over", move || {
        paused().block_on(async {
            let turns = (0..TASKS).map(|_| {
                let acquire = locks.lock(&key).wait(LIMIT).acquire();
                tokio::spawn(async {
                    let guard = acquire.await?;
                    tokio::time::sleep(LIMIT).await;
                    guard.release().await
                })
            });
            for turn in turns.collect::<Vec<_>>() {
                turn.await.unwrap().expect("a wait of real time does not end in paused time");
            }
        });
    });
}

/// A lock over a link that is cut, and a body that blocks until the lock is lost and never awaits.
struct Cut {
    link: Link,
    locks: LockManager,
    key: String,
}

impl Cut {
    fn new(place: Place) -> Self {
        let link = Link::to(place.address());
        let locks = place.client_over(&link, BRIEF);
        Self { link, locks, key: fresh_key("cut") }
    }

    fn block_until_lost(&self, lease: &Lease) -> &'static str {
        self.link.block();
        wait_until("the lock is lost", LIMIT, || !lease.is_valid());
        "done"
    }
}

fn a_loss_is_the_result_of_work_that_never_awaits(place: Place) {
    let cut = Cut::new(place);
    let guard = granted(cut.locks.lock(&cut.key).acquire());
    let lease = guard.lease();
    let outcome = kept().block_on(guard.run(async { cut.block_until_lost(&lease) }));
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Lost);
}

#[distributed_lock("{key}", locks = cut.locks, guard = guard)]
async fn blocks(cut: &Cut, key: &str) -> Result<&'static str, LockError> {
    Ok(cut.block_until_lost(&guard.lease()))
}

fn a_loss_is_the_result_of_an_annotated_body_that_never_awaits(place: Place) {
    let cut = Cut::new(place);
    let outcome = soon("the body is over", blocks(&cut, &cut.key));
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Lost);
}

#[distributed_lock("{key}", locks = cut.locks, guard = guard, on_lost = "finish", release = "detach")]
async fn blocks_and_finishes(cut: &Cut, key: &str) -> Result<&'static str, LockError> {
    Ok(cut.block_until_lost(&guard.lease()))
}

/// The control.
fn a_loss_does_not_undo_a_body_that_is_to_finish(place: Place) {
    let cut = Cut::new(place);
    let outcome = soon("the body is over", blocks_and_finishes(&cut, &cut.key));
    assert_eq!(outcome.unwrap(), "done");
}

/// Either it is refused with a reason, or it works; a panic is neither.
fn a_limit_without_end_is_a_limit(place: Place) {
    match place {
        Place::Redis => {
            let builder = || RedisBackend::builder().url(shared_redis().url());
            works_or_is_refused(soon("it is built", builder().request_timeout(Duration::MAX).build()));
            works_or_is_refused(soon("it is built", builder().connect_timeout(Duration::MAX).build()));
            let servers = [(); 3].map(|()| RedisServer::start());
            let majority = RedlockBackend::builder().servers(servers.iter().map(RedisServer::url));
            works_or_is_refused(soon("it is built", majority.request_timeout(Duration::MAX).build()));
        }
        _ => {
            let builder = || ZooKeeperBackend::builder().hosts(shared_zookeeper().hosts());
            works_or_is_refused(soon("it is built", builder().request_timeout(Duration::MAX).build()));
            works_or_is_refused(soon("it is built", builder().session_timeout(Duration::MAX).build()));
        }
    }
}

#[track_caller]
fn works_or_is_refused(built: Result<impl dlock_core::Backend, LockError>) {
    match built {
        Ok(backend) => {
            let locks = LockManager::builder(backend).hand_over(HandOver::OFF).build().unwrap();
            let guard = granted(locks.lock(fresh_key("endless")).wait(Duration::MAX).acquire());
            soon("the release is confirmed", guard.release()).unwrap();
        }
        Err(refused) => assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}"),
    }
}

/// The longest times that can be said, wherever one can be said.
#[test]
fn a_time_without_end_is_never_a_panic() {
    let locks = Place::Embedded.client(LONG);
    let refused = soon("a ttl is refused", locks.lock("endless").ttl(Duration::MAX).acquire()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
    let unreached = sleep_until(Moment::now().after(Duration::MAX));
    assert!(poll_once(&mut Box::pin(unreached)).is_pending());
}
