//! The Redis backend against real servers: what it costs, what it survives, what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

use dlock_core::backend::{AcquireRequest, Backend, Claim, Mode};
use dlock_core::{ErrorKind, LockGuard, LockKey, LockManager, LossReason, RedisBackend, Ttl};
use dlock_tests::{RedisServer, Relay, fresh_key, shared_redis, wait_until_async};
use std::sync::Arc;
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

#[tokio::test]
async fn a_free_lock_costs_one_command_and_its_release_another() {
    let server = RedisServer::start();
    let locks = manager(&server).await;
    locks.lock("warm").await.unwrap().release().await.unwrap();
    let (scripts, before) = (script_calls(&server), requests(&server));
    for _ in 0..10 {
        locks.lock("order:42").await.unwrap().release().await.unwrap();
    }
    assert_eq!(script_calls(&server) - scripts, 20, "one script each way");
    assert!(requests(&server) - before >= 20, "the server counts them as well");
}

#[tokio::test]
async fn a_waiter_is_told_and_does_not_poll() {
    let server = RedisServer::start();
    let (one, other) = (backend(&server).await, backend(&server).await);
    let holder = claim("order:42");
    one.acquire(&AcquireRequest::new(holder.clone(), Mode::Try)).await.unwrap();
    let before = script_calls(&server);
    let waiter = queued(other, claim("order:42")).await;
    one.release(&holder).await.unwrap();
    waiter.await.unwrap();
    assert_eq!(script_calls(&server) - before, 2, "one to queue and one to release; the push is the grant");
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_taught_them_again() {
    let server = RedisServer::start();
    let locks = manager(&server).await;
    server.command(&["SCRIPT", "FLUSH"]);
    let guard = locks.lock("order:42").await.unwrap();
    server.command(&["SCRIPT", "FLUSH"]);
    guard.release().await.unwrap();
    assert_eq!(server.command(&["EXISTS", "order:42"]), "0");
}

#[tokio::test]
async fn a_killed_connection_is_made_anew_for_holders_and_waiters() {
    let server = RedisServer::start();
    let (holding, waiting) = (brief_manager(&server).await, brief_manager(&server).await);
    let guard = holding.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(waiting.lock("order:42").acquire());
    wait_until_async("somebody waits", PATIENCE, async || {
        server.command(&["ZCARD", "dlock:q:p:{order:42}"]) == "1"
    })
    .await;
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let first_deadline = guard.remaining();
    dlock_core::sleep_until(dlock_core::Moment::now().after(first_deadline)).await;
    assert!(guard.is_valid(), "renewed over the new connection");
    let token = guard.token();
    guard.release().await.unwrap();
    assert!(waiter.await.unwrap().unwrap().token() > token);
}

#[tokio::test]
async fn a_restart_that_forgets_everything_loses_the_lock_and_keeps_the_token_order() {
    let mut server = RedisServer::start();
    let locks = brief_manager(&server).await;
    let guard = locks.lock("order:42").await.unwrap();
    server.restart();
    assert_eq!(lost(&guard).await, LossReason::NotOwner);
    let next = locks.lock("order:42").await.unwrap();
    assert!(next.token() > guard.token(), "{} after {}", next.token(), guard.token());
}

#[tokio::test]
async fn a_flushed_server_loses_the_lock_and_keeps_the_token_order() {
    let server = RedisServer::start();
    let locks = brief_manager(&server).await;
    let guard = locks.lock("order:42").await.unwrap();
    server.command(&["FLUSHALL"]);
    let next = manager(&server).await.lock("order:42").await.unwrap();
    assert!(next.token() > guard.token());
    assert_eq!(lost(&guard).await, LossReason::NotOwner);
}

#[tokio::test]
async fn a_lock_survives_a_restart_with_an_append_only_file() {
    let mut server = RedisServer::builder().config("appendonly yes").config("appendfsync always").start();
    let locks = manager(&server).await;
    let guard = locks.lock("order:42").await.unwrap();
    server.restart();
    assert!(locks.lock("order:42").try_acquire().await.unwrap().is_none());
    assert!(guard.is_valid());
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_silent_server_costs_the_lock_at_its_deadline_and_nothing_afterwards() {
    let mut server = RedisServer::start();
    let locks = brief_manager(&server).await;
    let guard = locks.lock("order:42").await.unwrap();
    server.pause();
    assert_eq!(lost(&guard).await, LossReason::Expired);
    server.resume();
    let next = locks.lock("order:42").await.unwrap();
    assert!(next.token() >= guard.token());
    assert!(!guard.is_valid(), "lost is lost");
}

#[tokio::test]
async fn requests_to_a_silent_server_end_in_time_and_are_undone() {
    let mut server = RedisServer::start();
    let patient = RedisBackend::builder().url(server.url()).request_timeout(Duration::from_millis(200));
    let locks = over(patient.build().await.unwrap(), LONG);
    server.pause();
    assert_eq!(locks.lock("tried").try_acquire().await.unwrap_err().kind(), ErrorKind::Unavailable);
    let waited = locks.lock("waited").wait(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(waited.kind(), ErrorKind::Unavailable, "{waited}");
    server.resume();
    for key in ["tried", "waited"] {
        let guard = manager(&server).await.lock(key).await.unwrap();
        guard.release().await.unwrap();
    }
}

/// A relay in front of `server`, and a manager behind it that soon gives up on an answer.
async fn behind_a_relay(server: &RedisServer) -> (Relay, LockManager) {
    let relay = Relay::to(server.address()).await.unwrap();
    let url = format!("redis://{}", relay.address());
    let backend = RedisBackend::builder().url(url).request_timeout(Duration::from_millis(200));
    (relay, over(backend.build().await.unwrap(), LONG))
}

/// I4, I5: the request arrives when its owner has given up, and was released, over another connection.
#[tokio::test]
async fn a_request_that_comes_after_its_release_takes_no_lock() {
    let server = RedisServer::start();
    let (relay, locks) = behind_a_relay(&server).await;
    let scripts = script_calls(&server);
    relay.hold();
    assert_eq!(locks.lock("order:42").try_acquire().await.unwrap_err().kind(), ErrorKind::Unavailable);
    locks.shutdown().await;
    assert_eq!(script_calls(&server) - scripts, 1, "the release has come, the request has not");
    relay.let_go();
    wait_until_async("the request has come", PATIENCE, async || script_calls(&server) - scripts == 2).await;
    assert_eq!(server.command(&["EXISTS", "order:42"]), "0");
}

/// The same for a request that was repeated over a new connection, and answered there.
#[tokio::test]
async fn a_request_that_was_repeated_takes_no_lock_when_it_comes_at_last() {
    let server = RedisServer::start();
    let (relay, locks) = behind_a_relay(&server).await;
    let scripts = script_calls(&server);
    relay.hold();
    let acquire = tokio::spawn(locks.lock("order:42").acquire());
    wait_until_async("the request is at the relay", PATIENCE, async || relay.kept() > 0).await;
    relay.cut();
    acquire.await.unwrap().unwrap().release().await.unwrap();
    assert_eq!(script_calls(&server) - scripts, 2, "repeated, and released");
    relay.let_go();
    wait_until_async("the request has come", PATIENCE, async || script_calls(&server) - scripts == 3).await;
    assert_eq!(server.command(&["EXISTS", "order:42"]), "0");
}

/// The same for a try that was refused by the answer to its second copy: the first one comes to a free lock.
#[tokio::test]
async fn a_refused_try_that_was_repeated_takes_no_lock_when_it_comes_at_last() {
    let server = RedisServer::start();
    let (relay, locks) = behind_a_relay(&server).await;
    let guard = manager(&server).await.lock("order:42").await.unwrap();
    let scripts = script_calls(&server);
    relay.hold();
    let attempt = tokio::spawn(locks.lock("order:42").try_acquire());
    wait_until_async("the request is at the relay", PATIENCE, async || relay.kept() > 0).await;
    relay.cut();
    assert!(attempt.await.unwrap().unwrap().is_none(), "refused");
    guard.release().await.unwrap();
    assert_eq!(script_calls(&server) - scripts, 3, "the second copy, its undoing, the holder's release");
    relay.let_go();
    wait_until_async("the request has come", PATIENCE, async || script_calls(&server) - scripts == 4).await;
    assert_eq!(server.command(&["EXISTS", "order:42"]), "0");
}

/// I4 for a future that is dropped: its release follows it, over whatever connection.
#[tokio::test]
async fn a_request_that_comes_after_its_future_was_dropped_takes_no_lock() {
    let server = RedisServer::start();
    let (relay, locks) = behind_a_relay(&server).await;
    let scripts = script_calls(&server);
    relay.hold();
    let dropped = tokio::time::timeout(Duration::from_millis(50), locks.lock("order:42").acquire()).await;
    assert!(dropped.is_err(), "nothing arrives");
    locks.shutdown().await;
    relay.let_go();
    wait_until_async("all requests have come", PATIENCE, async || script_calls(&server) - scripts >= 2).await;
    assert_eq!(server.command(&["EXISTS", "order:42"]), "0");
    assert_eq!(server.command(&["EXISTS", "dlock:q:p:{order:42}"]), "0");
}

/// A push that is older than the last answer tells of a grant that is long over.
#[tokio::test]
async fn an_old_push_is_not_believed() {
    let server = RedisServer::start();
    let (one, other) = (backend(&server).await, backend(&server).await);
    let (holder, claim) = (claim("order:42"), claim("order:42"));
    let held = one.acquire(&AcquireRequest::new(holder.clone(), Mode::Try)).await.unwrap();
    let waiter = queued(other.clone(), claim.clone()).await;
    let owner = server.command(&["ZRANGE", "dlock:q:p:{order:42}", "0", "0"]);
    let inbox = format!("dlock:i:{}", owner.split('|').nth(1).unwrap());
    let before = script_calls(&server);
    for token in [0, 1, held.token.as_u64()] {
        assert_eq!(server.command(&["PUBLISH", &inbox, &format!("{owner}|{token}")]), "1");
    }
    wait_until_async("the waiter asks instead", PATIENCE, async || script_calls(&server) > before).await;
    assert!(!waiter.is_finished(), "the lock is another's");
    one.release(&holder).await.unwrap();
    tokio::time::timeout(PATIENCE, waiter).await.unwrap().unwrap();
    other.release(&claim).await.unwrap();
}

#[tokio::test]
async fn requests_to_a_server_that_is_away_end_in_time() {
    let mut server = RedisServer::start();
    let locks = manager(&server).await;
    server.kill();
    assert_eq!(locks.lock("tried").try_acquire().await.unwrap_err().kind(), ErrorKind::Unavailable);
    let waited = locks.lock("waited").wait(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(waited.kind(), ErrorKind::Unavailable, "{waited}");
    let refused = RedisBackend::builder().url(server.url()).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    server.restart();
    assert!(locks.lock("waited").await.unwrap().is_valid(), "and comes back by itself");
}

#[tokio::test]
async fn a_waiter_whose_process_died_is_passed_over() {
    let server = RedisServer::start();
    let (holding, dying, living) = (backend(&server).await, backend(&server).await, backend(&server).await);
    let holder = claim("order:42");
    holding.acquire(&AcquireRequest::new(holder.clone(), Mode::Try)).await.unwrap();
    let dead = queued(dying, claim("order:42")).await;
    let alive = queued(living, claim("order:42")).await;
    dead.abort();
    assert!(dead.await.unwrap_err().is_cancelled());
    wait_until_async("the server has noticed", PATIENCE, async || {
        server.command(&["PUBSUB", "CHANNELS", "dlock:i:*"]).lines().count() == 2
    })
    .await;
    holding.release(&holder).await.unwrap();
    tokio::time::timeout(PATIENCE, alive).await.expect("the living waiter is granted").unwrap();
}

#[tokio::test]
async fn a_lock_deleted_by_hand_is_lost_and_goes_to_the_next_waiter() {
    let server = RedisServer::start();
    let (one, other) = (brief_manager(&server).await, brief_manager(&server).await);
    let guard = one.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(other.lock("order:42").acquire());
    server.command(&["DEL", "order:42"]);
    assert_eq!(lost(&guard).await, LossReason::NotOwner);
    assert!(waiter.await.unwrap().unwrap().token() > guard.token());
}

#[tokio::test]
async fn a_foreign_lock_on_the_same_key_excludes_us_and_we_exclude_it() {
    let server = shared_redis();
    let locks = manager(server).await;
    let key = fresh_key("foreign");
    server.command(&["SET", &key, "another library's token", "NX"]);
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none(), "a key without expiry is not stolen");
    let waiter = tokio::spawn(locks.lock(&key).acquire());
    server.command(&["DEL", &key]);
    let guard = waiter.await.unwrap().unwrap();
    assert_eq!(server.command(&["SET", &key, "another library's token", "NX", "PX", "1000"]), "(nil)");
    guard.release().await.unwrap();
    assert_eq!(server.command(&["SET", &key, "another library's token", "NX", "PX", "1000"]), "OK");
}

#[tokio::test]
async fn keys_of_another_kind_are_refused_and_left_alone() {
    let server = shared_redis();
    let locks = manager(server).await;
    let key = fresh_key("hash");
    server.command(&["HSET", &key, "field", "1"]);
    let refused = locks.lock(&key).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
    assert_eq!(locks.lock(&key).try_acquire().await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(server.command(&["HGET", &key, "field"]), "1");
}

#[tokio::test]
async fn a_fence_that_holds_no_token_is_refused_before_anything_is_written() {
    let server = shared_redis();
    let locks = manager(server).await;
    for (number, garbage) in ["abc", "-1", "1e3", "", "9223372036854775807"].into_iter().enumerate() {
        let key = fresh_key(&format!("fence {number}"));
        let fence = format!("dlock:f:p:{{{key}}}");
        server.command(&["SET", &fence, garbage]);
        let refused = locks.lock(&key).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{garbage:?}: {refused}");
        assert_eq!(server.command(&["EXISTS", &key]), "0");
        assert_eq!(server.command(&["GET", &fence]), garbage);
    }
}

#[tokio::test]
async fn a_full_server_still_releases_and_hands_off() {
    let server = RedisServer::start();
    let (one, other) = (manager(&server).await, manager(&server).await);
    let guard = one.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(other.lock("order:42").acquire());
    wait_until_async("somebody waits", PATIENCE, async || {
        server.command(&["ZCARD", "dlock:q:p:{order:42}"]) == "1"
    })
    .await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let full = one.lock("another").try_acquire().await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Unavailable, "{full}");
    guard.release().await.unwrap();
    assert!(
        waiter.await.unwrap().unwrap().is_valid(),
        "and hands off: a script's first write was let through"
    );
}

#[tokio::test]
async fn databases_are_apart() {
    let server = RedisServer::start();
    let one = manager(&server).await;
    let other = RedisBackend::builder().url(format!("{}/1", server.url())).build().await.unwrap();
    let other = over(other, LONG);
    let _guard = one.lock("order:42").await.unwrap();
    assert!(other.lock("order:42").try_acquire().await.unwrap().is_some());
    assert_eq!(server.command(&["EXISTS", "order:42"]), "1");
}

/// What the documentation names as enough.
const LEAST_RIGHTS: &str = "user dlock on >marker-secret resetkeys resetchannels ~order:* ~dlock:* &dlock:i:* -@all \
    +evalsha +eval +script|load +get +set +del +exists +pttl +pexpire +zadd +zrem +zrange +zrank +zscore \
    +zremrangebyscore +time +publish +subscribe +hello +auth +select +ping";

#[tokio::test]
async fn the_least_rights_are_enough_and_one_less_is_named() {
    let admin = "user default on nopass ~* &* +@all";
    let server = RedisServer::builder().config(LEAST_RIGHTS).config(admin).start();
    let url = server.url().replace("redis://", "redis://dlock:marker-secret@");
    let locks = over(RedisBackend::builder().url(&url).build().await.unwrap(), LONG);
    let guard = locks.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(locks.lock("order:42").acquire());
    wait_until_async("somebody waits", PATIENCE, async || {
        server.command(&["ZCARD", "dlock:q:p:{order:42}"]) == "1"
    })
    .await;
    guard.release().await.unwrap();
    waiter.await.unwrap().unwrap().release().await.unwrap();

    server.command(&["ACL", "SETUSER", "dlock", "-evalsha"]);
    let refused = locks.lock("order:42").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    server.command(&["ACL", "SETUSER", "dlock", "+evalsha", "resetchannels"]);
    let refused = RedisBackend::builder().url(&url).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
}

#[tokio::test]
async fn passwords_are_checked_and_never_shown() {
    let server = RedisServer::builder().password("marker-secret").start();
    let url = |password: &str| server.url().replace("redis://", &format!("redis://:{password}@"));
    let builder = RedisBackend::builder().url(url("marker-secret"));
    let mut shown = format!("{builder:?}");
    let backend = builder.build().await.unwrap();
    let locks = over(backend.clone(), LONG);
    let guard = locks.lock("order:42").await.unwrap();
    shown += &format!("{backend:?} {locks:?} {guard:?} {:?}", locks.lock("order:42"));
    let wrong = ["", ":marker-secret-too@", "marker-secret@", "dlock:marker-secret@"];
    for login in wrong {
        let url = server.url().replace("redis://", &format!("redis://{login}"));
        let refused = RedisBackend::builder().url(url).build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
        shown += &format!("{refused} {refused:?}");
    }
    for url in [
        "redis://:marker-secret@[",
        "redis://:marker-secret@host:port",
        "redis://:marker-secret@h/x",
        "marker-secret",
    ] {
        let refused = RedisBackend::builder().url(url).build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
        shown += &format!("{refused} {refused:?}");
    }
    assert!(!shown.contains("marker-secret"), "{shown}");
}

#[test]
fn one_backend_works_in_two_runtimes_one_after_the_other() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = shared_redis();
    let key = fresh_key("two runtimes");
    let first = runtime();
    let locks = first.block_on(brief_manager(server));
    let kept = first.block_on(async { locks.lock(fresh_key("kept")).await.unwrap() });
    let token = first.block_on(async { locks.lock(&key).await.unwrap().token() });
    drop(first);
    runtime().block_on(async {
        let guard = locks.lock(&key).await.unwrap();
        assert!(guard.token() > token);
        dlock_core::sleep_until(dlock_core::Moment::now().after(guard.remaining())).await;
        assert!(guard.is_valid(), "renewed by the second runtime");
        drop(kept);
        guard.release().await.unwrap();
    });
}
