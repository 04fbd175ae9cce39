//! Requests that arrive after their caller gave up (I4, I5).

use super::*;

/// A relay in front of `server`, and a manager behind it that soon gives up on an answer.
async fn behind_a_relay(server: &RedisServer) -> (Relay, LockManager) {
    let (relay, backend) = relayed(server, Duration::from_secs(1)).await;
    (relay, over(backend, LONG))
}

/// B03, I4, I5: the request arrives when its owner has given up, and was released, over another connection.
#[tokio::test]
async fn a_request_that_comes_after_its_release_takes_no_lock() {
    let server = RedisServer::start();
    let (relay, locks) = behind_a_relay(&server).await;
    let scripts = script_calls(&server);
    relay.hold();
    assert_eq!(locks.lock("order:42").try_acquire().await.unwrap_err().kind(), ErrorKind::Unavailable);
    locks.shutdown().await.unwrap();
    assert_eq!(script_calls(&server) - scripts, 1, "the release has come, the request has not");
    relay.let_go();
    wait_until_async("the request has come", PATIENCE, async || script_calls(&server) - scripts == 2).await;
    assert_eq!(server.command(&["EXISTS", "order:42"]), "0");
}

/// B03: the same for a request that was repeated over a new connection, and answered there.
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

/// B03: the same for a try that was refused by the answer to its second copy: the first one comes to a free lock.
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

/// B03, I4: for a future that is dropped: its release follows it, over whatever connection.
#[tokio::test]
async fn a_request_that_comes_after_its_future_was_dropped_takes_no_lock() {
    let server = RedisServer::start();
    let (relay, locks) = behind_a_relay(&server).await;
    let scripts = script_calls(&server);
    relay.hold();
    let dropped = tokio::time::timeout(Duration::from_millis(50), locks.lock("order:42").acquire()).await;
    assert!(dropped.is_err(), "nothing arrives");
    locks.shutdown().await.unwrap();
    relay.let_go();
    wait_until_async("all requests have come", PATIENCE, async || script_calls(&server) - scripts >= 2).await;
    assert_eq!(server.command(&["EXISTS", "order:42"]), "0");
    assert_eq!(server.command(&["EXISTS", "dlock:w:p:{order:42}"]), "0");
}

/// B03: where the server has forgotten that the owner gave up, a late request takes the lock for one lease at most, and
/// no guard is made of it.
#[tokio::test]
async fn a_late_request_of_a_forgotten_owner_costs_one_lease() {
    let server = RedisServer::start();
    let (relay, locks) = behind_a_relay(&server).await;
    let (scripts, ttl) = (script_calls(&server), Duration::from_secs(60));
    relay.hold();
    let request = locks.lock("order:42").ttl(ttl).try_acquire();
    assert_eq!(request.await.unwrap_err().kind(), ErrorKind::Unavailable);
    locks.shutdown().await.unwrap();
    assert_eq!(server.command(&["DEL", "dlock:n:p:{order:42}"]), "1", "the server had been told");
    relay.let_go();
    wait_until_async("the request has come", PATIENCE, async || script_calls(&server) - scripts == 2).await;
    assert!((1..=60_000).contains(&left_ms(&server, "order:42")), "{}", left_ms(&server, "order:42"));
    let other = manager(&server).await;
    assert!(other.lock("order:42").try_acquire().await.unwrap().is_none());
    server.command(&["PEXPIRE", "order:42", "1"]);
    assert!(other.lock("order:42").await.unwrap().is_valid());
}
