//! Fencing tokens: whose they are, and that they rise whatever is lost.

use super::*;
use dlock_tests::{FencedStore, wait_until};

const HOUR_MS: i64 = 3_600_000;
const FENCE: &str = "dlock:f:p:{order:42}";

/// What may come between two grants.
type Mishap = (&'static str, fn(&mut RedisServer));

/// Each is survived by the tokens' order.
const MISHAPS: &[Mishap] = &[
    ("a crash of the holder", |server| drop(server.command(&["DEL", "order:42"]))),
    ("the loss of the fence", |server| drop(server.command(&["DEL", "order:42", FENCE]))),
    ("the end of the fence's life", |server| {
        server.command(&["DEL", "order:42"]);
        server.command(&["PEXPIRE", FENCE, "1"]);
        wait_until("the fence is gone", PATIENCE, || server.command(&["EXISTS", FENCE]) == "0");
    }),
    ("FLUSHALL", |server| drop(server.command(&["FLUSHALL"]))),
    ("a restart that forgets all", RedisServer::restart),
    ("a clock that goes back an hour", |server| {
        server.command(&["DEL", "order:42"]);
        server.move_clock(-HOUR_MS);
    }),
    ("a clock that goes forward an hour", |server| {
        server.command(&["DEL", "order:42"]);
        server.move_clock(HOUR_MS);
    }),
];

/// B80: tokens rise over a crash, a lost fence, a lost everything, and a clock that steps back by less than a
/// fence lives. If the fence is lost too when the clock steps back, they do not: the control, and what the
/// documentation excludes.
#[tokio::test]
async fn tokens_rise_over_every_mishap() {
    let mut server =
        tokio::task::spawn_blocking(|| RedisServer::builder().movable_clock().start()).await.unwrap();
    let backend = backend(&server).await;
    let ask = || AcquireRequest::new(claim("order:42"), Mode::Wait);
    let mut last = backend.acquire(&ask()).await.unwrap().token;
    for (name, mishap) in MISHAPS {
        mishap(&mut server);
        wait_until_async("the lock is gone", PATIENCE, async || holder(&server, "order:42") == "(nil)").await;
        let next = backend.acquire(&ask()).await.unwrap().token;
        assert!(next > last, "after {name}: {next} after {last}");
        assert!(
            left_ms(&server, FENCE) > 24 * HOUR_MS,
            "a fence outlives every step of a clock that is meant"
        );
        last = next;
    }
    server.command(&["DEL", "order:42", FENCE]);
    server.move_clock(-HOUR_MS);
    assert!(backend.acquire(&ask()).await.unwrap().token < last, "the control");
}

/// B81: a token is that of its grant. A stale holder keeps its own, through renewals and its loss, and a store
/// refuses it. Whoever asked for the current token instead would be let in: the control.
#[tokio::test]
async fn a_stale_holder_has_its_own_token() {
    let server = RedisServer::start();
    let (locks, mut store) = (brief_manager(&server).await, FencedStore::default());
    let stale = locks.lock("order:42").await.unwrap();
    let own = stale.token();
    dlock_core::sleep_until(Moment::now().after(stale.remaining())).await;
    assert_eq!((stale.is_valid(), stale.token()), (true, own), "renewed");
    server.command(&["DEL", "order:42"]);
    let next = manager(&server).await.lock("order:42").await.unwrap();
    lost(&stale).await;
    assert!(store.write(next.token().as_u64()));
    assert_eq!((stale.token(), stale.lease().token()), (own, own));
    assert!(!store.write(stale.token().as_u64()), "refused");
    let current = server.command(&["GET", FENCE]).parse().unwrap();
    assert!(store.write(current), "the control");
}

/// B82: tokens are exact up to the last that a number in Lua can hold, and the next is refused, with nothing
/// written.
#[tokio::test]
async fn tokens_are_exact_up_to_the_last() {
    let server = RedisServer::start();
    let backend = backend(&server).await;
    // Below 2^53 as many are kept free as one call may hand out, in blocks of 64.
    let limit: u64 = (1 << 53) - 1 - 65 * 64;
    server.command(&["SET", FENCE, &(limit - 65).to_string()]);
    for first in [limit - 64, limit] {
        let mine = claim("order:42");
        assert_eq!(tried(&backend, &mine).await.unwrap().token.as_u64(), first);
        assert_eq!(server.command(&["GET", FENCE]), (first + 63).to_string());
        backend.release(&mine).await.unwrap();
    }
    assert_eq!(tried(&backend, &claim("order:42")).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(holder(&server, "order:42"), "(nil)");
    assert_eq!(server.command(&["GET", FENCE]), (limit + 63).to_string());
}
