//! Runtimes of callers that end, idle or block, callers that have none, and code of callers that panics: no lock and no
//! request of another caller hangs on any of it.

use super::*;
use dlock_core::testing::Tap;
use futures_util::FutureExt as _;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::thread;
use tokio::runtime::Builder;
use tracing::dispatcher::{self, Dispatch};
use tracing::span;

/// The timeout of a session that would end soon if it hung on a runtime that ended.
const SHORT: Duration = Duration::from_secs(1);

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A backend whose session outlasts the test, so that what is free was released.
async fn lasting() -> ZooKeeperBackend {
    patient(&shared_zookeeper().hosts()).build().await.unwrap()
}

/// Waits for longer than a session lives without heartbeats.
async fn until_it_would_be_over(begun: Moment) {
    until("the session would be over", async || Moment::now().since(begun) > SHORT * 3).await;
}

fn queue(key: &LockKey) -> Vec<String> {
    Operator::of(shared_zookeeper()).queue(key)
}

#[test]
fn a_lock_outlives_the_runtime_it_was_taken_in() {
    let [taking, holding] = [Runtime::new().unwrap(), current_thread()];
    let key = LockKey::new(fresh_key("outlived")).unwrap();
    let tap = Tap::new(Arc::new(
        taking.block_on(at(&shared_zookeeper().hosts()).session_timeout(SHORT).build()).unwrap(),
    ));
    let locks = LockManager::builder(Arc::clone(&tap)).ttl(SHORT).build().unwrap();
    let guard = taking.block_on(locks.lock(&key).acquire()).unwrap();
    let session = session_of(&key);
    drop(taking);
    let (ended, renewals) = (Moment::now(), tap.renewals());
    holding.block_on(until_it_would_be_over(ended));
    assert!(guard.is_valid() && tap.renewals() > renewals, "it is renewed");
    assert_eq!(session_of(&key), session);
    let next = holding.spawn(locks.lock(&key).wait(LIMIT).acquire());
    holding.block_on(soon("the release is confirmed", guard.release())).unwrap();
    drop(holding.block_on(soon("the next one has it", next)).unwrap().unwrap());
}

fn session_of(key: &LockKey) -> u64 {
    let operator = Operator::of(shared_zookeeper());
    operator.owner(&format!("/locks/{key}/{}", operator.queue(key)[0]))
}

/// What is tried: a holder that blocks its only thread for longer than a session lives without heartbeats.
#[allow(clippy::disallowed_methods, reason = "to block is the point")]
fn block_thread() {
    thread::sleep(SHORT * 3);
}

#[test]
fn a_lock_goes_on_in_a_runtime_that_is_not_driven_and_in_one_that_blocks() {
    let (idle, blocking) = (current_thread(), current_thread());
    let hosts = shared_zookeeper().hosts();
    let locks = each_for_itself(idle.block_on(at(&hosts).session_timeout(SHORT).build()).unwrap());
    let of_idle = idle.block_on(locks.lock(fresh_key("idle")).acquire()).unwrap();
    let of_blocking = blocking.block_on(async {
        let guard = locks.lock(fresh_key("blocking")).await.unwrap();
        block_thread();
        guard
    });
    assert!(of_idle.is_valid() && of_blocking.is_valid());
    blocking.block_on(async {
        of_idle.release().await.unwrap();
        of_blocking.release().await.unwrap();
    });
}

/// S35.
#[test]
fn the_session_outlives_every_runtime() {
    let key = LockKey::new(fresh_key("session")).unwrap();
    let first = current_thread();
    let locks = manager(first.block_on(lasting()));
    let mut sessions = Vec::new();
    for runtime in [first, current_thread(), Runtime::new().unwrap()] {
        let guard = runtime.block_on(soon("it is granted", locks.lock(&key).acquire())).unwrap();
        sessions.push(session_of(&key));
        runtime.block_on(guard.release()).unwrap();
    }
    assert!(sessions.iter().all(|session| *session == sessions[0]), "{sessions:?}");
}

/// S34.
#[test]
fn a_waiter_outlives_the_runtime_that_the_backend_was_built_in() {
    let [building, waiting] = [(); 2].map(|()| Runtime::new().unwrap());
    let key = LockKey::new(fresh_key("built elsewhere")).unwrap();
    let locks = each_for_itself(building.block_on(lasting()));
    let guard = building.block_on(locks.lock(&key).acquire()).unwrap();
    let next = waiting.spawn(locks.lock(&key).wait(Duration::MAX).acquire());
    waiting.block_on(until("both have a node", async || queue(&key).len() == 2));
    drop(building);
    drop(guard);
    let next = waiting.block_on(soon("the waiter is granted", next)).unwrap().unwrap();
    waiting.block_on(next.release()).unwrap();
}

