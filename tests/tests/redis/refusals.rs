//! Servers that answer, and do not serve.

use super::*;
use dlock_core::backend::redis::Recipe;
use dlock_tests::{RedisKind, RespConnection};

/// The three requests of one acquisition, in their order.
#[derive(Debug, Clone, Copy)]
enum Step {
    Acquire,
    Renew,
    Release,
}

const STEPS: [Step; 3] = [Step::Acquire, Step::Renew, Step::Release];

async fn take(step: Step, backend: &RedisBackend, claim: &Claim) -> Result<(), LockError> {
    match step {
        Step::Acquire => tried(backend, claim).await.map(drop),
        Step::Renew => backend.renew(claim).await.map(drop),
        Step::Release => backend.release(claim).await,
    }
}

async fn patient(server: &RedisServer) -> RedisBackend {
    RedisBackend::builder().url(server.url()).request_timeout(PATIENCE).build().await.unwrap()
}

/// How often the server refused with `code` so far. Before Redis 7.0 it counts what happens inside a script as `ERR`.
fn refusals(server: &RedisServer, code: &str) -> u64 {
    let of_scripts = if server.kind().is_before_7() { errors(server, "ERR") } else { 0 };
    errors(server, code) + of_scripts
}

/// Each step is begun while the server refuses with `code`, and is done once the server serves again.
async fn every_step_outlasts(
    server: &RedisServer,
    code: &str,
    mut refuse: impl FnMut(),
    mut serve: impl FnMut(),
) {
    let (backend, mine) = (patient(server).await, claim("order:42"));
    for step in STEPS {
        let refused = refusals(server, code);
        refuse();
        let (asking, claim) = (backend.clone(), mine.clone());
        let task = tokio::spawn(async move { take(step, &asking, &claim).await });
        wait_until_async("it is refused", PATIENCE, async || refusals(server, code) > refused).await;
        assert!(!task.is_finished(), "{step:?} is asked for again");
        serve();
        let outcome = tokio::time::timeout(PATIENCE, task).await.expect("in time").unwrap();
        outcome.unwrap_or_else(|error| unreachable!("{step:?} after {code}: {error}"));
    }
    assert_eq!(holder(server, "order:42"), "(nil)");
}

/// Where no server listens.
const NOWHERE: [&str; 3] = ["REPLICAOF", "127.0.0.1", "1"];
const AGAIN: [&str; 3] = ["REPLICAOF", "NO", "ONE"];

/// B93.
#[tokio::test]
async fn every_step_outlasts_readonly() {
    let server = RedisServer::start();
    let (refuse, serve) = (|| drop(server.command(&NOWHERE)), || drop(server.command(&AGAIN)));
    every_step_outlasts(&server, "READONLY", refuse, serve).await;
}

/// B93.
#[tokio::test]
async fn every_step_outlasts_masterdown() {
    let server = RedisServer::builder().config("replica-serve-stale-data no").start();
    let (refuse, serve) = (|| drop(server.command(&NOWHERE)), || drop(server.command(&AGAIN)));
    every_step_outlasts(&server, "MASTERDOWN", refuse, serve).await;
}

/// B93, S13: the server loads its data, a key at a time and slowly, until it is told to be quick.
#[tokio::test]
async fn every_step_outlasts_loading() {
    let builder = RedisServer::builder().config("enable-debug-command yes");
    let server = builder.config("loading-process-events-interval-bytes 1024").start();
    for number in 0..2_000 {
        server.command(&["SET", &format!("ballast:{number}"), &"x".repeat(2_000)]);
    }
    let loading = std::cell::RefCell::new(server.connect());
    let refuse = || {
        // Ten seconds in all, of which a fraction passes.
        server.command(&["CONFIG", "SET", "key-load-delay", "5000"]);
        loading.borrow_mut().send(&[["DEBUG", "RELOAD"]]).unwrap();
        dlock_tests::wait_until("it loads", PATIENCE, || {
            server.command(&["INFO", "persistence"]).contains("loading:1")
        });
    };
    let serve = || {
        server.command(&["CONFIG", "SET", "key-load-delay", "0"]);
        assert_eq!(loading.borrow_mut().receive().unwrap(), "OK");
    };
    every_step_outlasts(&server, "LOADING", refuse, serve).await;
}

