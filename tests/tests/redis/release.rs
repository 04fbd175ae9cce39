//! Releasing: locks that are lost already, futures that are dropped, answers that are lost.

use super::*;

/// B60: the release of a lock that is lost says so by one request, and tries no more.
#[tokio::test]
async fn releasing_a_lost_lock_takes_one_request() {
    let server = RedisServer::start();
    let locks = brief_manager(&server).await;
    let guard = locks.lock("order:42").await.unwrap();
    server.command(&["SET", "order:42", "another's"]);
    assert_eq!(lost(&guard).await, LossReason::NotOwner);
    let scripts = script_calls(&server);
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
    locks.shutdown().await.unwrap();
    assert_eq!(script_calls(&server) - scripts, 1, "nothing is left to be done in the background");
    assert_eq!(holder(&server, "order:42"), "another's");
}

/// B60: with a server that does not answer, the release of a lost lock ends as well, and says that it was lost.
#[tokio::test]
async fn releasing_a_lost_lock_does_not_wait_for_a_silent_server() {
    let mut server = RedisServer::start();
    let limit = Duration::from_secs(1);
    let builder = RedisBackend::builder().url(server.url()).request_timeout(limit).connect_timeout(limit);
    let locks = over(builder.build().await.unwrap(), BRIEF);
    let guard = locks.lock("order:42").await.unwrap();
    server.pause();
    assert_eq!(lost(&guard).await, LossReason::Expired);
    let released = tokio::time::timeout(PATIENCE, guard.release()).await.expect("it ends");
    assert_eq!(released.unwrap_err().kind(), ErrorKind::Lost);
}

/// B61: a release whose future is dropped half-way goes on in the background; its lease is over from the first
/// moment on.
#[tokio::test]
async fn a_release_dropped_half_way_goes_on() {
    let server = RedisServer::start();
    let (relay, backend) = relayed(&server, PATIENCE).await;
    let locks = over(backend, LONG);
    let guard = locks.lock("order:42").await.unwrap();
    let lease = guard.lease();
    relay.hold();
    let release = tokio::spawn(guard.release());
    wait_until_async("the request has left", PATIENCE, async || relay.kept() > 0).await;
    release.abort();
    assert!(release.await.unwrap_err().is_cancelled());
    assert_eq!((lease.is_valid(), lease.lost().await), (false, LossReason::Released));
    relay.let_go();
    locks.shutdown().await.unwrap();
    assert_eq!(holder(&server, "order:42"), "(nil)");
}

/// B61: the same when the first copy is lost on the way: what goes on in the background releases it.
#[tokio::test]
async fn a_release_dropped_half_way_does_not_need_its_first_request() {
    let server = RedisServer::start();
    let (relay, backend) = relayed(&server, Duration::from_millis(400)).await;
    let locks = over(backend, LONG);
    let guard = locks.lock("order:42").await.unwrap();
    relay.hold();
    let release = tokio::spawn(guard.release());
    wait_until_async("the request has left", PATIENCE, async || relay.kept() > 0).await;
    release.abort();
    let is_free = || holder(&server, "order:42") == "(nil)";
    wait_until_async("it is free all the same", PATIENCE, async || is_free()).await;
    assert!(relay.kept() > 0, "the first request has not come");
}

/// B62: the answer of a release is lost in time-out: that is unknown, not done. It is repeated in the background. The
/// answer to that, "not the owner", is dropped, and the lock is free.
#[tokio::test]
async fn a_release_whose_answer_does_not_come_is_unknown_and_repeated() {
    let server = RedisServer::start();
    let (relay, backend) = relayed(&server, Duration::from_millis(400)).await;
    let locks = over(backend, LONG);
    let guard = locks.lock("order:42").await.unwrap();
    let scripts = script_calls(&server);
    relay.hold_answers();
    let unknown = guard.release().await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Unavailable, "{unknown}");
    locks.shutdown().await.unwrap();
    assert_eq!(script_calls(&server) - scripts, 2, "repeated once, and believed");
    assert_eq!(holder(&server, "order:42"), "(nil)");
}

/// B62: the answer of a release is lost with its connection. The repeated request finds another owner, or none,
/// and that is what a release leaves: no error, and surely not that the lock was lost while it was held.
#[tokio::test]
async fn a_release_whose_answer_was_lost_is_not_reported_as_a_lost_lock() {
    let server = RedisServer::start();
    let (relay, backend) = relayed(&server, PATIENCE).await;
    let locks = over(backend, LONG);
    let guard = locks.lock("order:42").await.unwrap();
    relay.hold_answers();
    let release = tokio::spawn(guard.release());
    wait_until_async("the answer is on its way", PATIENCE, async || relay.kept_answers() > 0).await;
    assert_eq!(holder(&server, "order:42"), "(nil)", "released");
    relay.cut();
    release.await.unwrap().unwrap();
}
