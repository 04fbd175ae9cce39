//! Behind sentinels, whichever server is the primary by now.

use super::*;
use dlock_tests::{Contention, Fake, FakeRedis, RedisKind, RedisSentinel};

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
    fail_over_under_contention(RedisKind::of_process()).await;
}

pub(crate) async fn fail_over_under_contention(kind: RedisKind) {
    let mut sentinel = RedisSentinel::builder().kind(kind).start();
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
    leave_a_demoted_primary(RedisKind::of_process()).await;
}

pub(crate) async fn leave_a_demoted_primary(kind: RedisKind) {
    let sentinel = RedisSentinel::builder().kind(kind).start();
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
    let build = async |url: String| {
        RedisBackend::builder().url(url).connect_within(Duration::ZERO).build().await.unwrap_err()
    };
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
    sentinel.node(new).command(&["DEL", "order:42", "dlock:f"]);
    let says_so = async || match backend.renew(&mine).await {
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::Lost,
    };
    wait_until_async("the renewal says that it is lost", PATIENCE, says_so).await;
    assert_eq!(sentinel.node(new).command(&["EXISTS", "order:42"]), "0", "and does not make it again");
    let next = over(backend, LONG).lock("order:42").await.unwrap();
    assert!(next.token() > first.token);
}

/// A sentinel that names this server, whatever happens.
async fn naming(host: &str, port: u16) -> FakeRedis {
    let (host, port) = (host.to_owned(), port.to_string());
    let say = move |command: &[String]| match command {
        [sentinel, ask, _] if sentinel == "SENTINEL" && ask.starts_with("GET") => Fake::list(&[&host, &port]),
        [sentinel, ask, _] if sentinel == "SENTINEL" && ask == "MASTER" => Fake::list(&["config-epoch", "0"]),
        _ => Fake::Pass,
    };
    FakeRedis::start(say).await.unwrap()
}

/// `fakes` and then `real` sentinels, in this order.
fn url_of(fakes: &[&FakeRedis], real: &[std::net::SocketAddr]) -> String {
    let fakes = fakes.iter().map(|fake| fake.address());
    let all: Vec<_> = fakes.chain(real.iter().copied()).map(|address| address.to_string()).collect();
    format!("redis+sentinel://{}/dlock", all.join(","))
}

async fn build(url: String) -> RedisBackend {
    RedisBackend::builder().url(url).build().await.unwrap()
}

/// Locks `order:42` and says whether it stands at this server.
async fn locks_at(backend: RedisBackend, server: &RedisServer) -> bool {
    let mine = claim("order:42");
    tried(&backend, &mine).await.unwrap();
    let is_there = holder(server, "order:42") != "(nil)";
    backend.release(&mine).await.unwrap();
    is_there
}

/// A sentinel that is cut off names the old primary, which takes writes still. The others are more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_that_is_cut_off_is_not_believed_against_the_others() {
    let (sentinel, old) = (RedisSentinel::start(), RedisServer::start());
    let cut_off = naming("127.0.0.1", old.port()).await;
    let url = url_of(&[&cut_off], &sentinel.sentinels());
    assert!(locks_at(build(url).await, sentinel.node(sentinel.primary())).await);
}

/// As many name the old primary as the new one: the later failover counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_as_many_sentinels_those_that_know_of_the_later_failover_are_believed() {
    let (sentinel, old) = (RedisSentinel::start(), RedisServer::start());
    let new = sentinel.fail_over();
    let cut_off = naming("127.0.0.1", old.port()).await;
    let url = url_of(&[&cut_off], &sentinel.sentinels()[..1]);
    assert!(locks_at(build(url).await, sentinel.node(new)).await);
}

