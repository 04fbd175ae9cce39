//! Locks at a majority of real servers: partial failures, split votes, servers that are slow, away or forget.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

use dlock_core::backend::{AcquireRequest, Backend, Claim, Mode};
use dlock_core::{ErrorKind, LockError, LockKey, LockManager, LossReason, Moment, RedlockBackend, Ttl};
use dlock_tests::{Fake, FakeRedis, RedisServer, Relay, fresh_key, wait_until_async};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

const LONG: Duration = Duration::from_secs(60 * 60);
const BRIEF: Duration = Duration::from_millis(600);
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than a test waits: a caller that waited for such a request would fail the test.
const NEVER: Duration = Duration::from_secs(600);

fn start<const N: usize>() -> [RedisServer; N] {
    [(); N].map(|()| RedisServer::start())
}

/// A backend that waits for a silent server longer than the test does.
async fn backend(servers: &[RedisServer]) -> RedlockBackend {
    RedlockBackend::builder()
        .servers(servers.iter().map(RedisServer::url))
        .request_timeout(NEVER)
        .build()
        .await
        .unwrap()
}

fn over(backend: impl Backend, ttl: Duration) -> LockManager {
    LockManager::builder(backend).ttl(ttl).wait(PATIENCE).build().unwrap()
}

fn claim(key: &str, ttl: Duration) -> Claim {
    Claim::new(LockKey::new(key).unwrap(), Ttl::new(ttl).unwrap()).unwrap()
}

async fn try_acquire(backend: &RedlockBackend, claim: &Claim) -> Result<u64, LockError> {
    let request = AcquireRequest::new(claim.clone(), Mode::Try);
    soon("the try ends", backend.acquire(&request)).await.map(|grant| grant.token.as_u64())
}

async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| unreachable!("in vain: {what}"))
}

fn holder(server: &RedisServer, key: &str) -> String {
    let value = server.command(&["GET", key]);
    match value.rsplit_once('|') {
        Some((owner, _number)) if value.starts_with("dl2|") => format!("{owner}|"),
        _ => value,
    }
}

fn is_free(server: &RedisServer, key: &str) -> bool {
    server.command(&["EXISTS", key]) == "0"
}

async fn free_everywhere(servers: &[RedisServer], key: &str) {
    wait_until_async("no server has the lock", PATIENCE, async || {
        servers.iter().all(|server| is_free(server, key))
    })
    .await;
}

/// How often the server ran scripts so far.
fn script_calls(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]);
    let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:calls="));
    line.map_or(0, |line| line.split(['=', ',']).nth(1).unwrap().parse().unwrap())
}

/// A client of another library takes the key.
fn take(server: &RedisServer, key: &str) {
    assert_eq!(server.command(&["SET", key, "foreign", "NX", "PX", "3600000"]), "OK");
}

#[tokio::test]
async fn a_free_lock_costs_each_server_one_script_and_its_release_another() {
    let servers = start::<3>();
    let locks = over(backend(&servers).await, LONG);
    let calls = || servers.each_ref().map(script_calls);
    locks.lock("warm").await.unwrap().release().await.unwrap();
    // Two servers have had both requests by now.
    wait_until_async("the third has had them too", PATIENCE, async || {
        calls().windows(2).all(|pair| pair[0] == pair[1])
    })
    .await;
    let before = calls();
    let since = || calls().iter().zip(before).map(|(now, before)| now - before).collect::<Vec<_>>();
    for _ in 0..10 {
        locks.lock("order:42").await.unwrap().release().await.unwrap();
    }
    locks.shutdown().await.unwrap();
    // A server that was not asked yet when the others had decided is only told of the release.
    wait_until_async("the slowest server caught up", PATIENCE, async || {
        since().iter().all(|calls| *calls >= 10) && since().iter().sum::<u64>() >= 50
    })
    .await;
    assert!(since().iter().all(|calls| *calls <= 20), "{:?}", since());
}

#[tokio::test]
async fn one_url_names_all_servers() {
    let servers = start::<3>();
    let addresses: Vec<_> = servers.iter().map(|server| server.address().to_string()).collect();
    let locks = LockManager::connect(&format!("redlock://{}/1", addresses.join(","))).await.unwrap();
    let _guard = locks.lock("order:42").await.unwrap();
    for server in &servers {
        wait_until_async("every server has it, in database 1", PATIENCE, async || {
            server.command(&["INFO", "keyspace"]).contains("db1:keys=")
        })
        .await;
    }
    assert_eq!(locks.backend_name(), "redlock");
}

