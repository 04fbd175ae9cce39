//! Callers that are polled for a while and then no more, as in a `select!` whose other branch goes on. They hold up
//! nothing that is not theirs.

use super::recipes::NO_SCRIPTS;
use super::*;
use dlock_core::backend::redis::Recipe;
use dlock_tests::RedisCluster;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

type Stopped<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Polls a future up to this many times, each time it is woken. What is left of it, if it is not done.
async fn polled<T>(future: impl Future<Output = T> + Send + 'static, mut times: usize) -> Option<Stopped<T>> {
    let mut future: Stopped<T> = Box::pin(future);
    let polling = poll_fn(|context| {
        times -= 1;
        let is_over = future.as_mut().poll(context).is_ready();
        if is_over || times == 0 { Poll::Ready(is_over) } else { Poll::Pending }
    });
    let is_over = tokio::time::timeout(Duration::from_millis(50), polling).await;
    (is_over != Ok(true)).then_some(future)
}

/// So often is a caller polled at most: more than it takes from the first request to the last.
const POLLS: usize = 6;

/// More than there are connections for requests that must not share one.
const CALLERS: usize = 20;

/// Has callers stop at every point of their way, and another caller go all of it.
async fn none_is_held_up(locks: &LockManager, upset: impl Fn()) {
    for times in 1..=POLLS {
        upset();
        let mut kept = Vec::new();
        for number in 0..CALLERS {
            kept.push(polled(locks.lock(format!("kept:{times}:{number}")).acquire(), times).await);
        }
        go_all_the_way(locks, times).await;
    }
}

async fn go_all_the_way(locks: &LockManager, times: usize) {
    let all = async { locks.lock("other").await?.release().await };
    let outcome = tokio::time::timeout(PATIENCE, all).await;
    assert!(matches!(outcome, Ok(Ok(()))), "after callers that were polled {times} times: {outcome:?}");
}

/// The first to ask for a new connection is not polled while it is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_is_not_polled_holds_up_no_reconnect() {
    let server = RedisServer::start();
    let locks = manager(&server).await;
    none_is_held_up(&locks, || {
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    })
    .await;
}

/// There are few connections for requests that must not share one. A caller that is not polled keeps none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_is_not_polled_keeps_no_exclusive_connection() {
    let primary = RedisServer::start();
    let _replica = RedisServer::builder().replica_of(&primary).start();
    let builder = RedisBackend::builder().url(primary.url()).require_replicas(1);
    none_is_held_up(&over(builder.build().await.unwrap(), LONG), || {}).await;
}

/// The same for releases that are transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_is_not_polled_keeps_no_exclusive_connection() {
    let rights = NO_SCRIPTS.replace(" +client|setinfo", "");
    let server = RedisServer::builder().config(&rights).config("user default on nopass ~* &* +@all").start();
    let builder = RedisBackend::builder().url(server.url().replace("redis://", "redis://dlock:any@"));
    let locks = over(builder.recipe(Recipe::Plain).build().await.unwrap(), LONG);
    for times in 1..=POLLS {
        let mut kept = Vec::new();
        for number in 0..CALLERS {
            let guard = locks.lock(format!("kept:{times}:{number}")).await.unwrap();
            kept.push(polled(guard.release(), times).await);
        }
        go_all_the_way(&locks, times).await;
    }
}

/// In a cluster the map is asked for once for all, and so is each subscription.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_is_not_polled_holds_up_none_in_a_cluster() {
    let cluster = RedisCluster::start();
    let build = async || RedisBackend::builder().url(cluster.url()).build().await.unwrap();
    let holder = over(build().await, LONG);
    let _guard = holder.lock("{slot}kept").await.unwrap();
    for times in 1..=POLLS {
        let locks = each_for_itself(build().await, LONG);
        let held = holder.lock("{slot}other").await.unwrap();
        let _kept = polled(locks.lock("{slot}kept").acquire(), times).await;
        let waiter = tokio::spawn(locks.lock("{slot}other").acquire());
        wait_until_async("it waits", PATIENCE, async || {
            cluster.command_for("{slot}other", &["ZCARD", "dlock:w:t:{slot}other"]) == "1"
        })
        .await;
        held.release().await.unwrap();
        let granted = tokio::time::timeout(PATIENCE, waiter).await;
        drop(
            granted.unwrap_or_else(|_| panic!("held up by a caller that was polled {times} times")).unwrap(),
        );
    }
}
