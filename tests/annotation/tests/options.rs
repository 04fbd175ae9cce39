//! What the options change, and what happens when a lock is asked for from inside.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

use dlock_core::{
    EmbeddedBackend, ErrorKind, LockError, LockGuard, LockKey, LockManager, TestClock, assert_locked,
    distributed_lock, with_locks,
};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn manager(store: &EmbeddedBackend) -> LockManager {
    LockManager::builder(store.clone()).build().unwrap()
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Done,
    Skipped(String),
}

#[distributed_lock("report", locks = locks, wait = "0s", on_busy = Ok(Outcome::Skipped(name)))]
async fn report(locks: &LockManager, name: String) -> Result<Outcome, LockError> {
    drop(name);
    Ok(Outcome::Done)
}

#[tokio::test]
async fn on_busy_is_the_output_and_may_use_the_parameters() {
    let locks = manager(&EmbeddedBackend::new());
    assert_eq!(report(&locks, "a".to_owned()).await.unwrap(), Outcome::Done);
    let _held = locks.lock("report").await.unwrap();
    assert_eq!(report(&locks, "a".to_owned()).await.unwrap(), Outcome::Skipped("a".to_owned()));
}

/// The key of an annotation is one of its manager, and is known in its body without the namespace.
#[tokio::test]
async fn annotations_go_by_the_namespace_of_their_manager() {
    #[distributed_lock("order:{id}", locks = locks, wait = "0s")]
    async fn settle(locks: &LockManager, id: u64) -> Result<(), LockError> {
        assert_locked!("order:{id}");
        Ok(())
    }
    let store = EmbeddedBackend::new();
    let shop = LockManager::builder(store.clone()).namespace("shop:").build().unwrap();
    let bare = manager(&store);
    let _other = bare.lock("order:42").await.unwrap();
    settle(&shop, 42).await.unwrap();
    let _held = bare.lock("shop:order:42").await.unwrap();
    let busy = settle(&shop, 42).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    assert!(busy.to_string().starts_with("acquire \"order:42\" in \"shop:\" on embedded"), "{busy}");
}

#[tokio::test]
async fn on_busy_is_not_for_other_errors() {
    let locks = manager(&EmbeddedBackend::new());
    let again = locks.run("report", report(&locks, String::new())).await.unwrap();
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Reentrant);
    locks.close();
    assert_eq!(report(&locks, String::new()).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[distributed_lock("timed", locks = locks, ttl = ttl, wait = wait)]
async fn timed(locks: &LockManager, ttl: Duration, wait: Duration) -> Result<(), LockError> {
    Ok(())
}

#[tokio::test]
async fn durations_that_are_computed_are_checked_when_the_function_is_called() {
    let (locks, lease) = (manager(&EmbeddedBackend::new()), Duration::from_secs(30));
    for span in [Duration::ZERO, Duration::MAX] {
        timed(&locks, lease, span).await.unwrap();
        let refused = timed(&locks, span, Duration::ZERO).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
    }
}

/// Not `From<LockError>`.
#[derive(Debug, PartialEq)]
struct Mapped(ErrorKind);

#[distributed_lock(key = key, locks = locks, wait = "0s", map_err = |error| Mapped(error.kind()), guard = lock)]
async fn mapped(locks: &LockManager, key: &str, end: impl AsyncFnOnce(&LockGuard)) -> Result<(), Mapped> {
    end(lock).await;
    Ok(())
}

#[tokio::test]
async fn map_err_makes_every_error() {
    let locks = manager(&EmbeddedBackend::new());
    assert_eq!(mapped(&locks, "", async |_| ()).await, Err(Mapped(ErrorKind::InvalidKey)));
    let held = locks.lock("k").await.unwrap();
    assert_eq!(mapped(&locks, "k", async |_| ()).await, Err(Mapped(ErrorKind::Busy)));
    held.release().await.unwrap();
    let loses = async |_: &LockGuard| {
        locks.shutdown().await.unwrap();
        tokio::task::yield_now().await;
    };
    assert_eq!(mapped(&locks, "k", loses).await, Err(Mapped(ErrorKind::Lost)));
    assert_eq!(mapped(&locks, "k", async |_| ()).await, Err(Mapped(ErrorKind::Closed)));
}

#[distributed_lock("k", locks = locks, on_lost = "finish", guard = lock)]
async fn finishes(locks: &LockManager) -> Result<bool, LockError> {
    locks.shutdown().await.unwrap();
    tokio::task::yield_now().await;
    Ok(lock.is_valid())
}

#[tokio::test]
async fn work_that_is_to_finish_does_and_a_warning_says_so() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _default = tracing::subscriber::set_default(subscriber);
    // While there is only one subscriber, an event that another test's thread is the first to reach is off for good.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    assert!(!finishes(&manager(&EmbeddedBackend::new())).await.unwrap(), "the lock was lost");
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("the lock was lost while the work ran"), "{text}");
}

