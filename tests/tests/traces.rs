//! What the locks tell `tracing`: a span per acquire and per hold, events for what goes wrong, no secrets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

use dlock_core::backend::redis::Recipe;
use dlock_core::backend::{AcquireRequest, BackendFuture, Claim, Grant, LossSignal};
use dlock_core::testing::Tap;
use dlock_core::{
    Backend, EmbeddedBackend, ErrorKind, LockManager, LossReason, Moment, RedisBackend, TestClock, Ttl,
    ZooKeeperBackend,
};
use dlock_tests::{RedisKind, RedisServer, fresh_key, shared_zookeeper, wait_until_async};
use std::io;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Everything that was told, as lines of text.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Told {
    /// Listens to this thread until the guard goes.
    fn listen() -> (Self, DefaultGuard) {
        // While there is only one subscriber, an event that another test's thread is the first to reach is off for good.
        static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));
        LazyLock::force(&SECOND);
        let told = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::CLOSE)
            .with_ansi(false)
            .with_writer(told.clone())
            .finish();
        (told, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines that hold all of `parts`.
    fn lines_with(&self, parts: &[&str]) -> usize {
        self.text().lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }
}

impl io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Told {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn an_acquire_and_a_hold_are_a_span_each() {
    let (told, _listening) = Told::listen();
    let locks = LockManager::builder(EmbeddedBackend::new()).build().unwrap();
    let guard = locks.lock("order:42").await.unwrap();
    let token = format!("token={}", guard.token());
    assert!(locks.lock("order:42").try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    let about = ["key=order:42", "backend=\"embedded\""];
    let acquire = |outcome| [&about[..], &["dlock.acquire", "waited_ms=", outcome]].concat();
    assert_eq!(
        told.lines_with(&[&acquire("outcome=\"granted\"")[..], &[&token]].concat()),
        1,
        "{}",
        told.text()
    );
    assert_eq!(told.lines_with(&acquire("outcome=Busy")), 1, "{}", told.text());
    assert_eq!(told.lines_with(&[&about[..], &["dlock.hold", &token]].concat()), 1, "{}", told.text());
}

/// The key is told as the caller named it, and the namespace beside it.
#[tokio::test]
async fn what_is_told_of_a_key_names_its_namespace() {
    let (told, _listening) = Told::listen();
    let clock = TestClock::new();
    let builder = LockManager::builder(EmbeddedBackend::with_clock(clock.clone())).ttl(Ttl::MIN);
    let locks = builder.namespace("shop:").build().unwrap();
    let guard = locks.lock("order:42").await.unwrap();
    clock.advance(Ttl::MIN);
    let lost = guard.release().await.unwrap_err();
    assert!(lost.to_string().starts_with("release \"order:42\" in \"shop:\" on embedded: "), "{lost}");
    for what in ["dlock.acquire", "dlock.hold", "lock lost"] {
        let lines = told.lines_with(&[what, "key=order:42", "namespace=shop:"]);
        assert!(lines >= 1, "{what}: {}", told.text());
    }
}

#[tokio::test]
async fn a_failed_renewal_and_a_lost_lock_are_events() {
    let (told, _listening) = Told::listen();
    let tap = Tap::new(Arc::new(EmbeddedBackend::new()));
    let locks = LockManager::builder(Arc::clone(&tap)).ttl(Duration::from_millis(300)).build().unwrap();
    let guard = locks.lock("order:42").await.unwrap();
    tap.cut();
    guard.lost().await;
    let lost = async || told.lines_with(&["ERROR", "lock lost", "order:42"]) == 1;
    wait_until_async("the loss is told", Duration::from_secs(30), lost).await;
    assert!(told.lines_with(&["WARN", "renewal failed", "order:42"]) >= 1, "{}", told.text());
}

#[tokio::test]
async fn a_lock_that_is_held_too_long_is_an_event_with_its_reason() {
    let (told, _listening) = Told::listen();
    let locks = LockManager::builder(EmbeddedBackend::new()).max_hold(Duration::from_millis(10)).build();
    let _guard = locks.unwrap().lock("order:42").await.unwrap();
    let lost = async || told.lines_with(&["ERROR", "lock lost", "order:42", "held for its max_hold"]) == 1;
    wait_until_async("the loss is told", Duration::from_secs(30), lost).await;
}

/// No renewal looks at the lease yet: it is not due.
#[tokio::test]
async fn a_loss_that_the_backend_tells_of_is_an_event_at_once() {
    let (told, _listening) = Told::listen();
    let backend = Telling::default();
    let locks = LockManager::builder(backend.clone()).ttl(Ttl::MAX).build().unwrap();
    let guard = locks.lock("order:42").await.unwrap();
    let loss = backend.0.lock().unwrap().take().unwrap();
    loss.lose(LossReason::NotOwner);
    let lost = ["ERROR", "lock lost", "key=order:42", "backend=\"telling\""];
    assert_eq!(told.lines_with(&lost), 1, "{}", told.text());
    loss.lose(LossReason::SessionExpired);
    assert_eq!(guard.lost().await, LossReason::NotOwner);
    let _ = guard.release().await;
    assert_eq!(told.lines_with(&["lock lost"]), 1, "once, {}", told.text());
}

/// A lock that its holder gives back is not lost, and one whose time had passed by then is.
#[tokio::test]
async fn a_release_is_no_loss_unless_it_comes_too_late() {
    let (told, _listening) = Told::listen();
    let clock = TestClock::new();
    let locks =
        LockManager::builder(EmbeddedBackend::with_clock(clock.clone())).ttl(Ttl::MIN).build().unwrap();
    locks.lock("in time").await.unwrap().release().await.unwrap();
    assert_eq!(told.lines_with(&["lock lost"]), 0, "{}", told.text());
    let guard = locks.lock("too late").await.unwrap();
    clock.advance(Ttl::MIN);
    drop(guard);
    assert_eq!(told.lines_with(&["ERROR", "lock lost", "too late"]), 1, "{}", told.text());
}

/// Once for each wait, and not for a wait behind permits under the same number.
#[tokio::test]
async fn permits_that_wait_for_another_number_are_an_event() {
    let (told, _listening) = Told::listen();
    let clock = TestClock::new();
    let locks = LockManager::builder(EmbeddedBackend::with_clock(clock.clone())).build().unwrap();
    let held = locks.semaphore("workers", 1).acquire().await.unwrap();
    let waiting = [1, 5].map(|number| tokio::spawn(locks.semaphore("workers", number).acquire().acquire()));
    let patience = Duration::from_secs(30);
    let both = async || locks.inspect("workers").await.unwrap().waiters.len() == 2;
    wait_until_async("both wait", patience, both).await;
    for _ in 0..4 {
        clock.advance(Duration::from_secs(4));
        let renewed = async || held.remaining() > Duration::from_secs(20);
        wait_until_async("it is renewed", patience, renewed).await;
    }
    wait_until_async("it is told", patience, async || told.lines_with(&["another number"]) > 0).await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    let text = told.text();
    assert_eq!(told.lines_with(&["WARN", "another number", "workers", "permits=5", "others=1"]), 1, "{text}");
    assert_eq!(told.lines_with(&["WARN", "another number"]), 1, "{text}");
}

/// An embedded backend that keeps its last signal.
#[derive(Debug, Clone, Default)]
struct Telling(Arc<Mutex<Option<LossSignal>>>, EmbeddedBackend);

impl Backend for Telling {
    fn name(&self) -> &'static str {
        "telling"
    }

