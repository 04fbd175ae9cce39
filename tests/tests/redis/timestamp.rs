//! The recipe whose value is the time when the lock ends.

use super::*;
use dlock_core::backend::redis::Recipe;
use std::time::SystemTime;

async fn timestamp(server: &RedisServer) -> RedisBackend {
    RedisBackend::builder().url(server.url()).recipe(Recipe::Timestamp).build().await.unwrap()
}

#[allow(clippy::disallowed_methods, reason = "the recipe is about the time of day")]
fn unix_millis() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()
}

async fn try_once(backend: &RedisBackend, claim: &Claim) -> Result<u64, ErrorKind> {
    let request = AcquireRequest::new(claim.clone(), Mode::Try);
    backend.acquire(&request).await.map(|grant| grant.token.as_u64()).map_err(|error| error.kind())
}

/// The value is what the other services expect: whole milliseconds since 1970, and no expiry.
#[tokio::test]
async fn the_value_is_the_time_of_the_end_and_the_key_never_expires() {
    let server = shared_redis();
    let (backend, key) = (timestamp(server).await, fresh_key("timestamp"));
    let mine = claim(&key);
    let before = unix_millis() + LONG.as_millis();
    try_once(&backend, &mine).await.unwrap();
    let value: u128 = server.command(&["GET", &key]).parse().unwrap();
    assert!((before..=unix_millis() + LONG.as_millis()).contains(&value), "{value}");
    assert_eq!(server.command(&["TTL", &key]), "-1");
    backend.release(&mine).await.unwrap();
    assert_eq!(server.command(&["EXISTS", &key]), "0");
}

/// Two clients that see the same stale lock never both get it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_lock_goes_to_one_of_the_clients_that_see_it() {
    let server = shared_redis();
    let backends = [timestamp(server).await, timestamp(server).await, timestamp(server).await];
    for round in 0..50 {
        let key = fresh_key(&format!("stale {round}"));
        server.command(&["SET", &key, &(unix_millis() - 1).to_string()]);
        let claims = [claim(&key), claim(&key), claim(&key)];
        let (one, two, three) = tokio::join!(
            try_once(&backends[0], &claims[0]),
            try_once(&backends[1], &claims[1]),
            try_once(&backends[2], &claims[2]),
        );
        let granted = [one, two, three].iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(granted, 1, "{one:?} {two:?} {three:?}");
    }
}

/// The same by the bare commands of a service without dlock: the client that gets the stale value back has the lock,
/// and only one does.
#[tokio::test]
async fn a_stale_lock_is_taken_by_us_or_by_the_other_service() {
    let server = shared_redis();
    let backend = timestamp(server).await;
    for ours_first in [true, false] {
        let key = fresh_key("stale, between services");
        let stale = (unix_millis() - 1).to_string();
        server.command(&["SET", &key, &stale]);
        let mine = claim(&key);
        let their_end = (unix_millis() + 60_000).to_string();
        let getset = || server.command(&["GETSET", &key, &their_end]) == stale;
        let (ours, theirs) = if ours_first {
            let ours = try_once(&backend, &mine).await.is_ok();
            (ours, getset())
        } else {
            let theirs = getset();
            (try_once(&backend, &mine).await.is_ok(), theirs)
        };
        assert_eq!((ours, theirs), (ours_first, !ours_first));
    }
}

/// A stale holder's release does not free the next one's lock, and its renewal does not take it back.
#[tokio::test]
async fn a_stale_holder_frees_nothing() {
    let server = shared_redis();
    let (one, other) = (timestamp(server).await, timestamp(server).await);
    let key = fresh_key("stale holder");
    // Of another length than the stale one, for the test makes that stale before its time.
    let (stale, mut next) = (claim(&key), claim(&key));
    next.ttl = Ttl::new(LONG * 2).unwrap();
    let token = try_once(&one, &stale).await.unwrap();
    let end = (unix_millis() - 1).to_string();
    server.command(&["SET", &key, &end]);
    let later = try_once(&other, &next).await.unwrap();
    assert!(later > token, "{later} after {token}");
    let value = server.command(&["GET", &key]);
    assert_eq!(one.renew(&stale).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(one.release(&stale).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(server.command(&["GET", &key]), value, "untouched");
    other.renew(&next).await.unwrap();
    other.release(&next).await.unwrap();
}

/// Times in seconds, and with a fraction, are understood; what is no time is left alone.
#[tokio::test]
async fn values_of_other_services_are_understood_or_refused() {
    let server = shared_redis();
    let backend = timestamp(server).await;
    let seconds = unix_millis() / 1_000;
    for (value, expected) in [
        ((seconds + 60).to_string(), Err(ErrorKind::Busy)),
        (format!("{}.25", seconds + 60), Err(ErrorKind::Busy)),
        ((unix_millis() + 60_000).to_string(), Err(ErrorKind::Busy)),
        ("a token".to_owned(), Err(ErrorKind::Corrupt)),
        (String::new(), Err(ErrorKind::Corrupt)),
        ((seconds - 60).to_string(), Ok(())),
        (format!("{}.25", seconds - 60), Ok(())),
    ] {
        let key = fresh_key("value");
        server.command(&["SET", &key, &value]);
        let outcome = try_once(&backend, &claim(&key)).await.map(drop);
        assert_eq!(outcome, expected, "{value:?}");
        if outcome.is_err() {
            assert_eq!(server.command(&["GET", &key]), value);
        }
    }
}

/// A waiter takes the lock over when its time has passed, and when it is released.
#[tokio::test]
async fn a_waiter_takes_over_when_the_time_has_passed() {
    let server = shared_redis();
    let locks = each_for_itself(timestamp(server).await, LONG);
    let key = fresh_key("waiter");
    server.command(&["SET", &key, &(unix_millis() + 50).to_string()]);
    let guard = locks.lock(&key).await.unwrap();
    let waiter = tokio::spawn(locks.lock(&key).acquire());
    guard.release().await.unwrap();
    let next = waiter.await.unwrap().unwrap();
    assert!(next.token() > FencingToken::new(0) && next.is_valid());
    next.release().await.unwrap();
}

/// A lease is renewed while its guard lives, by replacing one time by a later one.
#[tokio::test]
async fn a_lease_is_renewed() {
    let server = shared_redis();
    let locks = over(timestamp(server).await, BRIEF);
    let key = fresh_key("renewed");
    let guard = locks.lock(&key).await.unwrap();
    let first = server.command(&["GET", &key]);
    wait_until_async("a renewal", PATIENCE, async || server.command(&["GET", &key]) > first).await;
    assert!(guard.is_valid());
    guard.release().await.unwrap();
    assert_eq!(server.command(&["EXISTS", &key]), "0");
}