/// Blocks past its lease and never awaits.
#[distributed_lock("k", locks = locks)]
async fn outlives_its_lock(locks: &LockManager, clock: &TestClock) -> Result<u8, LockError> {
    clock.advance(Duration::from_secs(31));
    Ok(7)
}

#[distributed_lock("k", locks = locks, on_lost = "finish")]
async fn outlives_its_lock_and_finishes(locks: &LockManager, clock: &TestClock) -> Result<u8, LockError> {
    clock.advance(Duration::from_secs(31));
    Ok(7)
}

#[tokio::test]
async fn a_body_that_blocks_past_its_lease_is_not_believed_unless_it_is_to_finish() {
    let clock = TestClock::new();
    let backend = EmbeddedBackend::with_clock(clock.clone());
    let locks = LockManager::builder(backend).ttl(Duration::from_secs(30)).build().unwrap();
    assert_eq!(outlives_its_lock(&locks, &clock).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(outlives_its_lock_and_finishes(&locks, &clock).await.unwrap(), 7);
    let late = async || clock.advance(Duration::from_secs(31));
    assert_eq!(locks.run("k", late()).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(locks.lock("k").run(async |_| late().await).await.unwrap_err().kind(), ErrorKind::Lost);
    let guard = locks.lock("k").await.unwrap();
    assert_eq!(guard.run(late()).await.unwrap_err().kind(), ErrorKind::Lost);
}

#[distributed_lock("k", locks = locks, max_hold = "10m")]
async fn hangs(locks: &LockManager, clock: &TestClock) -> Result<u8, LockError> {
    clock.advance(Duration::from_secs(600));
    std::future::pending().await
}

#[distributed_lock("k", locks = locks, max_hold = limit)]
async fn holds_for(locks: &LockManager, limit: Duration) -> Result<u8, LockError> {
    Ok(7)
}

#[tokio::test]
async fn a_body_is_dropped_when_it_has_held_its_lock_for_too_long() {
    let clock = TestClock::new();
    let backend = EmbeddedBackend::with_clock(clock.clone());
    let locks = LockManager::builder(backend).ttl(Duration::from_secs(3_600)).build().unwrap();
    let error = hangs(&locks, &clock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert!(error.to_string().contains("held for its max_hold"), "{error}");
    assert!(locks.lock("k").try_acquire().await.unwrap().is_some(), "its guard was dropped");
    assert_eq!(holds_for(&locks, Duration::MAX).await.unwrap(), 7);
    assert_eq!(holds_for(&locks, Duration::ZERO).await.unwrap_err().kind(), ErrorKind::InvalidOption);
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[distributed_lock("k", locks = locks, release = "detach")]
async fn detached(locks: &LockManager) -> Result<Rc<u8>, Box<dyn std::error::Error>> {
    tokio::task::yield_now().await;
    Ok(Rc::new(7))
}

#[tokio::test]
async fn a_detached_release_lets_the_output_be_of_one_thread() {
    fn is_sent<T: Send>(future: T) -> T {
        future
    }
    let store = EmbeddedBackend::new();
    let locks = manager(&store);
    assert_eq!(*is_sent(detached(&locks)).await.unwrap(), 7);
    locks.lock("k").await.unwrap().release().await.unwrap();
    assert!(store.is_empty());
}

struct Order(&'static str);

impl Order {
    fn lock_key(&self) -> Result<LockKey, LockError> {
        LockKey::new(self.0)
    }
}

#[distributed_lock(key = order.lock_key(), locks = locks, guard = lock)]
async fn of_result(locks: &LockManager, order: &Order) -> Result<LockKey, LockError> {
    Ok(lock.key().clone())
}

#[distributed_lock(key = format!("order:{}", order.0), locks = locks, guard = lock)]
async fn of_text(locks: &LockManager, order: Order) -> Result<LockKey, LockError> {
    Ok(lock.key().clone())
}

#[distributed_lock(key = &key, locks = locks, guard = lock)]
async fn of_key(locks: &LockManager, key: LockKey) -> Result<LockKey, LockError> {
    Ok(lock.key().clone())
}

#[tokio::test]
async fn a_computed_key_is_a_key_or_text_or_a_result() {
    let locks = manager(&EmbeddedBackend::new());
    let key = |text: &str| LockKey::new(text).unwrap();
    assert_eq!(of_result(&locks, &Order("a")).await.unwrap(), key("a"));
    assert_eq!(of_result(&locks, &Order("")).await.unwrap_err().kind(), ErrorKind::InvalidKey);
    assert_eq!(of_text(&locks, Order("a")).await.unwrap(), key("order:a"));
    assert_eq!(of_key(&locks, key("b")).await.unwrap(), key("b"));
}

#[distributed_lock("count:{id}", locks = locks)]
async fn counts_down(locks: &LockManager, id: u8, depth: u8) -> Result<u8, LockError> {
    if depth == 0 {
        return Ok(id);
    }
    Box::pin(counts_down(locks, id, depth - 1)).await
}

#[distributed_lock("outer", locks = locks)]
async fn nests(locks: &LockManager) -> Result<u8, LockError> {
    counts_down(locks, 1, 0).await?;
    let (one, other) = tokio::join!(counts_down(locks, 2, 0), counts_down(locks, 2, 0));
    Ok(one? + other?)
}

#[tokio::test]
async fn a_call_of_itself_with_its_key_is_an_error_at_once() {
    let store = EmbeddedBackend::new();
    let locks = manager(&store);
    assert_eq!(counts_down(&locks, 1, 0).await.unwrap(), 1);
    assert_eq!(counts_down(&locks, 1, 3).await.unwrap_err().kind(), ErrorKind::Reentrant);
    assert_eq!(nests(&locks).await.unwrap(), 4, "other keys nest, and siblings take turns");
    assert!(store.is_empty());
}

#[distributed_lock("spawns", locks = locks)]
async fn spawns(locks: &LockManager) -> Result<tokio::task::JoinHandle<Result<u8, LockError>>, LockError> {
    let inner = locks.clone();
    Ok(tokio::spawn(async move { waits(&inner).await }))
}

#[distributed_lock("spawns", locks = locks)]
async fn waits(locks: &LockManager) -> Result<u8, LockError> {
    Ok(7)
}

#[tokio::test]
async fn what_the_body_spawns_waits_for_the_lock() {
    let locks = manager(&EmbeddedBackend::new());
    assert_eq!(spawns(&locks).await.unwrap().await.unwrap().unwrap(), 7);
}

#[distributed_lock("k", wait = "0s")]
async fn unnamed() -> Result<(), LockError> {
    Ok(())
}

#[distributed_lock("k", wait = "0s", locks = locks)]
async fn named(locks: &LockManager) -> Result<(), LockError> {
    Ok(())
}

/// A manager is known by what is busy there. This test alone installs one.
#[tokio::test]
async fn the_manager_named_comes_before_the_one_around_and_that_before_the_installed() {
    let kind = |result: Result<(), LockError>| result.map_err(|error| error.kind());
    let [named_here, around, installed] = std::array::from_fn(|_| manager(&EmbeddedBackend::new()));
    assert_eq!(kind(unnamed().await), Err(ErrorKind::NotConfigured));
    LockManager::install(installed.clone());
    let held = installed.lock("k").await.unwrap();
    assert_eq!(kind(unnamed().await), Err(ErrorKind::Busy));
    assert_eq!(kind(with_locks(around.clone(), unnamed()).await), Ok(()));
    drop(held);
    let _held = around.lock("k").await.unwrap();
    assert_eq!(kind(with_locks(around.clone(), unnamed()).await), Err(ErrorKind::Busy));
    assert_eq!(kind(with_locks(around.clone(), named(&named_here)).await), Ok(()));
}

/// Two calls that take two keys crosswise, in two tasks.
#[distributed_lock("{first}", locks = locks, wait = "5ms")]
async fn crosses(
    locks: &LockManager,
    first: &str,
    second: &str,
    both: &tokio::sync::Barrier,
) -> Result<(), LockError> {
    both.wait().await;
    report_on(locks, second).await
}

#[distributed_lock("{key}", locks = locks, wait = "5ms")]
async fn report_on(locks: &LockManager, key: &str) -> Result<(), LockError> {
    Ok(())
}

#[tokio::test]
async fn keys_taken_crosswise_end_as_busy() {
    let (store, both) = (EmbeddedBackend::new(), tokio::sync::Barrier::new(2));
    let locks = manager(&store);
    let (one, other) = tokio::join!(crosses(&locks, "a", "b", &both), crosses(&locks, "b", "a", &both));
    let kinds = [one, other].map(|result| result.map_err(|error| error.kind()));
    assert!(kinds.contains(&Err(ErrorKind::Busy)), "{kinds:?}");
    for key in ["a", "b"] {
        locks.lock(key).await.unwrap().release().await.unwrap();
    }
    assert!(store.is_empty());
}

struct Shelf {
    number: u8,
}

impl Shelf {
    fn fill(&self, row: &str) {
        assert_locked!("shelf:{self.number}/{row}");
    }
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn an_assertion_knows_the_lock_that_is_held() {
    let locks = manager(&EmbeddedBackend::new());
    let shelf = Shelf { number: 7 };
    let fails = |step: &dyn Fn()| {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)).unwrap_err();
        panicked.downcast::<String>().map(|text| *text).unwrap()
    };
    let key = "shelf:7/a%3Ab";
    locks.run(key, async { shelf.fill("a:b") }).await.unwrap();
    let other = locks.run("shelf:8/a", async { fails(&|| shelf.fill("a")) }).await.unwrap();
    assert_eq!(other, "the lock on \"shelf:7/a\" is not held here");
    assert!(fails(&|| shelf.fill("")).contains("is empty"));
    let guard = locks.lock(key).await.unwrap();
    let scope = guard.scope();
    scope.enter(|| {
        let text: &str = key;
        assert_locked!(text);
        assert_locked!(guard.key(),);
    });
    guard.release().await.unwrap();
    scope.enter(|| fails(&|| shelf.fill("a:b")));
}