/// Runs a script without an end, and returns once the server answers BUSY to everything.
fn occupy(server: &RedisServer) -> RespConnection {
    let mut connection = server.connect();
    connection.send(&[["EVAL", "while true do end", "0"]]).unwrap();
    let is_busy = || server.try_command(&["PING"]).is_err_and(|error| error.to_string().starts_with("BUSY"));
    dlock_tests::wait_until("the server is busy", PATIENCE, is_busy);
    connection
}

/// B93, S14: another client's script runs for too long, until it is killed.
#[tokio::test]
async fn every_step_outlasts_busy() {
    let server = RedisServer::builder().config("lua-time-limit 1").start();
    let (relay, backend) = relayed(&server, PATIENCE).await;
    let mine = claim("order:42");
    for step in STEPS {
        let _occupied = occupy(&server);
        relay.hold_answers();
        let (asking, claim) = (backend.clone(), mine.clone());
        let task = tokio::spawn(async move { take(step, &asking, &claim).await });
        wait_until_async("it is answered", PATIENCE, async || relay.kept_answers() > 0).await;
        relay.let_go();
        server.command(&["SCRIPT", "KILL"]);
        let outcome = tokio::time::timeout(PATIENCE, task).await.expect("in time").unwrap();
        outcome.unwrap_or_else(|error| unreachable!("{step:?}: {error}"));
    }
}

/// B93: a server that is busy for longer than a request may take is unavailable, for each of the requests, and no
/// more than that.
#[tokio::test]
async fn a_server_that_stays_busy_is_unavailable() {
    let server = RedisServer::builder().config("lua-time-limit 1").start();
    let builder = RedisBackend::builder().url(server.url()).request_timeout(Duration::from_secs(1));
    let (backend, mine) = (builder.build().await.unwrap(), claim("order:42"));
    for step in STEPS {
        let _occupied = occupy(&server);
        let refused = take(step, &backend, &mine).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{step:?}: {refused}");
        server.command(&["SCRIPT", "KILL"]);
        take(step, &backend, &mine).await.unwrap();
    }
}

/// A server refuses writes: the acquire fails and says what to do, and a release is repeated in the background
/// until the server takes it. Meanwhile the guard is over, and the lock is not.
async fn a_release_outlasts(server: &RedisServer, advice: &str, refuse: impl Fn(), serve: impl Fn()) {
    let locks = manager(server).await;
    let guard = locks.lock("order:42").await.unwrap();
    let lease = guard.lease();
    refuse();
    let refused = locks.lock("order:43").try_acquire().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(refused.to_string().contains(advice), "{refused}");
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(!lease.is_valid());
    assert_ne!(holder(server, "order:42"), "(nil)", "a release is refused as well");
    serve();
    wait_until_async("it is released", PATIENCE, async || holder(server, "order:42") == "(nil)").await;
}

/// S16: the primary asks for a replica and has none.
#[tokio::test]
async fn a_primary_without_its_replicas_is_unavailable() {
    let server = RedisServer::start();
    let set = |number| drop(server.command(&["CONFIG", "SET", "min-replicas-to-write", number]));
    a_release_outlasts(&server, "min-replicas-to-write", || set("1"), || set("0")).await;
    assert!(errors(&server, "NOREPLICAS") > 1);
}

/// S16: before Redis 7.0 a primary demands replicas of writes, and not of those in scripts. The documentation says so.
#[tokio::test]
async fn an_old_primary_without_its_replicas_grants_locks_by_scripts() {
    let server = RedisServer::builder().kind(RedisKind::Redis62).config("min-replicas-to-write 1").start();
    let guard = manager(&server).await.lock("order:42").await.unwrap();
    guard.release().await.unwrap();
    let plain = RedisBackend::builder().url(server.url()).recipe(Recipe::Plain).build().await.unwrap();
    let refused = tried(&plain, &claim("order:42")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(refused.to_string().contains("min-replicas-to-write"), "{refused}");
}

/// S16: the server could not save its data.
#[tokio::test]
async fn a_server_that_cannot_save_is_unavailable() {
    let server = RedisServer::builder().config("save 3600 1000000").config("dbfilename taken").start();
    std::fs::create_dir(server.directory().join("taken")).unwrap();
    let refuse = || {
        server.command(&["BGSAVE"]);
        let failed = || server.command(&["INFO", "persistence"]).contains("rdb_last_bgsave_status:err");
        dlock_tests::wait_until("saving fails", PATIENCE, failed);
    };
    let serve = || drop(server.command(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]));
    a_release_outlasts(&server, "disk", refuse, serve).await;
    assert!(refusals(&server, "MISCONF") > 1);
}
