//! Tokens that go on where those of another backend, or of an earlier start of the program, ended.

#![allow(clippy::unwrap_used, reason = "tests")]

use dlock_core::{EmbeddedBackend, ErrorKind, FencingToken, LockManager};

async fn next_token(locks: &LockManager) -> FencingToken {
    let guard = locks.lock("order:42").await.unwrap();
    let token = guard.token();
    guard.release().await.unwrap();
    token
}

#[tokio::test]
async fn tokens_in_memory_rise_over_a_new_start() {
    let start = || LockManager::builder(EmbeddedBackend::new()).build().unwrap();
    let (mut last, locks) = (FencingToken::new(0), start());
    for _ in 0..3 {
        let token = next_token(&locks).await;
        assert!(token > last, "{token} after {last}");
        last = token;
    }
    let token = next_token(&start()).await;
    assert!(token > last, "{token} after {last}");
    assert!(
        last.as_i64().unsigned_abs() == last.as_u64() && last.as_u64() > 1 << 53,
        "on the scale of Redis"
    );
}

/// As a program does that moves to a backend whose tokens are smaller.
#[tokio::test]
async fn tokens_above_a_floor_rise_as_before() {
    let above = |floor| LockManager::builder(EmbeddedBackend::new()).token_floor(floor).build();
    let floor = i64::MAX.unsigned_abs() / 2;
    let locks = above(floor).unwrap();
    let (first, second) = (next_token(&locks).await, next_token(&locks).await);
    assert!(first.as_u64() > floor && second > first);
    assert_eq!(second.as_i64().unsigned_abs(), second.as_u64(), "it is a signed number still");
    assert_eq!(above(u64::MAX).unwrap_err().kind(), ErrorKind::InvalidOption);
    let by_url = LockManager::connect("memory:?token_floor=4000000000000000000").await.unwrap();
    assert!(next_token(&by_url).await.as_u64() > 4_000_000_000_000_000_000);
    let wrong = LockManager::connect("memory:?token_floor=-1").await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidOption);
}

#[tokio::test]
async fn a_namespace_within_keeps_the_floor() {
    let builder = LockManager::builder(EmbeddedBackend::new()).namespace("shop:");
    let locks = builder.token_floor(1 << 62).build().unwrap();
    assert!(next_token(&locks).await.as_u64() > 1 << 62);
}
