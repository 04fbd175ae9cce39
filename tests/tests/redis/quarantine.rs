//! Servers that may have forgotten locks grant none for a while.

use super::*;

const QUARANTINE: Duration = Duration::from_millis(700);

async fn quarantined(server: &RedisServer) -> LockManager {
    let builder = RedisBackend::builder().url(server.url()).quarantine(QUARANTINE);
    each_for_itself(builder.build().await.unwrap(), BRIEF)
}

/// B90: a restart that forgets a lock cannot make two guards valid: the next grant comes when the forgotten
/// lease is over. Without the quarantine it comes before that, which is the control.
#[tokio::test]
async fn a_restart_that_forgets_makes_no_second_holder() {
    let mut server = RedisServer::start();
    let whole = Duration::from_secs(2);
    let builder = RedisBackend::builder().url(server.url()).quarantine(whole);
    let careful = || async { builder.clone().build().await.unwrap() };
    let mut held = claim("order:42");
    held.ttl = Ttl::new(whole).unwrap();
    let asks = |mode| AcquireRequest::new(Claim::new(held.key.clone(), held.ttl).unwrap(), mode);
    let first = careful().await.acquire(&AcquireRequest::new(held.clone(), Mode::Wait)).await.unwrap();
    server.restart();
    let refused = careful().await.acquire(&asks(Mode::Try)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    let unaware = backend(&server).await;
    let second = unaware.acquire(&asks(Mode::Try)).await.unwrap();
    assert!(
        Moment::now() < first.valid_until.min(second.valid_until),
        "without the quarantine there are two"
    );
    server.command(&["DEL", "order:42"]);
    let next = careful().await.acquire(&asks(Mode::Wait)).await.unwrap();
    assert!(Moment::now() > first.valid_until, "the forgotten lease is over");
    assert!(next.token > second.token && second.token > first.token);
}

/// A server is quarantined once, and not again by another process or another key.
#[tokio::test]
async fn a_server_is_quarantined_once() {
    let server = RedisServer::start();
    quarantined(&server).await.lock("order:1").await.unwrap().release().await.unwrap();
    let locks = quarantined(&server).await;
    assert!(locks.lock("order:2").try_acquire().await.unwrap().is_some());
}

/// Data that survived does not end the quarantine, nor does it take the lock from its holder.
#[tokio::test]
async fn a_restart_that_remembers_is_quarantined_too_and_its_holder_goes_on() {
    let mut server = RedisServer::builder().config("appendonly yes").config("appendfsync always").start();
    let locks = quarantined(&server).await;
    let guard = locks.lock("order:42").await.unwrap();
    server.restart();
    let other = quarantined(&server).await;
    let refused = other.lock("order:1").try_acquire().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    dlock_core::sleep_until(Moment::now().after(guard.remaining())).await;
    assert!(guard.is_valid(), "renewed meanwhile");
}

/// A hand-off is a grant: while the server is quarantined there is none.
#[tokio::test]
async fn a_quarantined_server_hands_nothing_off() {
    let mut server = RedisServer::builder().config("appendonly yes").config("appendfsync always").start();
    let locks = quarantined(&server).await;
    let guard = locks.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(locks.lock("order:42").acquire());
    wait_until_async("somebody waits", PATIENCE, async || {
        server.command(&["ZCARD", "dlock:w:p:{order:42}"]) == "1"
    })
    .await;
    server.restart();
    // The first attempt may still find that the server was away.
    drop(guard);
    wait_until_async("it is free, and nobody's", PATIENCE, async || {
        server.command(&["EXISTS", "order:42"]) == "0"
    })
    .await;
    let next = waiter.await.unwrap().unwrap();
    let marker = server.command(&["GET", "dlock:m"]);
    let over: u64 = marker.rsplit_once('|').unwrap().1.parse().unwrap();
    assert!(
        next.token().as_u64() >= over * 1_000 * 64,
        "granted when it was over: {marker}, {}",
        next.token()
    );
}

/// A lease that could outlast the quarantine is refused.
#[tokio::test]
async fn a_ttl_longer_than_the_quarantine_is_refused() {
    let server = shared_redis();
    let builder = RedisBackend::builder().url(server.url()).quarantine(QUARANTINE);
    let locks = over(builder.build().await.unwrap(), QUARANTINE + Duration::from_millis(1));
    let refused = locks.lock(fresh_key("long")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
}
