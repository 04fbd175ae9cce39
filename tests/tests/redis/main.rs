//! The Redis backend against real servers: what it costs, what it survives, what it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

mod access;
mod acquire;
mod batches;
mod clock;
mod cluster;
mod cost;
mod credentials;
mod fencing;
mod forced;
mod foreign;
mod half_open;
mod inspection;
mod kinds;
mod labels;
mod late_requests;
mod namespaces;
mod older_builds;
mod outages;
mod quarantine;
mod queue;
mod recipes;
mod refusals;
mod release;
mod renewal;
mod replicas;
mod restricted;
mod runtimes;
mod scenarios;
mod sentinel;
mod start;
mod stopped_process;
mod timestamp;
mod unpolled;
mod urls;

use dlock_core::backend::{AcquireRequest, Backend, Claim, Grant, Mode};
use dlock_core::{
    ErrorKind, FencingToken, GuardState, HandOver, Label, LockError, LockGuard, LockKey, LockManager,
    LossReason, Moment, Operation, RedisBackend, Ttl,
};
use dlock_tests::{RedisServer, Relay, RespConnection, fresh_key, shared_redis, wait_until_async};
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

/// A manager whose waiters do not stand behind each other here: each is in the server's queue, or asks by itself.
fn each_for_itself(backend: impl Backend, ttl: Duration) -> LockManager {
    let builder = LockManager::builder(backend).ttl(ttl).wait(PATIENCE);
    builder.hand_over(HandOver::OFF).build().unwrap()
}

/// A client that subscribes by pattern, and so hears every message until it is dropped.
fn monitor(server: &RedisServer) -> RespConnection {
    let mut connection = server.connect();
    connection.send(&[["PSUBSCRIBE", "*"]]).unwrap();
    connection.receive().unwrap();
    connection
}

/// How often the server ran scripts so far.
fn script_calls(server: &RedisServer) -> u64 {
    calls(server, "evalsha") + calls(server, "eval")
}

/// How often a command was called so far, by clients and by scripts.
fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]);
    let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(['=', ',']).nth(1).unwrap().parse().unwrap())
}

/// All calls of commands so far, those that scripts make left out.
fn requests(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "stats"]);
    let line = stats.lines().find(|line| line.starts_with("total_commands_processed:")).unwrap();
    line.trim_end().split(':').nth(1).unwrap().parse().unwrap()
}

/// A relay in front of `server`, and a backend behind it that waits for an answer as long as `limit`.
async fn relayed(server: &RedisServer, limit: Duration) -> (Relay, RedisBackend) {
    let relay = Relay::to(server.address()).await.unwrap();
    let url = format!("redis://{}", relay.address());
    let backend = RedisBackend::builder().url(url).request_timeout(limit).build().await.unwrap();
    (relay, backend)
}

/// A waiter that was answered with "queued".
async fn queued(backend: RedisBackend, claim: Claim) -> tokio::task::JoinHandle<Grant> {
    let request = Arc::new(AcquireRequest::new(claim, Mode::Wait));
    let asked = Arc::clone(&request);
    let task = tokio::spawn(async move { backend.acquire(&asked).await.unwrap() });
    wait_until_async("the waiter is queued", PATIENCE, async || request.progress.is_queued()).await;
    task
}

/// What a waiter of [`queued`] is granted at last.
async fn granted(waiter: tokio::task::JoinHandle<Grant>) -> Grant {
    tokio::time::timeout(PATIENCE, waiter).await.expect("the waiter is granted").unwrap()
}

/// Asks once.
async fn tried(backend: &RedisBackend, claim: &Claim) -> Result<Grant, LockError> {
    backend.acquire(&AcquireRequest::new(claim.clone(), Mode::Try)).await
}

fn claim(key: &str) -> Claim {
    claim_for(key, LONG)
}

fn claim_for(key: &str, ttl: Duration) -> Claim {
    Claim::new(LockKey::new(key).unwrap(), Ttl::new(ttl).unwrap()).unwrap()
}

/// What stands at `key`: the owner that has the lock.
fn holder(server: &RedisServer, key: &str) -> String {
    let value = server.command(&["GET", key]);
    match value.rsplit_once('|') {
        Some((owner, _number)) if value.starts_with("dl2|") => format!("{owner}|"),
        _ => value,
    }
}

/// How many wait for `key`.
fn waiters(server: &RedisServer, key: &str) -> usize {
    server.command(&["ZCARD", &format!("dlock:w:p:{{{key}}}")]).parse().unwrap()
}

/// How much of its lease is left at the server, in ms; below zero if it has none.
fn left_ms(server: &RedisServer, key: &str) -> i64 {
    server.command(&["PTTL", key]).parse().unwrap()
}

/// How often the server answered with this error so far.
fn errors(server: &RedisServer, code: &str) -> u64 {
    let stats = server.command(&["INFO", "errorstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("errorstat_{code}:count=")));
    line.map_or(0, |count| count.trim_end().parse().unwrap())
}

async fn lost(guard: &LockGuard) -> LossReason {
    tokio::time::timeout(PATIENCE, guard.lost()).await.expect("the loss is signalled")
}
