//! The server's clock jumps.

use super::*;

const HOUR_MS: i64 = 3_600_000;

async fn with_movable_clock() -> RedisServer {
    tokio::task::spawn_blocking(|| RedisServer::builder().movable_clock().start()).await.unwrap()
}

/// B29: the server's clock jumps by an hour, either way, while two wait: both are served. The order may change.
#[tokio::test]
async fn waiters_are_served_when_the_servers_clock_jumps() {
    for hours in [1, -1] {
        let server = with_movable_clock().await;
        let (one, other) = (backend(&server).await, each_for_itself(backend(&server).await, LONG * 3));
        let mut holding = claim("order:42");
        holding.ttl = Ttl::new(LONG * 3).unwrap();
        tried(&one, &holding).await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        waiting.spawn(other.lock("order:42").acquire());
        wait_until_async("the first waits", PATIENCE, async || waiters(&server, "order:42") == 1).await;
        server.move_clock(hours * HOUR_MS);
        waiting.spawn(other.lock("order:42").acquire());
        wait_until_async("both wait", PATIENCE, async || waiters(&server, "order:42") == 2).await;
        one.release(&holding).await.unwrap();
        let mut last = FencingToken::new(0);
        while let Some(served) = tokio::time::timeout(PATIENCE, waiting.join_next()).await.expect("served") {
            let guard = served.unwrap().unwrap();
            assert!(guard.token() > last);
            last = guard.token();
            guard.release().await.unwrap();
        }
    }
}

/// B29: a clock that goes back makes the lease of a dead holder an hour longer at the server. The next request cuts it
/// down to the length that stands in the lock's value.
#[tokio::test]
async fn a_lease_made_longer_by_the_servers_clock_is_cut() {
    let server = with_movable_clock().await;
    let (dead, living) = (backend(&server).await, over(backend(&server).await, LONG));
    let gone = tried(&dead, &claim_for("order:42", BRIEF * 3)).await.unwrap();
    server.move_clock(-HOUR_MS);
    assert!(left_ms(&server, "order:42") > HOUR_MS);
    let next = living.lock("order:42").await.unwrap();
    assert!(next.token() > gone.token, "and tokens rise all the same");
}

/// B29: the same while the lock is left free for clients of other libraries: that time is cut as well.
#[tokio::test]
async fn a_gap_made_longer_by_the_servers_clock_is_cut() {
    let server = with_movable_clock().await;
    let (between, gap) = (Duration::from_millis(1), Duration::from_secs(2));
    let builder = RedisBackend::builder().url(server.url()).foreign_gap(between, gap);
    let backend = builder.build().await.unwrap();
    let waiter = loop {
        let (holding, waiting) = (claim("order:42"), claim("order:42"));
        tried(&backend, &holding).await.unwrap();
        let waiter = queued(backend.clone(), waiting.clone()).await;
        backend.release(&holding).await.unwrap();
        if server.command(&["ZSCORE", "dlock:n:p:{order:42}", "|gap"]) != "(nil)" {
            break waiter;
        }
        granted(waiter).await;
        backend.release(&waiting).await.unwrap();
    };
    server.move_clock(-HOUR_MS);
    let served = tokio::time::timeout(gap * 4, waiter).await;
    assert!(served.is_ok(), "the gap is over, and nobody is served");
}

/// B29: the same for a quarantine.
#[tokio::test]
async fn a_quarantine_made_longer_by_the_servers_clock_is_cut() {
    let server = with_movable_clock().await;
    let builder = RedisBackend::builder().url(server.url()).quarantine(BRIEF);
    let locks = over(builder.build().await.unwrap(), BRIEF);
    let refused = locks.lock("order:42").try_acquire().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    server.move_clock(-HOUR_MS);
    let granted = locks.lock("order:42").wait(BRIEF * 10).await;
    assert!(granted.is_ok(), "the quarantine is over, and nothing is granted: {granted:?}");
}
