//! Fencing tokens: whose they are, and that they rise whatever is lost.

use super::*;
use dlock_tests::FencedStore;

const HOUR_MS: i64 = 3_600_000;
/// The number of the last grant.
const COUNTER: &str = "dlock:f";

/// What may come between two grants.
type Mishap = (&'static str, fn(&mut RedisServer));

/// Each is survived by the tokens' order.
const MISHAPS: &[Mishap] = &[
    ("a crash of the holder", |server| drop(server.command(&["DEL", "order:42"]))),
    ("the loss of the counter", |server| drop(server.command(&["DEL", "order:42", COUNTER]))),
    ("a counter that holds no number", |server| {
        server.command(&["DEL", "order:42"]);
        server.command(&["SET", COUNTER, "1e3"]);
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

/// B80: tokens rise over a crash, a lost counter, a lost everything, and a clock that steps
/// back. If the counter is lost too when the clock steps back, they do not: the control, and what the
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
        assert_eq!(server.command(&["PTTL", COUNTER]), "-1", "the counter outlives every step of a clock");
        last = next;
    }
    server.command(&["DEL", "order:42", COUNTER]);
    server.move_clock(-HOUR_MS);
    assert!(backend.acquire(&ask()).await.unwrap().token < last, "the control");
}

/// B81: a token is that of its grant. A stale holder keeps its own, through renewals and its loss, and a store
/// refuses it. The control: a holder that asked for the current token instead would be let in.
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
    let current: u64 = server.command(&["GET", COUNTER]).parse().unwrap();
    assert!(store.write(current * 64), "the control");
}

/// B82: tokens are exact up to the last one, which a signed number of 64 bits can hold. After that the counter is taken
/// for lost, and starts again from the clock.
#[tokio::test]
async fn tokens_are_exact_up_to_the_last() {
    let server = RedisServer::start();
    let backend = backend(&server).await;
    let largest: u64 = (1 << 52) - 1;
    server.command(&["SET", COUNTER, &(largest - 2).to_string()]);
    for number in [largest - 1, largest] {
        let mine = claim("order:42");
        let token = tried(&backend, &mine).await.unwrap().token.as_u64();
        assert_eq!((token, i64::try_from(token).is_ok()), (number * 64, true));
        assert_eq!(server.command(&["GET", COUNTER]), number.to_string());
        backend.release(&mine).await.unwrap();
    }
    assert!(tried(&backend, &claim("order:42")).await.unwrap().token.as_u64() < largest * 64);
}

/// The tokens of one key rise strictly though all keys share the counter.
#[tokio::test]
async fn all_locks_share_one_counter_and_leave_nothing_else_behind() {
    let server = RedisServer::start();
    let locks = manager(&server).await;
    let mut last = FencingToken::new(0);
    for key in ["order:1", "order:2", "order:1", "order:3"] {
        let guard = locks.lock(key).await.unwrap();
        assert!(guard.token() > last, "{} after {last}", guard.token());
        last = guard.token();
        guard.release().await.unwrap();
    }
    assert_eq!(server.command(&["KEYS", "*"]), COUNTER);
}
