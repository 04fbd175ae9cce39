//! Behind sentinels: whoever is the primary by now.

use super::*;
use dlock_tests::{Contention, RedisSentinel};

async fn behind(sentinel: &RedisSentinel) -> RedisBackend {
    RedisBackend::builder().url(sentinel.url()).build().await.unwrap()
}

async fn managers(sentinel: &RedisSentinel, number: usize) -> Vec<LockManager> {
    let mut managers = Vec::new();
    for _ in 0..number {
        managers.push(over(behind(sentinel).await, BRIEF));
    }
    managers
}

/// B12, B80, B90, B93: a primary that dies under contention costs no more than the failover takes, and tokens go
/// on rising.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_under_contention_keeps_the_token_order() {
    let mut sentinel = RedisSentinel::start();
    let contention = Contention::start(&managers(&sentinel, 4).await, &["order:42"]);
    contention.more_turns(50).await;
    let old = sentinel.kill_primary();
    sentinel.await_new_primary(old);
    contention.more_turns(50).await;
    contention.end_with_tokens_in_order().await;
}

/// B90, with a quarantine as long as the lease: nor are two guards valid at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_with_quarantine_makes_no_two_holders() {
    let mut sentinel = RedisSentinel::start();
    let mut managers = Vec::new();
    for _ in 0..4 {
        let builder = RedisBackend::builder().url(sentinel.url()).quarantine(BRIEF);
        managers.push(over(builder.build().await.unwrap(), BRIEF));
    }
    let contention = Contention::start(&managers, &["order:42"]);
    contention.more_turns(50).await;
    let old = sentinel.kill_primary();
    sentinel.await_new_primary(old);
    contention.more_turns(50).await;
    contention.end().await;
}

/// B93: a primary that is demoted while it lives answers READONLY, and is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_primary_is_left() {
    let sentinel = RedisSentinel::start();
    let locks = over(behind(&sentinel).await, LONG);
    let before = locks.lock("order:42").await.unwrap();
    before.release().await.unwrap();
    let old = sentinel.primary();
    let new = sentinel.fail_over();
    sentinel.node(old).command(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    let guard = locks.lock("order:42").await.unwrap();
    assert_eq!(sentinel.node(new).command(&["EXISTS", "order:42"]), "1", "at the new primary");
    guard.release().await.unwrap();
}

/// A service that the sentinels do not know, sentinels that are none, and a password of theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_sentinel_or_not_known_to_it_is_refused() {
    let sentinel = RedisSentinel::start();
    let build = async |url: String| RedisBackend::builder().url(url).build().await.unwrap_err();
    let unknown = build(sentinel.url().replace("/dlock", "/another")).await;
    assert_eq!(unknown.kind(), ErrorKind::InvalidOption, "{unknown}");
    assert!(unknown.to_string().contains("another"), "{unknown}");
    let unnamed = build(sentinel.url().replace("/dlock", "")).await;
    assert_eq!(unnamed.kind(), ErrorKind::InvalidOption, "{unnamed}");
    let direct = build(format!("redis://{}", sentinel.sentinels()[0])).await;
    assert_eq!(direct.kind(), ErrorKind::InvalidOption, "{direct}");
    assert!(direct.to_string().contains("redis+sentinel://"), "{direct}");
    let replica = build(format!("redis://{}", sentinel.replicas()[0])).await;
    assert_eq!(replica.kind(), ErrorKind::Unavailable, "{replica}");
    assert!(replica.to_string().contains("replica"), "{replica}");
}

/// Passwords of the servers stand in the URL, that of the sentinels in an option of its own; one sentinel that
/// is away does not matter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_and_servers_have_passwords_of_their_own() {
    let mut sentinel =
        RedisSentinel::builder().password("marker-secret").sentinel_password("marker-other").start();
    let url = sentinel.url().replace("://", "://:marker-secret@");
    let builder = || RedisBackend::builder().url(&url).sentinel_login("default", "marker-other");
    let shown = format!("{:?}", builder());
    let backend = builder().build().await.unwrap();
    assert!(!(shown + &format!("{backend:?}")).contains("marker"), "no password is shown");
    let refused = RedisBackend::builder().url(&url).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    let first = sentinel.sentinels()[0];
    sentinel.kill(first);
    let locks = over(builder().build().await.unwrap(), LONG);
    locks.lock("order:42").await.unwrap().release().await.unwrap();
}

/// B90: a failover that forgets the lock is signalled to its holder by the next renewal, and the next holder has a
/// greater token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_forgets_a_lock_is_signalled_to_its_holder() {
    let sentinel = RedisSentinel::start();
    let ttl = Duration::from_secs(60);
    let (backend, mine) = (behind(&sentinel).await, claim_for("order:42", ttl));
    let first = tried(&backend, &mine).await.unwrap();
    sentinel.await_in_sync();
    let old = sentinel.primary();
    let new = sentinel.fail_over();
    sentinel.node(old).command(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    // What a write that had not reached it would leave there.
    sentinel.node(new).command(&["DEL", "order:42", "dlock:f:p:{order:42}"]);
    let says_so = async || match backend.renew(&mine).await {
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::Lost,
    };
    wait_until_async("the renewal says that it is lost", PATIENCE, says_so).await;
    assert_eq!(sentinel.node(new).command(&["EXISTS", "order:42"]), "0", "and does not make it again");
    let next = over(backend, LONG).lock("order:42").await.unwrap();
    assert!(next.token() > first.token);
}