#[tokio::test]
async fn too_few_servers_and_twins_are_refused() {
    let servers = start::<2>();
    let [one, other] = [servers[0].url(), servers[1].url()];
    let alias = format!("redis://localhost:{}", servers[0].port());
    let refused = [
        vec![],
        vec![one.clone(), other.clone()],
        vec![one.clone(), other.clone(), one.clone()],
        vec![one.clone(), other.clone(), alias],
        vec![one.clone(), other.clone(), "redis+sentinel://a/b".to_owned()],
    ];
    for urls in refused {
        let error = RedlockBackend::builder().servers(urls.clone()).build().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{urls:?}: {error}");
    }
    for url in ["redlock://a", "redlock://a,b", "redis://a,b,c", "redlock:a,b,c"] {
        let error = RedlockBackend::builder().url(url).build().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{url}: {error}");
    }
}

#[tokio::test]
async fn a_backend_is_built_if_a_majority_answers() {
    let mut servers = start::<3>();
    servers[0].kill();
    let locks = over(backend(&servers).await, LONG);
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    servers[1].kill();
    let builder = RedlockBackend::builder().servers(servers.iter().map(RedisServer::url));
    let builder = builder.connect_within(Duration::ZERO);
    assert_eq!(builder.build().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// B04: whatever a failed acquire got is undone at every server.
#[tokio::test]
async fn a_partial_failure_is_undone_at_every_server() {
    let servers = start::<5>();
    let backend = backend(&servers).await;
    for server in &servers[..3] {
        take(server, "order:42");
    }
    let refused = try_acquire(&backend, &claim("order:42", LONG)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    free_everywhere(&servers[3..], "order:42").await;
    for server in &servers[..3] {
        assert_eq!(holder(server, "order:42"), "foreign");
    }
}

/// B04, for errors: a majority of the servers answers with one that does not pass.
#[tokio::test]
async fn an_error_of_a_majority_is_reported_and_the_rest_undone() {
    let servers = start::<3>();
    let locks = over(backend(&servers).await, LONG);
    servers[0].command(&["LPUSH", "order:42", "x"]);
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    servers[1].command(&["LPUSH", "order:42", "x"]);
    assert_eq!(locks.lock("order:42").await.unwrap_err().kind(), ErrorKind::Corrupt);
    free_everywhere(&servers[2..], "order:42").await;
}

/// B04, for a server that was not waited for: it is released all the same, after what it got.
#[tokio::test]
async fn a_silent_server_is_released_when_it_answers_again() {
    let mut servers = start::<3>();
    let backend = backend(&servers).await;
    servers[2].pause();
    let holder = claim("order:42", LONG);
    try_acquire(&backend, &holder).await.unwrap();
    soon("a majority releases", backend.release(&holder)).await.unwrap();
    assert!(servers[..2].iter().all(|server| is_free(server, "order:42")));
    servers[2].resume();
    wait_until_async("the server was asked to take it and to release it", PATIENCE, async || {
        script_calls(&servers[2]) >= 3
    })
    .await;
    free_everywhere(&servers, "order:42").await;
}

/// B04, for a server that keeps the lock on its disk and is away when the owner leaves.
#[tokio::test]
async fn a_server_that_is_away_for_the_release_is_released_when_it_is_back() {
    let durable = || RedisServer::builder().config("appendonly yes").config("appendfsync always").start();
    let mut servers = [durable(), durable(), durable()];
    let backend = backend(&servers).await;
    let held = claim("order:42", LONG);
    try_acquire(&backend, &held).await.unwrap();
    wait_until_async("it has the lock", PATIENCE, async || !is_free(&servers[2], "order:42")).await;
    servers[2].kill();
    backend.release(&held).await.unwrap();
    servers[2].restart();
    free_everywhere(&servers, "order:42").await;
}

/// B04 for a request that arrives when its owner is gone: over a connection that was given up.
#[tokio::test]
async fn a_request_that_comes_late_takes_no_server() {
    let servers = start::<3>();
    let relay = Relay::to(servers[2].address()).await.unwrap();
    let urls = [servers[0].url(), servers[1].url(), format!("redis://{}", relay.address())];
    let limit = Duration::from_secs(1);
    let backend = RedlockBackend::builder().servers(urls).request_timeout(limit).build().await.unwrap();
    relay.hold();
    let holder = claim("order:42", LONG);
    try_acquire(&backend, &holder).await.unwrap();
    backend.release(&holder).await.unwrap();
    wait_until_async("the third server knows that the owner is gone", PATIENCE, async || {
        servers[2].command(&["ZCARD", "dlock:n:p:{order:42}"]) == "1"
    })
    .await;
    let before = script_calls(&servers[2]);
    assert!(relay.kept() > 0, "the request is still on its way");
    relay.let_go();
    wait_until_async("it arrived", PATIENCE, async || script_calls(&servers[2]) > before).await;
    assert!(is_free(&servers[2], "order:42"), "taken for nobody");
}

/// B05: votes that are split settle, with an even number of servers, and with one of three away, so that all of
/// the others are needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn split_votes_settle() {
    let even = start::<4>();
    contend(&even, 3, 15).await;
    let mut odd = start::<3>();
    odd[2].kill();
    contend(&odd, 3, 15).await;
    free_everywhere(&even, "order:42").await;
}

async fn contend(servers: &[RedisServer], rivals: usize, grants: usize) {
    let mut history = History::default();
    for _ in 0..rivals {
        history.rival(over(backend(servers).await, LONG));
    }
    history.goes_on(grants).await;
    history.end().await;
}

/// What rivals for one lock saw.
#[derive(Default)]
struct History {
    inside: Arc<AtomicUsize>,
    tokens: Arc<parking_lot::Mutex<Vec<u64>>>,
    over: Arc<AtomicBool>,
    rivals: JoinSet<()>,
}

impl History {
    /// Adds one that takes the lock again and again, and checks that it is alone while its guard is valid.
    fn rival(&mut self, locks: LockManager) {
        let (inside, tokens, over) =
            (Arc::clone(&self.inside), Arc::clone(&self.tokens), Arc::clone(&self.over));
        self.rivals.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let guard = locks.lock("order:42").await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders at once");
                tokens.lock().push(guard.token().as_u64());
                tokio::task::yield_now().await;
                assert!(guard.is_valid());
                inside.fetch_sub(1, Ordering::SeqCst);
                // A server that was restarted may not be connected to again when the next one is killed: then
                // the release is repeated in the background.
                if let Err(error) = guard.release().await {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                }
            }
            locks.shutdown().await.unwrap();
        });
    }

    fn grants(&self) -> usize {
        self.tokens.lock().len()
    }

    /// Waits for this many more grants: what was granted before is over by then.
    async fn goes_on(&self, more: usize) {
        let until = self.grants() + more;
        wait_until_async("there are more grants", PATIENCE, async || self.grants() >= until).await;
    }

    async fn end(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        while let Some(rival) = soon("every rival has its last turn", self.rivals.join_next()).await {
            rival.expect("no rival saw another one");
        }
        let tokens = self.tokens.lock();
        assert!(tokens.is_sorted_by(|one, next| one < next), "tokens in grant order: {tokens:?}");
    }
}

