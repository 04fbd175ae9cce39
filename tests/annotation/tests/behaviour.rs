//! What a function under a lock does at run time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

use dlock_core::{EmbeddedBackend, ErrorKind, LockError, LockManager, distributed_lock};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// After this, what was to happen is taken not to happen.
const PATIENCE: Duration = Duration::from_secs(30);

struct Stage {
    store: EmbeddedBackend,
    locks: LockManager,
    other: LockManager,
}

impl Stage {
    fn new() -> Self {
        let store = EmbeddedBackend::new();
        let manager = || LockManager::builder(store.clone()).build().unwrap();
        Self { locks: manager(), other: manager(), store }
    }

    async fn is_held(&self, key: &str) -> bool {
        self.other.lock(key).try_acquire().await.unwrap().is_none()
    }

    /// Waits until no lock is held or waited for.
    async fn emptied(&self) {
        let empty = async {
            while !self.store.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, empty).await.unwrap();
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[distributed_lock("order:{order}", locks = locks, wait = "0s", guard = lock)]
async fn key_of(locks: &LockManager, order: &str) -> Result<String, LockError> {
    Ok(String::from_utf8(lock.key().as_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn the_key_is_made_of_escaped_values() {
    let stage = Stage::new();
    for (value, key) in
        [("42", "order:42"), ("a:b", "order:a%3Ab"), ("a b%", "order:a%20b%25"), ("\u{fc}", "order:\u{fc}")]
    {
        assert_eq!(key_of(&stage.locks, value).await.unwrap(), key);
    }
}

struct Order {
    id: u64,
    parts: (u8, (u8, &'static str)),
}

impl Order {
    fn owner(&self) -> String {
        format!("owner/{}", self.id)
    }

    #[distributed_lock("o:{self.id}:{self.parts.1.1}/{self.owner()}", locks = locks, guard = lock)]
    async fn of_self(&self, locks: &LockManager) -> Result<String, LockError> {
        Ok(lock.key().to_string())
    }
}

#[distributed_lock("{{o}}:{order.id}:{order.parts.0}/{order.owner().len()}/{ id }", locks = locks, guard = lock)]
async fn of_parameters(locks: &LockManager, order: &Order, (id, _): (u8, u8)) -> Result<String, LockError> {
    Ok(lock.key().to_string())
}

#[tokio::test]
async fn a_placeholder_is_a_parameter_a_field_a_member_or_a_method() {
    let (stage, order) = (Stage::new(), Order { id: 42, parts: (7, (8, "x:y")) });
    assert_eq!(order.of_self(&stage.locks).await.unwrap(), "o:42:x%3Ay/owner%2F42");
    assert_eq!(of_parameters(&stage.locks, &order, (9, 0)).await.unwrap(), "{o}:42:7/8/9");
}

#[distributed_lock("{a}:{b}", locks = locks, guard = lock)]
async fn pair(locks: &LockManager, a: &str, b: &str) -> Result<dlock_core::LockKey, LockError> {
    Ok(lock.key().clone())
}

#[tokio::test]
async fn different_values_are_different_keys() {
    let stage = Stage::new();
    assert_ne!(pair(&stage.locks, "a:b", "c").await.unwrap(), pair(&stage.locks, "a", "b:c").await.unwrap());
}

#[tokio::test]
async fn an_empty_value_is_refused() {
    let refused = key_of(&Stage::new().locks, "").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidKey, "{refused}");
}

#[tokio::test]
async fn a_value_that_makes_the_key_too_long_is_refused() {
    let (stage, most) = (Stage::new(), dlock_core::LockKey::MAX_LEN - "order:".len());
    assert_eq!(key_of(&stage.locks, &"a".repeat(most)).await.unwrap().len(), most + "order:".len());
    // One that is as long by itself, and is longer when escaped.
    for long in ["a".repeat(most + 1), "a".repeat(most - 1) + ":"] {
        assert_eq!(key_of(&stage.locks, &long).await.unwrap_err().kind(), ErrorKind::InvalidKey);
    }
}

#[distributed_lock("order:{order}", locks = locks, wait = "0s", guard = lock)]
async fn changes_its_argument(locks: &LockManager, mut order: String) -> Result<(String, String), LockError> {
    order.push_str(" changed");
    Ok((order, lock.key().to_string()))
}

#[tokio::test]
async fn the_key_is_that_of_the_call() {
    let stage = Stage::new();
    let (order, key) = changes_its_argument(&stage.locks, "42".to_owned()).await.unwrap();
    assert_eq!((order.as_str(), key.as_str()), ("42 changed", "order:42"));
    assert!(stage.store.is_empty(), "released under the same key");
}

#[derive(Debug)]
struct Converted(ErrorKind);

impl From<LockError> for Converted {
    fn from(error: LockError) -> Self {
        Self(error.kind())
    }
}

#[distributed_lock("order", locks = locks, wait = "0s")]
async fn counts(locks: &LockManager, runs: &AtomicU32) -> Result<u32, Converted> {
    Ok(runs.fetch_add(1, Ordering::SeqCst))
}

#[tokio::test]
async fn the_body_does_not_run_without_the_lock_and_the_error_is_converted() {
    let (stage, runs) = (Stage::new(), AtomicU32::new(0));
    let guard = stage.other.lock("order").await.unwrap();
    let Converted(kind) = counts(&stage.locks, &runs).await.unwrap_err();
    assert_eq!((kind, runs.load(Ordering::SeqCst)), (ErrorKind::Busy, 0));
    guard.release().await.unwrap();
    assert_eq!(counts(&stage.locks, &runs).await.unwrap(), 0);
}

/// How a body ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Value,
    Return,
    Question,
}

#[distributed_lock("order", locks = stage.locks)]
async fn looks(stage: &Stage, end: End, held: &Cell<bool>) -> Result<u8, Failed> {
    held.set(stage.is_held("order").await);
    match end {
        End::Value => {}
        End::Return => return Ok(1),
        End::Question => Err("not a lock's error")?,
    }
    Ok(0)
}

#[derive(Clone, Debug, PartialEq)]
struct Failed(String);

impl From<&str> for Failed {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<LockError> for Failed {
    fn from(error: LockError) -> Self {
        Self(error.to_string())
    }
}

#[tokio::test]
async fn the_lock_is_held_while_the_body_runs_and_free_when_the_function_returned() {
    let (stage, held) = (Stage::new(), Cell::new(false));
    for (end, output) in
        [(End::Value, Ok(0)), (End::Return, Ok(1)), (End::Question, Err("not a lock's error".into()))]
    {
        held.set(false);
        assert_eq!(looks(&stage, end, &held).await, output);
        assert!(held.get(), "held in the body, {end:?}");
        assert!(stage.store.is_empty(), "free after the call, {end:?}");
    }
}

/// Says when it is dropped whether the lock was still held.
struct Watch<'a>(&'a EmbeddedBackend, &'a Cell<Option<bool>>);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.1.set(Some(!self.0.is_empty()));
    }
}

#[distributed_lock("order", locks = locks)]
async fn takes_ownership(
    locks: &LockManager,
    transaction: Watch<'_>,
    _unused: Watch<'_>,
) -> Result<(), LockError> {
    let _still_here = &transaction;
    Ok(())
}

#[tokio::test]
async fn parameters_end_before_the_lock_is_released() {
    let (stage, used, unused) = (Stage::new(), Cell::new(None), Cell::new(None));
    takes_ownership(&stage.locks, Watch(&stage.store, &used), Watch(&stage.store, &unused)).await.unwrap();
    assert_eq!((used.get(), unused.get()), (Some(true), Some(true)));
}

#[tokio::test]
async fn parameters_end_in_the_order_of_the_plain_function() {
    struct Named<'a>(&'static str, &'a RefCell<Vec<&'static str>>);

    impl Drop for Named<'_> {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }

    async fn plain(a: Named<'_>, _b: Named<'_>, c: Named<'_>) -> Result<(), LockError> {
        let _order_of_mention = (&c, &a);
        Ok(())
    }

    #[distributed_lock("order", locks = locks)]
    async fn locked(locks: &LockManager, a: Named<'_>, _b: Named<'_>, c: Named<'_>) -> Result<(), LockError> {
        let _order_of_mention = (&c, &a);
        Ok(())
    }

    let (stage, ended) = (Stage::new(), RefCell::new(Vec::new()));
    let named = |name| Named(name, &ended);
    plain(named("a"), named("b"), named("c")).await.unwrap();
    let expected = ended.take();
    locked(&stage.locks, named("a"), named("b"), named("c")).await.unwrap();
    assert_eq!(ended.take(), expected);
}

#[distributed_lock("order", locks = locks, ttl = ttl, wait = wait, guard = lock)]
async fn with_durations(locks: &LockManager, ttl: Duration, wait: Duration) -> Result<Duration, LockError> {
    Ok(lock.remaining())
}

#[distributed_lock("order", locks = locks, ttl = "5m", guard = lock)]
async fn with_literal(locks: &LockManager) -> Result<Duration, LockError> {
    Ok(lock.remaining())
}

#[tokio::test]
async fn ttl_and_wait_reach_the_request() {
    let stage = Stage::new();
    let (minute, zero) = (Duration::from_secs(60), Duration::ZERO);
    // The manager's ttl is 30 s: what remains is more only if the option was used.
    assert!(with_durations(&stage.locks, 5 * minute, minute).await.unwrap() > minute);
    assert!(with_literal(&stage.locks).await.unwrap() > minute);
    let refused = with_durations(&stage.locks, zero, minute).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption);

    let _guard = stage.other.lock("order").await.unwrap();
    let mut refused = pin!(with_durations(&stage.locks, minute, zero));
    assert!(matches!(poll(refused.as_mut()), Poll::Ready(Err(error)) if error.kind() == ErrorKind::Busy));
    let impatient = LockManager::builder(stage.store.clone()).wait(zero).build().unwrap();
    let mut waiting = pin!(with_durations(&impatient, minute, minute));
    assert!(poll(waiting.as_mut()).is_pending());
}

#[distributed_lock("order", locks = stage.locks, guard = lock)]
async fn ends_its_lock(stage: &Stage, output: Result<u8, Failed>) -> Result<u8, Failed> {
    let mut shutdown = pin!(stage.locks.shutdown());
    let _ = poll(shutdown.as_mut());
    assert!(!lock.is_valid());
    output
}

#[tokio::test]
async fn a_loss_that_is_known_when_the_body_ends_is_the_output() {
    for output in [Ok(7), Err(Failed::from("the body's"))] {
        let Failed(text) = ends_its_lock(&Stage::new(), output).await.unwrap_err();
        assert!(text.contains("the lock is lost"), "{text}");
    }
}

#[async_trait::async_trait]
trait Settles {
    async fn settle(&mut self, id: u64) -> Result<String, LockError>;
}

#[async_trait::async_trait]
impl Settles for Stage {
    #[distributed_lock("order:{id}", locks = self.locks, guard = lock)]
    async fn settle(&mut self, id: u64) -> Result<String, LockError> {
        assert!(self.is_held(&format!("order:{id}")).await);
        Ok(lock.key().to_string())
    }
}

#[tokio::test]
async fn a_method_of_async_trait_is_locked() {
    let mut stage = Stage::new();
    assert_eq!(stage.settle(42).await.unwrap(), "order:42");
    assert!(stage.store.is_empty());
}

#[distributed_lock("order", locks = locks)]
async fn panics(locks: &LockManager) -> Result<(), LockError> {
    panic!("in the body")
}

#[tokio::test]
async fn a_panic_releases() {
    let stage = Stage::new();
    let locks = stage.locks.clone();
    let panicked = tokio::spawn(async move { panics(&locks).await }).await.unwrap_err();
    assert!(panicked.is_panic());
    stage.emptied().await;
}

#[distributed_lock("order", locks = locks)]
async fn runs_on(locks: &LockManager, started: &Notify) -> Result<(), LockError> {
    started.notify_one();
    std::future::pending().await
}

#[tokio::test]
async fn a_call_dropped_while_its_body_runs_releases() {
    let (stage, started) = (Stage::new(), Notify::new());
    tokio::select! {
        _ = runs_on(&stage.locks, &started) => panic!("never ends"),
        () = started.notified() => {}
    }
    stage.emptied().await;
}

#[tokio::test]
async fn a_call_dropped_while_it_waits_leaves_the_queue() {
    let (stage, started) = (Stage::new(), Notify::new());
    let guard = stage.other.lock("order").await.unwrap();
    {
        let mut waiting = pin!(runs_on(&stage.locks, &started));
        assert!(poll(waiting.as_mut()).is_pending());
    }
    guard.release().await.unwrap();
    stage.emptied().await;
}

#[distributed_lock("order", locks = locks)]
async fn runs_until(locks: &LockManager, end: oneshot::Receiver<()>) -> Result<(), LockError> {
    end.await.unwrap();
    Ok(())
}

#[tokio::test]
async fn a_close_ends_waiting_requests_and_lets_running_ones_finish() {
    let (stage, (finish, end), (_never, other_end)) = (Stage::new(), oneshot::channel(), oneshot::channel());
    let mut running = pin!(runs_until(&stage.locks, end));
    assert!(poll(running.as_mut()).is_pending());
    let mut waiting = pin!(runs_until(&stage.locks, other_end));
    assert!(poll(waiting.as_mut()).is_pending());
    stage.locks.close();
    let refused = poll(waiting.as_mut());
    assert!(matches!(refused, Poll::Ready(Err(error)) if error.kind() == ErrorKind::Closed));
    assert!(poll(running.as_mut()).is_pending() && stage.is_held("order").await);
    finish.send(()).unwrap();
    running.await.unwrap();
    assert!(stage.store.is_empty());
}

#[distributed_lock("order", locks = locks, guard = lock)]
async fn lends_its_guard(
    locks: &LockManager,
    lend: oneshot::Sender<dlock_core::Lease>,
    dropped: Arc<AtomicBool>,
) -> Result<(), LockError> {
    let _flag = Flag(dropped);
    let _ = lend.send(lock.lease());
    std::future::pending().await
}

struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_lost_lock_drops_the_body_and_is_an_error() {
    let stage = Stage::new();
    let (lend, lent) = oneshot::channel();
    let dropped = Arc::new(AtomicBool::new(false));
    let (locks, flag) = (stage.locks.clone(), Arc::clone(&dropped));
    let call = tokio::spawn(async move { lends_its_guard(&locks, lend, flag).await });
    let lease = lent.await.unwrap();
    stage.locks.shutdown().await.unwrap();
    assert!(!lease.is_valid());
    let output = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap();
    assert_eq!(output.unwrap_err().kind(), ErrorKind::Lost);
    assert!(dropped.load(Ordering::SeqCst), "the body was dropped");
}

#[tokio::test]
async fn two_calls_joined_run_one_after_the_other() {
    let (stage, runs) = (Stage::new(), AtomicU32::new(0));
    #[distributed_lock("order", locks = locks)]
    async fn alone(locks: &LockManager, inside: &AtomicU32) -> Result<(), LockError> {
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
        tokio::task::yield_now().await;
        inside.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
    let (one, other) = tokio::join!(alone(&stage.locks, &runs), alone(&stage.locks, &runs));
    one.and(other).unwrap();
}

/// A future under a lock holds what waiting takes, its parameters once more than the plain one, and little else.
#[test]
fn the_future_is_not_much_larger_than_the_plain_one() {
    async fn plain<T>(_locks: &LockManager, data: T) -> Result<usize, LockError> {
        tokio::task::yield_now().await;
        Ok(size_of_val(&data))
    }
    #[distributed_lock("k", locks = locks)]
    async fn locked<T>(locks: &LockManager, data: T) -> Result<usize, LockError> {
        tokio::task::yield_now().await;
        Ok(size_of_val(&data))
    }
    fn added<T: Clone>(locks: &LockManager, data: &T) -> usize {
        size_of_val(&locked(locks, data.clone())) - size_of_val(&plain(locks, data.clone()))
    }
    let locks = Stage::new().locks;
    let waiting = size_of_val(&locks.lock("k").acquire());
    let (nothing, data) = (added(&locks, &()), added(&locks, &[0_u8; 4096]));
    assert!(nothing <= waiting + 1024, "{nothing} without parameters, {waiting} of it for waiting");
    assert!(
        data <= 4096 + waiting + 1024,
        "{data} for 4096 bytes of parameters, {waiting} of it for waiting"
    );
}