/// S34.
#[test]
fn a_guard_that_is_dropped_as_its_runtime_ends_frees_the_key_at_once() {
    let (building, other) = (Runtime::new().unwrap(), current_thread());
    let locks = manager(building.block_on(lasting()));
    let others = manager(other.block_on(lasting()));
    for locking in [current_thread(), Runtime::new().unwrap()] {
        let key = fresh_key("ends");
        locking.block_on(async { drop(locks.lock(&key).await.unwrap()) });
        drop(locking);
        let next = other.block_on(soon("another client has it", others.lock(&key).acquire())).unwrap();
        other.block_on(next.release()).unwrap();
    }
}

#[test]
fn a_guard_that_goes_with_its_runtime_does_not_stop_the_same_manager() {
    let (locks, key) = (manager(current_thread().block_on(lasting())), fresh_key("same manager"));
    for _ in 0..3 {
        let runtime = current_thread();
        let guard = runtime.block_on(soon("it is granted", locks.lock(&key).acquire())).unwrap();
        runtime.spawn(async move {
            let _held = guard;
            std::future::pending::<()>().await;
        });
        drop(runtime);
    }
}

#[test]
fn an_acquire_that_goes_with_its_runtime_leaves_nothing() {
    let (waiting, other) = (Runtime::new().unwrap(), current_thread());
    let key = LockKey::new(fresh_key("leaves nothing")).unwrap();
    let locks = each_for_itself(waiting.block_on(lasting()));
    let guard = other.block_on(locks.lock(&key).acquire()).unwrap();
    waiting.spawn(locks.lock(&key).wait(Duration::MAX).acquire());
    other.block_on(until("both have a node", async || queue(&key).len() == 2));
    drop(waiting);
    other.block_on(until("the waiter's node is gone", async || queue(&key).len() == 1));
    other.block_on(guard.release()).unwrap();
}

/// A plain thread that parks, and one that looks after sockets of its own while it waits.
#[test]
fn no_runtime_is_needed_at_all() {
    lock_and_wait(|work| pollster::block_on(work));
    lock_and_wait(|work| async_io::block_on(work));
}

fn lock_and_wait(block_on: impl Fn(futures_util::future::BoxFuture<'_, ()>) + Copy + Send + Sync) {
    let key = LockKey::new(fresh_key("no runtime")).unwrap();
    block_on(Box::pin(async {
        let locks = each_for_itself(backend().await);
        let guard = locks.lock(&key).await.unwrap();
        assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
        let busy = locks.lock(&key).wait(Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy, "{busy}");
        let next = thread::scope(|threads| {
            let waiting = threads.spawn(|| block_on_next(block_on, &locks, &key));
            while queue(&key).len() < 2 {
                thread::yield_now();
            }
            drop(guard);
            waiting.join().unwrap()
        });
        assert!(next, "the waiter had it");
        locks.shutdown().await.unwrap();
    }));
    assert!(queue(&key).is_empty());
}

fn block_on_next(
    block_on: impl Fn(futures_util::future::BoxFuture<'_, ()>),
    locks: &LockManager,
    key: &LockKey,
) -> bool {
    let mut was_valid = false;
    block_on(Box::pin(async {
        let guard = locks.lock(key).wait(LIMIT).await.unwrap();
        was_valid = guard.is_valid();
        guard.release().await.unwrap();
    }));
    was_valid
}

/// The first future that asks for the next session is polled once, and then never again.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_replaced_though_the_first_that_asked_is_not_polled() {
    let relay = Relay::to(shared_zookeeper()).await;
    let locks = each_for_itself(at(&relay.hosts()).session_timeout(SHORT).build().await.unwrap());
    let guard = locks.lock(fresh_key("of the first session")).await.unwrap();
    relay.close();
    soon("the guard is lost", guard.lost()).await;
    until("the session is over", async || {
        let refused = locks.lock(fresh_key("probe")).try_acquire().await;
        refused.is_err_and(|error| error.to_string().contains("no server took the connection"))
    })
    .await;
    relay.reopen();
    let mut not_polled = pin!(locks.lock(fresh_key("not polled")).acquire());
    assert!(not_polled.as_mut().now_or_never().is_none());
    let other = soon("another lock is granted", locks.lock(fresh_key("polled")).acquire()).await.unwrap();
    other.release().await.unwrap();
}

/// The connection is lost, and the session goes on: the same for requests that wait for the connection, and for a write
/// that others are to go with.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_sent_though_the_first_that_asked_is_not_polled() {
    let relay = Relay::to(shared_zookeeper()).await;
    let backend = patient(&relay.hosts()).build().await.unwrap();
    let locks = each_for_itself(backend);
    for is_cut in [false, true] {
        if is_cut {
            relay.close();
        }
        let mut not_polled = pin!(locks.lock(fresh_key("not polled")).acquire());
        assert!(not_polled.as_mut().now_or_never().is_none());
        relay.reopen();
        let other = soon("another lock is granted", locks.lock(fresh_key("polled")).acquire()).await.unwrap();
        soon("and released", other.release()).await.unwrap();
    }
}

