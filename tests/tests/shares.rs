//! Readers, writers and permits under contention, while clients die: the guards that are valid at once always fit together.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

use dlock_core::testing::Tap;
use dlock_core::testing::flawed::{Flaw, FlawedBackend};
use dlock_core::{Backend, EmbeddedBackend, Guarantees, LockManager, RedisBackend, ZooKeeperBackend};
use dlock_tests::{Contention, fresh_key, printed_seed, shared_redis, shared_zookeeper, wait_until_async};
use std::sync::Arc;
use std::time::Duration;

const LEASE: Duration = Duration::from_millis(600);
const LIMIT: Duration = Duration::from_secs(60);
const CLIENTS: usize = 4;
/// How many clients die.
const DEATHS: usize = 6;

/// A client that can be cut off: then it is dead for the servers, and its leases end.
struct Client {
    tap: Arc<Tap>,
    locks: LockManager,
}

impl Client {
    fn over(backend: impl Backend) -> Self {
        let tap = Tap::new(Arc::new(backend));
        let locks = LockManager::builder(Arc::clone(&tap)).ttl(LEASE).wait(LIMIT).build().unwrap();
        Self { tap, locks }
    }
}

/// I1, I2, I7: clients die with whatever they hold and wait for, one after the other, and come back later. Nothing is left.
async fn survive_deaths(clients: [Client; CLIENTS]) {
    let key = fresh_key("shares");
    let managers = clients.each_ref().map(|client| client.locks.clone());
    let contention = Contention::start_shares(&managers, &key);
    let mut random = fastrand::Rng::with_seed(printed_seed());
    contention.more_turns(60).await;
    for _ in 0..DEATHS {
        let client = &clients[random.usize(..CLIENTS)];
        client.tap.cut();
        contention.more_turns(40).await;
        client.tap.restore();
        contention.more_turns(20).await;
    }
    contention.end().await;
    let free = async || managers[0].write(&key).try_acquire().await.is_ok_and(|guard| guard.is_some());
    wait_until_async("nothing is left", LIMIT, free).await;
}

/// Whether there is anything to test, which is said.
fn promises_shares(backend: &impl Backend) -> bool {
    let promised = backend.guarantees().contains(Guarantees::SHARES);
    if !promised {
        println!("{} promises no shares: left out", backend.name());
    }
    promised
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_shares_survive_the_death_of_clients() {
    let store = EmbeddedBackend::new();
    assert!(promises_shares(&store));
    survive_deaths([(); CLIENTS].map(|()| Client::over(store.clone()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_shares_survive_the_death_of_clients() {
    let url = shared_redis().url();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let backend = RedisBackend::builder().url(&url).build().await.unwrap();
        if !promises_shares(&backend) {
            return;
        }
        clients.push(Client::over(backend));
    }
    survive_deaths(clients.try_into().unwrap_or_else(|_| unreachable!())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper_shares_survive_the_death_of_clients() {
    let hosts = shared_zookeeper().hosts();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let builder = ZooKeeperBackend::builder().hosts(&hosts).session_timeout(Duration::from_secs(4));
        let backend = builder.build().await.unwrap();
        if !promises_shares(&backend) {
            return;
        }
        clients.push(Client::over(backend));
    }
    survive_deaths(clients.try_into().unwrap_or_else(|_| unreachable!())).await;
}

/// The control: stores that lack a rule are found out by the histories.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_of_flawed_stores_are_noticed() {
    for flaw in [Flaw::ForgetsWeights, Flaw::PartsStandApart, Flaw::UpgradesAnybody] {
        let store = FlawedBackend::new(flaw);
        let clients = [(); CLIENTS].map(|()| Client::over(store.clone()).locks);
        let contention = Contention::start_shares(&clients, &fresh_key("flawed"));
        contention.more_turns(100).await;
        assert!(contention.stop().await.check().is_err(), "{flaw:?} was not noticed");
    }
}
