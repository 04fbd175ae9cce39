//! Locks in an ensemble of three ZooKeeper servers, under contention, while its members and the ways between them
//! fail.
//!
//! Clients of every member take turns on a few keys. What all their guards said, and when, is judged afterwards: no
//! two of one key were valid at once (I1), tokens rose in grant order (I2), every request was answered, and nothing
//! is left with the servers (I4).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

mod flawed;
mod flights;
mod follower;
mod leader;
mod minority;
mod restarts;
mod sessions;

use dlock_core::backend::Backend;
use dlock_core::{ErrorKind, LockManager, Moment, ZooKeeperBackend};
use dlock_tests::{Contention, Link, Violation, ZooKeeperEnsemble, wait_until_async};
use std::time::Duration;

const KEYS: [&str; 2] = ["order:1", "order:2"];
const SESSION: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(60);

/// A client in a session that ends soon without heartbeats.
async fn backend(hosts: &str) -> ZooKeeperBackend {
    let builder = ZooKeeperBackend::builder().hosts(hosts).session_timeout(SESSION);
    builder.request_timeout(Duration::from_secs(1)).build().await.unwrap()
}

fn over(backend: impl Backend) -> LockManager {
    LockManager::builder(backend).wait(Duration::from_secs(5)).build().unwrap()
}

async fn client(hosts: &str) -> LockManager {
    over(backend(hosts).await)
}

/// A client of each member that stays with it, and two that take any.
async fn clients(ensemble: &ZooKeeperEnsemble) -> Vec<LockManager> {
    let mut clients = Vec::new();
    for index in 0..3 {
        clients.push(client(&ensemble.server(index).hosts()).await);
    }
    for _ in 0..2 {
        clients.push(client(&ensemble.hosts()).await);
    }
    clients
}

/// Ends the contention, and checks what it did and what it left. The sessions go on meanwhile: it is not by their
/// end that nodes go.
async fn end(contention: Contention, ensemble: &ZooKeeperEnsemble, clients: &[LockManager]) {
    contention.end().await;
    for locks in clients {
        soon("every release is confirmed", locks.shutdown()).await.unwrap();
    }
    until("no lock node is left", async || !holds_locks(ensemble)).await;
    for index in 0..3 {
        until("no watch is left", async || {
            ensemble.server(index).four_letter("wchs").contains("Total watches:0")
        })
        .await;
    }
}

/// Whether the leader knows of a lock node, of whatever session.
fn holds_locks(ensemble: &ZooKeeperEnsemble) -> bool {
    let dump = ensemble.server(ensemble.leader()).four_letter("dump");
    assert!(dump.contains("Sessions with Ephemerals"), "{dump}");
    dump.contains("/locks/")
}

async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    wait_until_async(what, LIMIT, condition).await;
}

async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}
