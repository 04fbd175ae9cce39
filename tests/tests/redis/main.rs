//! The Redis backend against real servers: what it costs, what it survives, what it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

mod access;
mod cluster;
mod cost;
mod foreign;
mod history;
mod late;
mod outages;
mod quarantine;
mod queue;
mod recipes;
mod replicas;
mod sentinel;
mod timestamp;

use dlock_core::backend::{AcquireRequest, Backend, Claim, Mode};
use dlock_core::{
    ErrorKind, FencingToken, LockGuard, LockKey, LockManager, LossReason, Moment, RedisBackend, Ttl,
};
use dlock_tests::{RedisServer, Relay, fresh_key, shared_redis, wait_until_async};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60 * 60);
const BRIEF: Duration = Duration::from_millis(600);
const PATIENCE: Duration = Duration::from_secs(30);

async fn backend(server: &RedisServer) -> RedisBackend {
    RedisBackend::builder().url(server.url()).build().await.unwrap()
}

/// A manager whose leases end only by release.
async fn manager(server: &RedisServer) -> LockManager {
    over(backend(server).await, LONG)
}

/// A manager whose leases end soon if they are not renewed.
async fn brief_manager(server: &RedisServer) -> LockManager {
    over(backend(server).await, BRIEF)
}

fn over(backend: impl Backend, ttl: Duration) -> LockManager {
    LockManager::builder(backend).ttl(ttl).wait(PATIENCE).build().unwrap()
}

/// How often the server ran scripts so far.
fn script_calls(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]);
    let calls = |name: &str| {
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:calls=")));
        line.map_or(0, |line| line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap())
    };
    calls("evalsha") + calls("eval")
}

/// All calls of commands so far, those that scripts make left out.
fn requests(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "stats"]);
    let line = stats.lines().find(|line| line.starts_with("total_commands_processed:")).unwrap();
    line.trim_end().split(':').nth(1).unwrap().parse().unwrap()
}

async fn queued(backend: RedisBackend, claim: Claim) -> tokio::task::JoinHandle<()> {
    let request = Arc::new(AcquireRequest::new(claim, Mode::Wait));
    let asked = Arc::clone(&request);
    let task = tokio::spawn(async move {
        backend.acquire(&asked).await.unwrap();
    });
    wait_until_async("the waiter is queued", PATIENCE, async || request.progress.is_queued()).await;
    task
}

fn claim(key: &str) -> Claim {
    Claim::new(LockKey::new(key).unwrap(), Ttl::new(LONG).unwrap()).unwrap()
}

async fn lost(guard: &LockGuard) -> LossReason {
    tokio::time::timeout(PATIENCE, guard.lost()).await.expect("the loss is signalled")
}
