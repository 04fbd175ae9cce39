//! Renewals: that fail, that come late, that end, and ten thousand of them.

use super::*;
use dlock_core::backend::BackendFuture;
use dlock_tests::{RespConnection, printed_seed};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// B40: after a partition the loss is signalled by the local deadline, and not by an answer: here the renewal
/// under way never ends, and the server would keep the lock for an hour.
#[tokio::test]
async fn a_partition_is_signalled_at_the_local_deadline() {
    let server = RedisServer::start();
    let (relay, backend) = relayed(&server, LONG).await;
    let guard = over(backend, BRIEF).lock("order:42").await.unwrap();
    relay.hold();
    server.command(&["PEXPIRE", "order:42", "3600000"]);
    wait_until_async("a renewal is under way", PATIENCE, async || relay.kept() > 0).await;
    assert_eq!(lost(&guard).await, LossReason::Expired);
    assert!(!guard.is_valid() && guard.remaining().is_zero());
    assert!(relay.kept() > 0, "no answer came");
    assert_ne!(holder(&server, "order:42"), "(nil)");
}

/// A backend that gives a lock up when its renewal fails.
#[derive(Debug)]
struct Hasty(RedisBackend);

impl Backend for Hasty {
    fn name(&self) -> &'static str {
        "hasty"
    }

    fn guarantees(&self) -> dlock_core::Guarantees {
        dlock_core::Guarantees::empty()
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        self.0.acquire(request)
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async move {
            let outcome = self.0.renew(claim).await;
            if outcome.is_err() {
                self.0.release(claim).await?;
            }
            outcome
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        self.0.release(claim)
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        self.0.exchange(held, wanted)
    }
}

/// B41, B42: a renewal that failed says nothing about the lease. It is tried again, and the lease goes on: at the
/// server, which was not asked to end it, and here. A backend that gives up at once loses it: the control.
#[tokio::test]
async fn a_renewal_that_failed_is_tried_again_and_harms_nothing() {
    for hasty in [false, true] {
        let server = RedisServer::start();
        let (relay, backend) = relayed(&server, Duration::from_millis(400)).await;
        let ttl = BRIEF * 5;
        let locks = if hasty { over(Hasty(backend), ttl) } else { over(backend, ttl) };
        let guard = locks.lock("order:42").await.unwrap();
        let (owner, ended) = (holder(&server, "order:42"), calls(&server, "del"));
        let first_deadline = Moment::now().after(guard.remaining());
        relay.hold();
        wait_until_async("a renewal is under way", PATIENCE, async || relay.kept() > 0).await;
        let is_settled =
            || !guard.is_valid() || Moment::now().after(guard.remaining()) > first_deadline.after(ttl / 10);
        wait_until_async("it goes on, or is over", PATIENCE, async || is_settled()).await;
        assert!(relay.kept() > 0, "the first renewal has failed");
        assert_eq!(guard.is_valid(), !hasty);
        assert_eq!(holder(&server, "order:42") == owner, !hasty);
        assert_eq!(calls(&server, "del") == ended, !hasty);
    }
}

/// B43: a renewal that was under way when its lock was released, and comes when another has it, prolongs nothing.
#[tokio::test]
async fn a_renewal_that_comes_after_the_release_prolongs_nothing() {
    let server = RedisServer::start();
    let (relay, behind) = relayed(&server, PATIENCE).await;
    let guard = over(behind, BRIEF * 5).lock("order:42").await.unwrap();
    let scripts = script_calls(&server);
    relay.hold();
    wait_until_async("a renewal is under way", PATIENCE, async || relay.kept() > 0).await;
    relay.cut();
    wait_until_async("it is repeated", PATIENCE, async || script_calls(&server) > scripts).await;
    guard.release().await.unwrap();
    let next = backend(&server).await;
    tried(&next, &claim("order:42")).await.unwrap();
    server.command(&["PEXPIRE", "order:42", "60000"]);
    let (owner, scripts) = (holder(&server, "order:42"), script_calls(&server));
    relay.let_go();
    wait_until_async("it has come", PATIENCE, async || script_calls(&server) > scripts).await;
    assert_eq!(holder(&server, "order:42"), owner);
    assert!((1..=60_000).contains(&left_ms(&server, "order:42")));
}

/// What the server is asked for, as it says it.
struct Heard(RespConnection);

impl Heard {
    fn from_now_on(server: &RedisServer) -> Self {
        let mut connection = server.connect();
        connection.send(&[["MONITOR"]]).unwrap();
        assert_eq!(connection.receive().unwrap(), "OK");
        Self(connection)
    }

    /// The keys of the next script that a client calls.
    fn next_keys(&mut self) -> Vec<String> {
        loop {
            let line = self.0.receive().unwrap();
            let words: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
            if let ["EVALSHA", _, number, rest @ ..] = &words[..] {
                return rest.iter().take(number.parse().unwrap()).map(|key| (*key).to_owned()).collect();
            }
        }
    }
}