/// A waker that panics, as one of a broken executor.
#[derive(Default)]
struct PanickingWaker(AtomicUsize);

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("on purpose: a caller's waker");
    }
}

/// Polls by a waker that panics until it was woken.
async fn poll_until_woken<F: Future>(work: &mut std::pin::Pin<&mut F>) {
    let waker = Arc::new(PanickingWaker::default());
    let polled = work.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&waker))));
    assert!(polled.is_pending());
    until("the waker was woken", async || waker.0.load(Ordering::SeqCst) > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waker_that_panics_ends_no_session() {
    let (backend, key) = (lasting().await, fresh_key("panicking waker"));
    let locks = each_for_itself(backend.clone());
    let (kept, holder, next) = (locks.lock(fresh_key("kept")).await.unwrap(), claim(&key), claim(&key));
    grant(&backend, &holder).await;
    let session = session_of(&holder.key);
    let request = AcquireRequest::new(next.clone(), Mode::Wait);
    let mut waiting = pin!(backend.acquire(&request));
    while !request.progress.is_queued() {
        poll_until_woken(&mut waiting).await;
    }
    release(&backend, &holder).await.unwrap();
    soon("the waiter is granted", waiting).await.unwrap();
    release(&backend, &next).await.unwrap();
    grant(&backend, &holder).await;
    assert_eq!(session_of(&holder.key), session, "the session goes on");
    release(&backend, &holder).await.unwrap();
    kept.release().await.unwrap();
}

/// A subscriber that panics at every event that a test is not looking at.
struct PanickingSubscriber(Arc<AtomicUsize>);

impl tracing::Subscriber for PanickingSubscriber {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("dlock_core::backend")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("on purpose: a caller's subscriber");
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_panics_ends_no_session() {
    let relay = Relay::to(shared_zookeeper()).await;
    let events = Arc::new(AtomicUsize::new(0));
    let subscriber = Dispatch::new(PanickingSubscriber(Arc::clone(&events)));
    // While there is only one subscriber, an event that another test's thread is the first to reach is off for good.
    let _second = Dispatch::new(PanickingSubscriber(Arc::default()));
    let hosts = relay.hosts();
    let built = thread::spawn(move || {
        dispatcher::with_default(&subscriber, || pollster::block_on(patient(&hosts).build()))
    });
    let locks = each_for_itself(built.join().unwrap().unwrap());
    let key = LockKey::new(fresh_key("panicking subscriber")).unwrap();
    let guard = locks.lock(&key).await.unwrap();
    let (session, seen) = (session_of(&key), events.load(Ordering::SeqCst));
    assert!(seen > 0, "it hears of the new session");
    // Closed until that is heard: a connection that is back at once was never seen to be lost.
    relay.close();
    until("it hears of the lost connection", async || events.load(Ordering::SeqCst) > seen).await;
    relay.reopen();
    soon("a lock is granted", locks.lock(fresh_key("after")).acquire())
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    assert!(guard.is_valid() && session_of(&key) == session);
    guard.release().await.unwrap();
}

/// A session that lives for longer than a minute without the servers hearing of it. A release that is not confirmed is
/// repeated for as long.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_repeated_for_as_long_as_its_session_may_live() {
    const TIMEOUT: Duration = Duration::from_secs(90);
    let mut server = ZooKeeperServer::builder().config("maxSessionTimeout=90000").start();
    let asked =
        || at(&server.hosts()).session_timeout(TIMEOUT * 2).request_timeout(Duration::from_millis(200));
    let (backend, other) = (asked().build().await.unwrap(), asked().build().await.unwrap());
    let (tried, held) = (claim("tried"), claim("held"));
    grant(&backend, &tried).await;
    assert_eq!(backend.longest_lease(&tried), TIMEOUT * 3 / 2);
    assert_eq!(backend.longest_lease(&held), Duration::ZERO, "it has nothing");
    let tap = Tap::new(Arc::new(backend));
    let locks = LockManager::builder(Arc::clone(&tap)).hand_over(HandOver::OFF).build().unwrap();
    let guard = locks.lock("held").await.unwrap();
    server.pause();
    drop(guard);
    let still = locks.shutdown_within(Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(still.unflushed(), 1, "it is tried for");
    server.resume();
    soon("it is released", locks.shutdown_within(LIMIT)).await.unwrap();
    let next = soon("the key is free", manager(other).lock("held").acquire()).await.unwrap();
    next.release().await.unwrap();
}