/// B06: a majority that answers when the lease is over grants nothing, and what it gave is undone.
#[tokio::test]
async fn a_majority_that_comes_after_the_lease_is_no_grant() {
    let mut servers = start::<3>();
    let backend = backend(&servers).await;
    servers[1].pause();
    servers[2].pause();
    let (asking, late) = (backend.clone(), claim("order:42", Ttl::MIN));
    let asked = tokio::spawn(async move { try_acquire(&asking, &late).await });
    wait_until_async("the first server was asked", PATIENCE, async || script_calls(&servers[0]) == 2).await;
    wait_until_async("its lease is over", PATIENCE, async || is_free(&servers[0], "order:42")).await;
    servers[1].resume();
    servers[2].resume();
    let refused = soon("the try ends", asked).await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    free_everywhere(&servers, "order:42").await;
}

/// B07: a server that answers nothing is not waited for, with any of the three requests.
#[tokio::test]
async fn a_black_hole_is_not_waited_for() {
    let mut servers = start::<3>();
    let backend = backend(&servers).await;
    servers[1].pause();
    for turn in 0..3 {
        let holder = claim(&fresh_key("order"), LONG);
        try_acquire(&backend, &holder).await.unwrap();
        let renewed = soon("a majority renews", backend.renew(&holder)).await.unwrap();
        assert!(renewed > Moment::now(), "turn {turn}");
        soon("a majority releases", backend.release(&holder)).await.unwrap();
    }
    servers[1].resume();
}