    fn guarantees(&self) -> dlock_core::Guarantees {
        dlock_core::Guarantees::empty()
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        *self.0.lock().unwrap() = Some(request.loss());
        self.1.acquire(request)
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        self.1.renew(claim)
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        self.1.release(claim)
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        self.1.exchange(held, wanted)
    }
}

#[tokio::test]
async fn a_reconnect_is_an_event_and_no_line_holds_a_secret() {
    let (told, _listening) = Told::listen();
    let mut server = RedisServer::builder().password("marker-secret").start();
    let url = server.url().replace("redis://", "redis://:marker-secret@");
    let locks =
        LockManager::builder(RedisBackend::builder().url(&url).build().await.unwrap()).build().unwrap();
    let guard = locks.lock("order:42").await.unwrap();
    server.kill();
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(told.lines_with(&["WARN", "connecting failed"]) >= 1, "{}", told.text());
    server.restart();
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    assert_eq!(told.lines_with(&["INFO", "reconnected"]), 1, "{}", told.text());
    let owner_id_or_secret = ["marker-secret", "dl2|"];
    for secret in owner_id_or_secret {
        assert!(!told.text().contains(secret), "{}", told.text());
    }
}

#[tokio::test]
async fn a_server_that_may_evict_locks_is_warned_of() {
    for (policy, warnings) in [("allkeys-lru", 1), ("noeviction", 0)] {
        let server = RedisServer::builder()
            .config("maxmemory 100mb")
            .config(&format!("maxmemory-policy {policy}"))
            .start();
        let (told, _listening) = Told::listen();
        RedisBackend::builder().url(server.url()).build().await.unwrap();
        assert_eq!(told.lines_with(&["WARN", "may evict locks", policy]), warnings, "{}", told.text());
    }
}

#[tokio::test]
async fn an_old_server_that_demands_replicas_is_warned_of() {
    for (kind, warnings) in [(RedisKind::Redis62, 1), (RedisKind::Redis82, 0)] {
        let server = RedisServer::builder().kind(kind).config("min-replicas-to-write 1").start();
        let (told, _listening) = Told::listen();
        // On the newer one the scripts that are tried out are refused.
        let _ = RedisBackend::builder().url(server.url()).build().await;
        assert_eq!(told.lines_with(&["WARN", "cut off from its replicas"]), warnings, "{}", told.text());
    }
}

#[tokio::test]
async fn an_account_that_may_not_ask_for_subscribers_is_warned_of() {
    for (rights, warnings) in [("+@all -pubsub", 1), ("+@all", 0)] {
        let server = RedisServer::builder().config(&format!("user default on nopass ~* &* {rights}")).start();
        let (told, _listening) = Told::listen();
        RedisBackend::builder().url(server.url()).build().await.unwrap();
        assert_eq!(told.lines_with(&["WARN", "may not ask for subscribers"]), warnings, "{}", told.text());
    }
}

#[tokio::test]
async fn a_server_that_does_not_say_what_it_is_is_warned_of() {
    for (rights, warnings) in [("+@all -info", 1), ("+@all", 0)] {
        let server = RedisServer::builder().config(&format!("user default on nopass ~* &* {rights}")).start();
        let (told, _listening) = Told::listen();
        RedisBackend::builder().url(server.url()).build().await.unwrap();
        assert_eq!(told.lines_with(&["WARN", "does not say what it is"]), warnings, "{}", told.text());
    }
}

#[tokio::test]
async fn a_server_that_says_something_else_than_a_trusted_url_is_warned_of() {
    let server = RedisServer::builder().config("cluster-enabled yes").start();
    let (told, _listening) = Told::listen();
    let builder = RedisBackend::builder().url(server.url()).recipe(Recipe::Plain).trust_url(true);
    builder.build().await.unwrap();
    assert_eq!(told.lines_with(&["WARN", "not what the URL says", "cluster"]), 1, "{}", told.text());
}

/// A reader of Curator is no contender here, nor for Curator's own lock.
#[tokio::test]
async fn nodes_that_are_no_locks_are_warned_of_once() {
    let (hosts, key) = (shared_zookeeper().hosts(), fresh_key("strangers"));
    let client = zookeeper::Client::connect(&hosts).await.unwrap();
    let directory = zookeeper::CreateMode::Persistent.with_acls(zookeeper::Acls::anyone_all());
    client.mkdir(&format!("/locks/{key}/_c_1-__READ__0000000000"), &directory).await.unwrap();
    let (told, _listening) = Told::listen();
    let locks = LockManager::builder(ZooKeeperBackend::builder().hosts(&hosts).build().await.unwrap())
        .build()
        .unwrap();
    for _ in 0..2 {
        locks.lock(&key).await.unwrap().release().await.unwrap();
    }
    assert_eq!(told.lines_with(&["WARN", "no known client makes"]), 1, "{}", told.text());
}

/// A request that is not awaited asks for nothing.
#[tokio::test]
async fn a_request_that_is_not_awaited_is_told() {
    let (told, _listening) = Told::listen();
    let locks = LockManager::builder(EmbeddedBackend::new()).build().unwrap();
    drop(locks.lock("forgotten"));
    drop(locks.lock("unpolled").wait(Duration::ZERO).acquire());
    locks.lock("asked").await.unwrap().release().await.unwrap();
    let dropped = ["DEBUG", "dropped before it was awaited"];
    assert_eq!(told.lines_with(&dropped), 2, "{}", told.text());
    assert_eq!(told.lines_with(&["DEBUG", "awaited", "key=forgotten"]), 1, "{}", told.text());
}