/// Most sentinels have not heard of the failover yet. The server that they name says itself that it is a replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_name_a_replica_are_not_believed_however_many_they_are() {
    let sentinel = RedisSentinel::start();
    let replica = sentinel.replicas()[0].port();
    let (one, other) = (naming("127.0.0.1", replica).await, naming("127.0.0.1", replica).await);
    let url = url_of(&[&one, &other], &sentinel.sentinels()[..1]);
    assert!(locks_at(build(url).await, sentinel.node(sentinel.primary())).await);
    let only_replicas =
        RedisBackend::builder().url(url_of(&[&one, &other], &[])).connect_within(Duration::ZERO);
    let only_replicas = only_replicas.build().await.unwrap_err();
    assert_eq!(only_replicas.kind(), ErrorKind::Unavailable, "{only_replicas}");
    assert!(only_replicas.to_string().contains("replica"), "{only_replicas}");
}

/// Sentinels that never answer, one that does so before it is asked and one after, and one that answers nonsense are not
/// waited for where the others agree: the limits here are longer than the test is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_hang_or_talk_nonsense_are_not_waited_for() {
    let sentinel = RedisSentinel::start();
    let hangs = FakeRedis::start(|_| Fake::Silence).await.unwrap();
    let strange = FakeRedis::start(|_| Fake::Pass).await.unwrap();
    let url = url_of(&[&hangs, &strange], &sentinel.sentinels());
    let builder = RedisBackend::builder().url(url).connect_timeout(LONG).request_timeout(LONG);
    let built = tokio::time::timeout(PATIENCE, builder.build()).await.expect("it is not waited for").unwrap();
    assert!(locks_at(built, sentinel.node(sentinel.primary())).await);
}

/// Without a majority, one that hangs costs its own limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_that_hangs_where_no_others_agree_costs_its_limit_and_no_more() {
    let sentinel = RedisSentinel::start();
    let hang = async || {
        FakeRedis::start(|command| if command[0] == "SENTINEL" { Fake::Silence } else { Fake::Pass }).await
    };
    let (one, other) = (hang().await.unwrap(), hang().await.unwrap());
    let url = url_of(&[&one, &other], &sentinel.sentinels()[..1]);
    let builder = RedisBackend::builder().url(url).connect_timeout(LONG).request_timeout(BRIEF);
    let built = tokio::time::timeout(PATIENCE, builder.build()).await.expect("in time").unwrap();
    assert!(locks_at(built, sentinel.node(sentinel.primary())).await);
}

/// Sentinels name IPv6 hosts without brackets. Those that write them with brackets mean the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_at_an_ipv6_address_is_found() {
    let server = RedisServer::builder().config("bind 127.0.0.1 ::1").start();
    for host in ["::1", "[::1]"] {
        let sentinel = naming(host, server.port()).await;
        assert!(locks_at(build(url_of(&[&sentinel], &[])).await, &server).await, "{host}");
    }
}

/// The address that sentinels know the primary by is not reachable from here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_behind_a_nat_is_reached_by_the_address_map() {
    let server = RedisServer::start();
    let sentinel = naming("redis.invalid", 6_379).await;
    let port = server.port();
    let near = move |host: &str, announced: u16| match (host, announced) {
        ("redis.invalid", 6_379) => ("127.0.0.1".to_owned(), port),
        _ => (host.to_owned(), announced),
    };
    let builder = || RedisBackend::builder().url(url_of(&[&sentinel], &[]));
    assert!(locks_at(builder().address_map(near).build().await.unwrap(), &server).await);
    let panics = builder().address_map(|_, _| panic!("on purpose")).build().await.unwrap_err();
    assert_eq!(panics.kind(), ErrorKind::InvalidOption, "{panics}");
    assert!(panics.to_string().contains("address_map"), "{panics}");
}

/// Sentinels are only asked, so it does not matter if they, or a proxy in front of them, know no RESP3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_need_no_resp3() {
    let server = RedisServer::start();
    let port = server.port().to_string();
    let say = move |command: &[String]| match command[0].as_str() {
        "HELLO" => Fake::error("ERR unknown command 'HELLO'"),
        "SENTINEL" => Fake::list(&["127.0.0.1", &port]),
        _ => Fake::Pass,
    };
    let sentinel = FakeRedis::start(say).await.unwrap();
    assert!(locks_at(build(url_of(&[&sentinel], &[])).await, &server).await);
}