/// B07: where the silent server is needed, its time is what limits the wait.
#[tokio::test]
async fn a_black_hole_that_is_needed_costs_no_more_than_its_time_for_an_answer() {
    let mut servers = start::<3>();
    let urls = servers.iter().map(RedisServer::url);
    let limit = Duration::from_secs(2);
    let builder = RedlockBackend::builder().servers(urls).request_timeout(limit).connect_timeout(limit);
    let backend = builder.build().await.unwrap();
    servers[1].pause();
    take(&servers[2], "order:42");
    let refused = try_acquire(&backend, &claim("order:42", LONG)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "a majority answered, and disagrees");
    free_everywhere(&servers[..1], "order:42").await;
    servers[2].pause();
    let error = try_acquire(&backend, &claim("order:42", LONG)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "no majority answers");
    free_everywhere(&servers[..1], "order:42").await;
}

/// B08: a server that refuses connections is done without, and taken in again when it is back.
#[tokio::test]
async fn a_server_that_refuses_connections_is_done_without() {
    let mut servers = start::<3>();
    let locks = over(backend(&servers).await, BRIEF);
    servers[0].kill();
    let guard = locks.lock("order:42").await.unwrap();
    dlock_core::sleep_until(Moment::now().after(guard.remaining())).await;
    assert!(guard.is_valid(), "renewed without it");
    servers[0].restart();
    wait_until_async("it has the lock again", PATIENCE, async || !is_free(&servers[0], "order:42")).await;
    guard.release().await.unwrap();
    free_everywhere(&servers, "order:42").await;
}

/// B47: what counts is a majority of all servers, not of those that gave the lock.
#[tokio::test]
async fn a_renewal_needs_a_majority_of_all_servers() {
    let mut servers = start::<5>();
    let backend = backend(&servers).await;
    let held = claim("order:42", LONG);
    servers[3].kill();
    servers[4].kill();
    try_acquire(&backend, &held).await.unwrap();
    backend.renew(&held).await.expect("three of five");
    servers[2].kill();
    let unknown = soon("the renewal ends", backend.renew(&held)).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Unavailable, "two of the three that gave it are two of five");
}

/// B47: a server that forgot the lock is given it again, under the same token, if a majority still has it.
#[tokio::test]
async fn a_server_that_forgot_the_lock_is_healed_by_a_renewal() {
    let servers = start::<5>();
    let backend = backend(&servers).await;
    let held = claim("order:42", LONG);
    let token = try_acquire(&backend, &held).await.unwrap();
    wait_until_async("all have it", PATIENCE, async || {
        servers.iter().all(|server| !is_free(server, "order:42"))
    })
    .await;
    servers[0].command(&["FLUSHALL"]);
    servers[1].command(&["FLUSHALL"]);
    backend.renew(&held).await.expect("three of five");
    wait_until_async("all have it again", PATIENCE, async || {
        servers.iter().all(|server| holder(server, "order:42") == holder(&servers[4], "order:42"))
    })
    .await;
    assert_eq!(servers[0].command(&["GET", "dlock:r:p:{order:42}"]), (token / 64).to_string());
    backend.release(&held).await.unwrap();
    free_everywhere(&servers, "order:42").await;
}

/// B48: an owner that lost its majority is told so. It gets nothing again, even at servers where the lock is free.
#[tokio::test]
async fn an_owner_that_lost_its_majority_is_not_healed() {
    let servers = start::<5>();
    let (backend, other) = (backend(&servers).await, backend(&servers).await);
    let held = claim("order:42", LONG);
    let token = try_acquire(&backend, &held).await.unwrap();
    wait_until_async("all have it", PATIENCE, async || {
        servers.iter().all(|server| !is_free(server, "order:42"))
    })
    .await;
    for server in &servers[..3] {
        server.command(&["FLUSHALL"]);
    }
    let lost = backend.renew(&held).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Lost);
    assert!(servers[..3].iter().all(|server| is_free(server, "order:42")), "healed");
    let next = try_acquire(&other, &claim("order:42", LONG)).await.unwrap();
    assert!(next > token, "{next} after {token}");
    assert_eq!(backend.renew(&held).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(backend.release(&held).await.unwrap_err().kind(), ErrorKind::Lost);
    assert!(
        servers[..3].iter().all(|server| holder(server, "order:42").starts_with("dl2|")),
        "the next owner's"
    );
}

