//! Locks without a runtime of Tokio, or with one that is of little use: the library's own thread does what must happen.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use dlock_core::{EmbeddedBackend, ErrorKind, LockGuard, LockManager, LossReason};
use futures_executor::{LocalPool, block_on};
use futures_util::future::join;
use futures_util::task::LocalSpawnExt as _;
use std::cell::Cell;
use std::future::{Future, IntoFuture as _};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);
const TTL: Duration = Duration::from_millis(300);

fn locks() -> LockManager {
    LockManager::builder(EmbeddedBackend::new()).ttl(TTL).wait(LONG).build().unwrap()
}

/// What users may write.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn by_hand<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn without_timers<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// One test for each executor.
macro_rules! by_each {
    ($($test:ident)+) => {
        mod futures { $(#[test] fn $test() { super::block_on(super::$test()); })+ }
        mod by_hand { $(#[test] fn $test() { super::by_hand(super::$test()); })+ }
        mod without_timers { $(#[test] fn $test() { super::without_timers(super::$test()); })+ }
    };
}

by_each! {
    a_lock_is_taken_waited_for_and_released
    a_wait_ends
    a_lease_is_renewed
    a_lease_that_is_not_renewed_is_lost
    work_under_a_lock_is_run
    a_manager_is_shut_down
}

async fn a_lock_is_taken_waited_for_and_released() {
    let locks = locks();
    let guard = locks.lock("k").await.unwrap();
    assert!(locks.lock("k").try_acquire().await.unwrap().is_none());
    let (next, released) = join(locks.lock("k").into_future(), guard.release()).await;
    released.unwrap();
    next.unwrap().release().await.unwrap();
}

async fn a_wait_ends() {
    let locks = locks();
    let _held = locks.lock("k").await.unwrap();
    let refused = locks.lock("k").wait(SHORT).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
}

async fn a_lease_is_renewed() {
    let locks = locks();
    let held = locks.lock("k").await.unwrap();
    let refused = locks.lock("k").wait(3 * TTL).await.unwrap_err();
    assert_eq!((refused.kind(), held.is_valid()), (ErrorKind::Busy, true));
}

async fn a_lease_that_is_not_renewed_is_lost() {
    let (locks, other) = (locks(), locks());
    let (held, beside) = (locks.lock("k").await.unwrap(), other.lock("k").await.unwrap());
    let lost = async {
        locks.shutdown().await.unwrap();
        held.lost().await
    };
    assert_eq!(lost.await, LossReason::Released);
    assert!(beside.is_valid(), "another table");
}

async fn work_under_a_lock_is_run() {
    let locks = locks();
    assert_eq!(locks.run("k", async { 7 }).await.unwrap(), 7);
    let work = async |guard: &LockGuard| guard.is_valid();
    assert!(locks.lock("k").run(work).await.unwrap());
}

async fn a_manager_is_shut_down() {
    let locks = locks();
    let (held, waiting) = (locks.lock("k").await.unwrap(), locks.lock("k").into_future());
    let (refused, ended) = join(waiting, locks.shutdown()).await;
    ended.unwrap();
    assert_eq!((refused.unwrap_err().kind(), held.is_valid()), (ErrorKind::Closed, false));
}

#[test]
fn tasks_of_one_thread_take_turns() {
    const TASKS: usize = 20;
    let (locks, turns) = (locks(), Rc::new(Cell::new(0)));
    let mut pool = LocalPool::new();
    for number in 0..TASKS {
        let (locks, turns) = (locks.clone(), Rc::clone(&turns));
        let turn = async move {
            let guard = locks.lock("k").await.unwrap();
            assert_eq!(turns.replace(number + 1), number, "in order of arrival");
            guard.release().await.unwrap();
        };
        pool.spawner().spawn_local(turn).unwrap();
    }
    pool.run();
    assert_eq!(turns.get(), TASKS);
}

#[test]
fn threads_take_turns() {
    let locks = locks();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let locks = locks.clone();
            thread::spawn(move || {
                for _ in 0..50 {
                    let guard = locks.lock("k").blocking_acquire().unwrap();
                    thread::yield_now();
                    guard.blocking_release().unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
