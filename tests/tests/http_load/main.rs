//! An HTTP service of two processes under the load of two thousand connections on a few keys, while what keeps its
//! locks fails: Redis is restarted, ZooKeeper's leader is killed.
//!
//! One request in ten is given up by its client, while it waits, while it is handled, or in the middle of its body.
//! What was done under which lock, and when, is judged afterwards: no two of one key at once (I1), in the order of
//! their tokens (I2), every request answered or refused as promised, and nothing left: not with the servers of the
//! locks, not in the processes (I4).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

mod crowd;
mod limit;
mod request;
mod service;
mod tally;

use crowd::Crowd;
use dlock_tests::{RedisServer, Violation, ZooKeeperEnsemble, wait_until_async};
use limit::allow_connections;
use service::Service;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::block_in_place;

const CONNECTIONS: usize = 2_000;
const KEYS: usize = 50;
/// How many requests are served before the trouble, and again after it.
const SERVED: usize = 700;
/// The lease, or the session's timeout.
const LEASE: Duration = Duration::from_secs(4);
/// Long enough for two processors that have other tests to run as well.
const LIMIT: Duration = Duration::from_secs(240);
/// One load at a time: together they would need thrice the connections, and be a load on each other.
static TURN: Mutex<()> = Mutex::const_new(());

/// The server keeps its locks in an append-only file: one that forgot them would let two in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_restarted_under_load() {
    let _turn = TURN.lock().await;
    allow_connections(CONNECTIONS);
    let mut redis = RedisServer::builder().config("appendonly yes").config("appendfsync always").start();
    let mut service = Service::start(&[&redis.url(), &LEASE.as_millis().to_string()]).await;
    let crowd = Crowd::arrive(&service.addresses()).await;
    crowd.more_served(SERVED).await;
    // The control of what is looked for at the end: the same looks see the load.
    until("locks and waiters are seen", async || !left_in(&redis).is_empty()).await;
    assert!(!service.is_idle());
    block_in_place(|| redis.restart());
    crowd.more_served(SERVED).await;
    crowd.leave().await.assert_answered_as_promised();
    service.assert_idle().await;
    until("no lock and no waiter is left", async || left_in(&redis).is_empty()).await;
    service.end().check().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_zookeeper_is_killed_under_load() {
    let _turn = TURN.lock().await;
    allow_connections(CONNECTIONS);
    let mut ensemble = block_in_place(ZooKeeperEnsemble::start);
    let url = format!("zookeeper://{}/locks", ensemble.hosts());
    let mut service = Service::start(&[&url, &LEASE.as_millis().to_string()]).await;
    let crowd = Crowd::arrive(&service.addresses()).await;
    crowd.more_served(SERVED).await;
    let first = block_in_place(|| {
        let first = ensemble.leader();
        ensemble.kill(first);
        first
    });
    crowd.more_served(SERVED).await;
    crowd.leave().await.assert_answered_as_promised();
    service.assert_idle().await;
    until("no lock node and no watch is left", async || block_in_place(|| is_clear(&ensemble, first))).await;
    service.end().check().unwrap();
}

/// The control: the same load on the same service without the layer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_layer_the_same_load_is_seen_to_overlap() {
    let _turn = TURN.lock().await;
    allow_connections(CONNECTIONS);
    let mut service = Service::start(&["bare"]).await;
    let crowd = Crowd::arrive(&service.addresses()).await;
    crowd.more_served(SERVED).await;
    crowd.leave().await;
    service.assert_idle().await;
    let violation = service.end().check().unwrap_err();
    assert!(matches!(violation, Violation::Overlap(..)), "{violation}");
}

/// All keys but the counter, which stays so that tokens rise.
fn left_in(redis: &RedisServer) -> Vec<String> {
    let keys = redis.command(&["KEYS", "*"]);
    keys.lines().filter(|key| *key != "dlock:f").map(str::to_owned).collect()
}

/// Whether the sessions, which go on, have neither node nor watch on those members that run.
fn is_clear(ensemble: &ZooKeeperEnsemble, killed: usize) -> bool {
    let nodes = ensemble.server(ensemble.leader()).four_letter("dump");
    assert!(nodes.contains("Sessions with Ephemerals"), "{nodes}");
    let unwatched = |index| ensemble.server(index).four_letter("wchs").contains("Total watches:0");
    !nodes.contains("/locks/") && (0..3).filter(|index| *index != killed).all(unwatched)
}

async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    wait_until_async(what, LIMIT, condition).await;
}

async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}