/// The script by which a server agrees to a token, as the backend sends it.
const PROPOSE: &str = include_str!("../../dlock-core/src/backend/redis/scripts/propose.lua");

/// One server's answer: 1 agreed, `2 token` holds but outbid, `0 …` another's.
fn propose(server: &RedisServer, owner: &str, token: u64) -> String {
    let (key, fence, marks) = ("order:42", "dlock:r:p:{order:42}", "dlock:n:p:{order:42}");
    let token = token.to_string();
    let answer = server.command(&["EVAL", PROPOSE, "3", key, fence, marks, owner, "3600000", &token]);
    answer.lines().collect::<Vec<_>>().join(" ")
}

/// B83: A holds a majority but was outbid, and is slow to propose again; its leases end, and B is granted the
/// lock in between. A must not get a majority for a token that outranks the living holder.
#[tokio::test]
async fn a_proposal_that_was_slow_to_be_raised_cannot_outrank_the_next_holder() {
    let [one, two, three] = start::<3>();
    for server in [&one, &two] {
        assert_eq!(propose(server, "earlier|", 10), "1");
        server.command(&["DEL", "order:42"]);
        assert_eq!(propose(server, "A|", 5), "2 10", "holds, but other numbers came first");
    }
    // A's leases end.
    for server in [&one, &two] {
        server.command(&["DEL", "order:42"]);
    }
    assert_eq!(propose(&two, "B|", 7), "2 10");
    assert_eq!(propose(&three, "B|", 7), "1");
    for server in [&two, &three] {
        assert_eq!(propose(server, "B|", 11), "1", "B is granted 11");
    }
    assert_eq!(propose(&one, "A|", 11), "1");
    for server in [&two, &three] {
        assert!(propose(server, "A|", 11).starts_with("0 "), "one of three agreed: A fails");
        assert!(propose(server, "A|", 999).starts_with("0 "), "whatever it proposes");
        assert_eq!(server.command(&["GET", "dlock:r:p:{order:42}"]), "11", "nor does it raise the fence");
    }
}

/// A token is greater than all before it, even if the asking client's clock is behind.
#[tokio::test]
async fn a_clock_that_is_behind_costs_a_round_and_not_the_order() {
    let servers = start::<3>();
    let ahead = 4_000_000_000_000_000_u64;
    for server in &servers[..2] {
        assert_eq!(propose(server, "ahead|", ahead), "1");
        server.command(&["DEL", "order:42"]);
    }
    let backend = backend(&servers).await;
    let before: Vec<_> = servers.iter().map(script_calls).collect();
    let held = claim("order:42", LONG);
    assert_eq!(try_acquire(&backend, &held).await.unwrap(), (ahead + 1) * 64);
    for (server, before) in servers.iter().zip(before) {
        wait_until_async("every server was asked twice", PATIENCE, async || {
            script_calls(server) - before == 2
        })
        .await;
    }
}

/// I2 while servers are killed and come back empty, one after the other: a minority at any time, and none sooner
/// than all that it forgot is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_rise_while_a_minority_is_killed_and_comes_back_empty() {
    let mut servers = start::<3>();
    let mut history = History::default();
    for _ in 0..3 {
        history.rival(over(backend(&servers).await, LONG));
    }
    for server in &mut servers {
        history.goes_on(2).await;
        server.kill();
        history.goes_on(4).await;
        server.restart();
        history.goes_on(4).await;
    }
    history.end().await;
}

/// I1 while two of five are lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_without_two_of_five() {
    let mut servers = start::<5>();
    let mut history = History::default();
    for _ in 0..4 {
        history.rival(over(backend(&servers).await, LONG));
    }
    history.goes_on(4).await;
    servers[1].kill();
    servers[3].kill();
    history.goes_on(30).await;
    history.end().await;
}

