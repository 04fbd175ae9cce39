//! The ZooKeeper backend where the conformance suite cannot look: names and nodes, sessions, and connections
//! that break at the wrong moment.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]

mod accounts;
mod connecting;
mod cost;
mod hand_over;
mod inspection;
mod labels;
mod lacking;
mod lagging;
mod lost_answers;
mod moving;
mod names;
mod namespaces;
mod op_code;
mod operator;
mod outages;
mod processes;
mod queue;
mod relay;
mod revocation;
mod runtimes;
mod scenarios;
mod sequence;
mod sessions;
mod shared_transactions;
mod simple;
mod snapshot;
mod states;
mod textbook_recipe;

use dlock_core::backend::{AcquireRequest, Backend, Claim, Grant, Mode};
use dlock_core::{
    ErrorKind, FencingToken, HandOver, Label, LockError, LockKey, LockManager, LossReason, Moment, Operation,
    Ttl, ZooKeeperBackend, ZooKeeperBackendBuilder,
};
use dlock_tests::{ZooKeeperEnsemble, ZooKeeperServer, fresh_key, shared_zookeeper, wait_until_async};
use operator::Operator;
use relay::{Relay, Trick};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, JoinSet};

/// Settings for sessions that end soon without heartbeats.
fn at(hosts: &str) -> ZooKeeperBackendBuilder {
    ZooKeeperBackend::builder()
        .hosts(hosts)
        .session_timeout(Duration::from_secs(2))
        .request_timeout(Duration::from_secs(1))
}

/// Settings that outlast any outage that a test makes.
fn patient(hosts: &str) -> ZooKeeperBackendBuilder {
    at(hosts).session_timeout(LIMIT * 2).request_timeout(LIMIT)
}

async fn backend() -> ZooKeeperBackend {
    at(&shared_zookeeper().hosts()).build().await.unwrap()
}

fn manager(backend: ZooKeeperBackend) -> LockManager {
    LockManager::builder(backend).build().unwrap()
}

/// A manager whose waiters do not stand behind each other here: each has a node of its own.
fn each_for_itself(backend: ZooKeeperBackend) -> LockManager {
    LockManager::builder(backend).hand_over(HandOver::OFF).build().unwrap()
}

fn claim(key: &str) -> Claim {
    Claim::new(LockKey::new(key).unwrap(), Ttl::default()).unwrap()
}

async fn grant(backend: &ZooKeeperBackend, claim: &Claim) -> Grant {
    backend.acquire(&AcquireRequest::new(claim.clone(), Mode::Try)).await.unwrap()
}

/// Releases as a manager does: until there is a final word.
async fn release(backend: &ZooKeeperBackend, claim: &Claim) -> Result<(), LockError> {
    let mut outcome = backend.release(claim).await;
    until("the release has an answer", async || {
        if matches!(&outcome, Err(error) if error.kind() == ErrorKind::Unavailable) {
            outcome = backend.release(claim).await;
            return false;
        }
        true
    })
    .await;
    outcome
}

/// An acquire that runs by itself.
struct Waiter {
    request: Arc<AcquireRequest>,
    task: JoinHandle<Result<Grant, LockError>>,
}

impl Waiter {
    fn start(backend: &ZooKeeperBackend, claim: &Claim) -> Self {
        let request = Arc::new(AcquireRequest::new(claim.clone(), Mode::Wait));
        let (asked, backend) = (Arc::clone(&request), backend.clone());
        Self { request, task: tokio::spawn(async move { backend.acquire(&asked).await }) }
    }

    async fn queued(backend: &ZooKeeperBackend, claim: &Claim) -> Self {
        let waiter = Self::start(backend, claim);
        until("the waiter is queued", async || waiter.request.progress.is_queued()).await;
        waiter
    }

    async fn grant(self) -> Grant {
        soon("the waiter is granted", self.task).await.unwrap().unwrap()
    }
}

/// Polls an acquire this often, whenever it wants to be, and drops it. False if it was done, or waits in the queue,
/// where it is not polled again.
async fn poll_and_drop(backend: &ZooKeeperBackend, request: AcquireRequest, polls: usize) -> bool {
    let request = Arc::new(request);
    let mut waiting = JoinSet::new();
    waiting.spawn(wait_in_queue(backend.clone(), Arc::clone(&request)));
    let mut acquire = std::pin::pin!(backend.acquire(&request));
    let mut left = polls;
    let polled = std::future::poll_fn(|context| {
        left -= 1;
        match acquire.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending if left == 0 => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    });
    tokio::select! {
        biased;
        was_pending = polled => was_pending,
        _ = waiting.join_next() => false,
    }
}

/// Returns when an acquire waits in the queue and all that it has sent is answered: answers come in the order of the
/// requests.
async fn wait_in_queue(backend: ZooKeeperBackend, request: Arc<AcquireRequest>) {
    while !request.progress.is_queued() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let probe = claim(&fresh_key("probe"));
    grant(&backend, &probe).await;
    backend.release(&probe).await.unwrap();
}

fn is_end_of_session(reason: LossReason) -> bool {
    matches!(reason, LossReason::Expired | LossReason::SessionExpired)
}

async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    wait_until_async(what, LIMIT, condition).await;
}

async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

const LIMIT: Duration = Duration::from_secs(30);