/// B43, B45: a lock is no longer renewed once it is released, its guard is dropped, or its task panics. Another lock of
/// the same manager is still renewed, by requests of one key each, which no proxy and no cluster refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_was_given_back_is_not_renewed() {
    let server = RedisServer::start();
    let locks = brief_manager(&server).await;
    locks.lock("released").await.unwrap().release().await.unwrap();
    drop(locks.lock("dropped").await.unwrap());
    let guard = locks.lock("panicked").await.unwrap();
    let task = tokio::spawn(async move {
        let _guard = guard;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(task.await.unwrap_err().is_panic());
    let other = backend(&server).await;
    for key in ["released", "dropped", "panicked"] {
        let ask = AcquireRequest::new(claim(key), Mode::Wait);
        tokio::time::timeout(PATIENCE, other.acquire(&ask)).await.expect("it is free").unwrap();
    }
    let _guard = locks.lock("kept").await.unwrap();
    let mut heard = Heard::from_now_on(&server);
    for _ in 0..3 {
        assert_eq!(heard.next_keys(), ["kept"]);
    }
}

/// B44: a lock is renewed even if an earlier one of the same manager on the same key was lost, and even if another
/// lock's renewal fails all the time.
#[tokio::test]
async fn a_lock_is_renewed_after_an_earlier_one_on_its_key_was_lost() {
    let server = RedisServer::start();
    let locks = brief_manager(&server).await;
    let failing = locks.lock("order:43").await.unwrap();
    server.command(&["DEL", "order:43"]);
    server.command(&["HSET", "order:43", "field", "1"]);
    let lost_one = locks.lock("order:42").await.unwrap();
    server.command(&["DEL", "order:42"]);
    let next = locks.lock("order:42").await.unwrap();
    assert_eq!(lost(&lost_one).await, LossReason::NotOwner);
    assert_eq!(lost(&failing).await, LossReason::Expired);
    dlock_core::sleep_until(Moment::now().after(next.remaining())).await;
    assert!(next.is_valid());
    next.release().await.unwrap();
}

/// B45: ten thousand locks are held, and renewed, over the keeper's one connection. One of them fails at each renewal, and
/// delays no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_locks_are_renewed_over_one_connection() {
    const LOCKS: usize = 10_000;
    let server = RedisServer::start();
    // Of which a third passes.
    let locks = over(backend(&server).await, Duration::from_secs(12));
    let mut guards = Vec::with_capacity(LOCKS);
    for batch in 0..LOCKS / 500 {
        let names = (0..500).map(|at| format!("order:{}", batch * 500 + at));
        let asked: Vec<_> = names.map(|name| tokio::spawn(locks.lock(name).acquire())).collect();
        for granted in asked {
            guards.push(granted.await.unwrap().unwrap());
        }
    }
    let spoilt = guards.remove(0);
    server.command(&["DEL", "order:0"]);
    server.command(&["HSET", "order:0", "field", "1"]);
    let connections = server.command(&["CLIENT", "LIST"]).lines().count();
    assert!(connections <= 3, "the keeper's, this runtime's, and that of the question: {connections}");
    let deadline = |guard: &LockGuard| Moment::now().after(guard.remaining());
    let mut waiting: Vec<_> = guards.iter().map(|guard| (guard, deadline(guard).after(BRIEF))).collect();
    let renewed = async || {
        waiting.retain(|(guard, first)| deadline(guard) < *first);
        waiting.is_empty()
    };
    wait_until_async("all of them are renewed", PATIENCE, renewed).await;
    assert!(guards.iter().all(LockGuard::is_valid));
    assert!(errors(&server, "WRONGTYPE") >= 1, "and the one has failed");
    assert!(spoilt.is_valid(), "which says nothing about its lease");
}

/// B50: the one thread of a runtime is blocked for longer than a lease: the keeper renews meanwhile, and another process
/// does not get the lock.
#[test]
fn a_blocked_runtime_keeps_its_locks() {
    let server = RedisServer::start();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime().block_on(async {
        let guard = brief_manager(&server).await.lock("order:42").await.unwrap();
        let refused = std::thread::scope(|scope| {
            let other = async {
                let locks = LockManager::builder(backend(&server).await).wait(BRIEF * 2).build().unwrap();
                locks.lock("order:42").await.unwrap_err().kind()
            };
            scope.spawn(move || runtime().block_on(other)).join().unwrap()
        });
        assert_eq!(refused, ErrorKind::Busy);
        assert!(guard.is_valid());
        guard.release().await.unwrap();
    });
}

/// Whether a lease at the server is one of this length.
fn is_within(server: &RedisServer, key: &str, ttl: Duration) -> bool {
    u128::try_from(left_ms(server, key)).is_ok_and(|left| left > 0 && left <= ttl.as_millis())
}

/// B64: however often a lease is asked for and renewed, the server keeps it for its ttl at most, and its owner
/// believes in it for no longer than the server keeps it. Had a unit been mistaken, the server would keep it
/// longer: the control.
#[test]
fn a_lease_never_grows() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (server, backend) = (shared_redis(), runtime.block_on(backend(shared_redis())));
    let rng_seed = RngSeed::Fixed(printed_seed());
    let config = Config { cases: 30, failure_persistence: None, rng_seed, ..Config::default() };
    let cases = (5_000_000u64..86_400_000_000, prop::collection::vec(any::<bool>(), 1..6));
    let outcome = TestRunner::new(config).run(&cases, |(micros, renewals)| {
        runtime.block_on(async {
            let (key, ttl) = (fresh_key("lease"), Duration::from_micros(micros));
            let mine = claim_for(&key, ttl);
            let mut valid_until = tried(&backend, &mine).await.unwrap().valid_until;
            for renews in renewals {
                prop_assert!(is_within(server, &key, ttl), "{}", left_ms(server, &key));
                let left = Duration::from_millis(left_ms(server, &key).unsigned_abs());
                prop_assert!(valid_until <= Moment::now().after(left + Duration::from_millis(1)));
                valid_until = match renews {
                    true => backend.renew(&mine).await.unwrap(),
                    false => tried(&backend, &mine).await.unwrap().valid_until,
                };
            }
            server.command(&["EXPIRE", &key, &ttl.as_millis().to_string()]);
            prop_assert!(!is_within(server, &key, ttl), "the control");
            Ok(())
        })
    });
    outcome.unwrap();
}
