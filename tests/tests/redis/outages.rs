//! Servers that are away, silent, full, or have forgotten.

use super::*;

/// B12, S8.
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

/// B22, S9.
#[tokio::test]
async fn a_killed_connection_is_replaced_for_holders_and_waiters() {
    let server = RedisServer::start();
    let (holding, waiting) = (brief_manager(&server).await, brief_manager(&server).await);
    let guard = holding.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(waiting.lock("order:42").acquire());
    wait_until_async("somebody waits", PATIENCE, async || {
        server.command(&["ZCARD", "dlock:w:p:{order:42}"]) == "1"
    })
    .await;
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let first_deadline = guard.remaining();
    dlock_core::sleep_until(Moment::now().after(first_deadline)).await;
    assert!(guard.is_valid(), "renewed over the new connection");
    let token = guard.token();
    guard.release().await.unwrap();
    assert!(waiter.await.unwrap().unwrap().token() > token);
}

/// B80, S1.
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

/// B80, S18.
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

/// S2.
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

/// B40.
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
    let patient = RedisBackend::builder().url(server.url()).request_timeout(Duration::from_secs(1));
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

#[tokio::test]
async fn requests_to_a_server_that_is_away_end_in_time() {
    let mut server = RedisServer::start();
    let locks = manager(&server).await;
    server.kill();
    assert_eq!(locks.lock("tried").try_acquire().await.unwrap_err().kind(), ErrorKind::Unavailable);
    let waited = locks.lock("waited").wait(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(waited.kind(), ErrorKind::Unavailable, "{waited}");
    let builder = RedisBackend::builder().url(server.url()).connect_within(Duration::ZERO);
    let refused = builder.build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    server.restart();
    assert!(locks.lock("waited").await.unwrap().is_valid(), "and comes back by itself");
}

/// B34, S10: acquiring is refused with the reason; renewing, releasing and handing off go on.
#[tokio::test]
async fn a_full_server_still_renews_releases_and_hands_off() {
    let server = RedisServer::start();
    let (one, other) = (brief_manager(&server).await, manager(&server).await);
    let guard = one.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(other.lock("order:42").acquire());
    wait_until_async("somebody waits", PATIENCE, async || {
        server.command(&["ZCARD", "dlock:w:p:{order:42}"]) == "1"
    })
    .await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let full = one.lock("another").try_acquire().await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Unavailable, "{full}");
    dlock_core::sleep_until(Moment::now().after(guard.remaining())).await;
    assert!(guard.is_valid(), "renewed");
    guard.release().await.unwrap();
    assert!(
        waiter.await.unwrap().unwrap().is_valid(),
        "and hands off: a script's first write was let through"
    );
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
        dlock_core::sleep_until(Moment::now().after(guard.remaining())).await;
        assert!(guard.is_valid(), "renewed by the second runtime");
        drop(kept);
        guard.release().await.unwrap();
    });
}

#[tokio::test]
async fn a_guard_is_suspect_while_the_server_stands_still_and_held_again_after() {
    let mut server = RedisServer::start();
    let backend = RedisBackend::builder().url(server.url()).request_timeout(Duration::from_millis(300));
    let locks =
        LockManager::builder(backend.build().await.unwrap()).ttl(Duration::from_secs(6)).build().unwrap();
    let guard = locks.lock("order:42").await.unwrap();
    server.pause();
    let soon = async |seen| tokio::time::timeout(PATIENCE, guard.state_changed(seen)).await.unwrap();
    assert_eq!(soon(GuardState::Held).await, GuardState::Suspect);
    assert!(guard.is_valid());
    server.resume();
    assert_eq!(soon(GuardState::Suspect).await, GuardState::Held);
    guard.release().await.unwrap();
}

/// What the backend remembers of its owners, by the numbers that it shows.
fn remembered(backend: &RedisBackend) -> Vec<usize> {
    let shown = format!("{backend:?}");
    let numbers = shown.split([',', ' ']).filter_map(|word| word.parse().ok());
    numbers.collect()
}

/// Many tries while the server is away: those that were never sent are not remembered, and no release of them goes to
/// the server when it is back. The few that met the dying connection are forgotten once they are released.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_many_tries_leaves_nothing_behind() {
    const TASKS: usize = 50;
    let mut server = RedisServer::start();
    let backend = backend(&server).await;
    let (locks, before) = (over(backend.clone(), LONG), remembered(&backend));
    server.kill();
    let mut tries = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let locks = locks.clone();
        tries.spawn(async move {
            for number in 0..20_000 / TASKS {
                let key = format!("order:{task}:{number}");
                let refused = locks.lock(key).try_acquire().await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
            }
        });
    }
    tries.join_all().await;
    let sent = remembered(&backend).into_iter().max().unwrap();
    assert!(sent <= TASKS, "{sent} are remembered");
    server.restart();
    let forgotten = async || remembered(&backend) == before;
    wait_until_async("all are forgotten", PATIENCE, forgotten).await;
    locks.shutdown().await.unwrap();
    let calls = usize::try_from(script_calls(&server)).unwrap();
    assert!(calls <= 2 * TASKS, "{calls} releases");
}

/// Requests that a silent server never answered are remembered until it has heard that their owners left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_server_never_answered_is_forgotten_with_its_release() {
    let mut server = RedisServer::start();
    let patient = RedisBackend::builder().url(server.url()).request_timeout(Duration::from_millis(300));
    let backend = patient.build().await.unwrap();
    let (locks, before) = (over(backend.clone(), LONG), remembered(&backend));
    server.pause();
    let tries: tokio::task::JoinSet<_> =
        (0..100).map(|number| locks.lock(format!("order:{number}")).try_acquire()).collect();
    for refused in tries.join_all().await {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert_ne!(remembered(&backend), before, "some were sent");
    server.resume();
    let forgotten = async || remembered(&backend) == before;
    wait_until_async("all are forgotten", PATIENCE, forgotten).await;
    assert_eq!(server.command(&["KEYS", "order:*"]), "");
}