/// Without a majority nothing is granted, and a holder loses the lock at its deadline.
#[tokio::test]
async fn without_a_majority_nothing_is_granted_and_holders_lose_the_lock() {
    let mut servers = start::<3>();
    let locks = over(backend(&servers).await, BRIEF);
    let guard = locks.lock("order:42").await.unwrap();
    servers[0].kill();
    servers[1].kill();
    assert_eq!(soon("the loss is signalled", guard.lost()).await, LossReason::Expired);
    let error = locks.lock("order:43").try_acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let error = locks.lock("order:43").wait(BRIEF).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    servers[0].restart();
    locks.lock("order:43").await.unwrap().release().await.unwrap();
}

/// Clients of other libraries are excluded, and exclude us, where they have a majority.
#[tokio::test]
async fn a_foreign_lock_at_a_majority_excludes_us_and_ours_excludes_it() {
    let servers = start::<3>();
    let locks = over(backend(&servers).await, LONG);
    take(&servers[0], "order:42");
    let guard = locks.lock("order:42").await.unwrap();
    wait_until_async("the two others have it", PATIENCE, async || {
        servers[1..].iter().all(|server| !is_free(server, "order:42"))
    })
    .await;
    for server in &servers[1..] {
        assert_eq!(server.command(&["SET", "order:42", "foreign", "NX", "PX", "60000"]), "(nil)");
    }
    guard.release().await.unwrap();
    free_everywhere(&servers[1..], "order:42").await;
    take(&servers[1], "order:42");
    assert!(locks.lock("order:42").try_acquire().await.unwrap().is_none());
    let waiter = tokio::spawn(locks.lock("order:42").acquire());
    free_everywhere(&servers[2..], "order:42").await;
    servers[0].command(&["DEL", "order:42"]);
    soon("the waiter is granted", waiter).await.unwrap().unwrap().release().await.unwrap();
}

#[tokio::test]
async fn servers_that_forgot_the_scripts_are_taught_them_again() {
    let servers = start::<3>();
    let locks = over(backend(&servers).await, LONG);
    for server in &servers {
        server.command(&["SCRIPT", "FLUSH"]);
    }
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    free_everywhere(&servers, "order:42").await;
}

/// A majority is heard by answers alone, so a proxy that refuses RESP3 does not matter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_needs_no_resp3() {
    let (servers, mut proxies) = (start::<3>(), Vec::new());
    for server in &servers {
        let say = |command: &[String]| match command[0].as_str() {
            "HELLO" => Fake::error("NOPROTO unsupported protocol version"),
            _ => Fake::Pass,
        };
        proxies.push(FakeRedis::before(server.address(), say).await.unwrap());
    }
    let urls = proxies.iter().map(FakeRedis::url);
    let backend = RedlockBackend::builder().servers(urls).build().await.unwrap();
    let mine = claim("order:42", LONG);
    try_acquire(&backend, &mine).await.unwrap();
    backend.renew(&mine).await.unwrap();
    backend.release(&mine).await.unwrap();
    assert!(servers.iter().all(|server| is_free(server, "order:42")));
}

/// What a server says of itself may be wrong. The caller can say that it is one by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_say_something_wrong_of_themselves_can_be_used() {
    let servers: [_; 3] = start();
    let info = "redis_version:7.2.4\r\nredis_mode:cluster\r\n";
    let say = move |command: &[String]| match command[0].as_str() {
        "HELLO" => Fake::error("NOPROTO no such protocol"),
        "INFO" => Fake::Answer(format!("${}\r\n{info}\r\n", info.len())),
        _ => Fake::Pass,
    };
    let mut proxies = Vec::new();
    for server in &servers {
        proxies.push(FakeRedis::before(server.address(), say).await.unwrap());
    }
    let hosts: Vec<_> = proxies.iter().map(|proxy| proxy.address().to_string()).collect();
    let url = format!("redlock://{}?connect_within=0s", hosts.join(","));
    let refused = RedlockBackend::builder().url(&url).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
    assert!(refused.to_string().contains("trust_url"), "{refused}");
    let by_setting = RedlockBackend::builder().url(&url).trust_url(true).build().await.unwrap();
    over(by_setting, LONG).lock("order:42").await.unwrap().release().await.unwrap();
    let by_url = LockManager::connect(&format!("{url}&trust_url=true")).await.unwrap();
    by_url.lock("order:42").await.unwrap().release().await.unwrap();
}
