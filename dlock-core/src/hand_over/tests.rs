//! The shell around the queue, over a backend in this process.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::let_and_return,
    reason = "a test that cannot go on must fail"
)]

mod exchange;

use super::*;
use crate::backend::embedded::EmbeddedBackend;
use crate::backend::{Mode, without_shares};
use crate::error::ErrorKind;
use crate::key::LockKey;
use crate::lease::{FencingToken, Ttl};
use crate::manager::LockManager;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(600);

/// The embedded backend with blocks of 64 tokens, and what it is asked.
#[derive(Debug)]
struct Blocks {
    inner: EmbeddedBackend,
    asked: Mutex<Vec<Claim>>,
    /// How many tokens a grant says it has.
    claimed: AtomicU32,
}

impl Blocks {
    fn over(inner: &EmbeddedBackend) -> Arc<Self> {
        let inner = inner.clone();
        Arc::new(Self { inner, asked: Mutex::default(), claimed: AtomicU32::new(64) })
    }

    fn block(&self, grant: &Grant) -> Grant {
        let token = FencingToken::new(grant.token.as_u64() * 64);
        Grant::new(token, grant.valid_until).with_tokens(self.claimed.load(Ordering::SeqCst))
    }

    fn acquires(&self) -> usize {
        self.asked.lock().len()
    }

    /// What it was asked first.
    fn first_asked(&self) -> Claim {
        self.asked.lock()[0].clone()
    }
}

impl Backend for Blocks {
    fn name(&self) -> &'static str {
        "blocks"
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::empty()
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async move {
            self.asked.lock().push(request.claim.clone());
            Ok(self.block(&self.inner.acquire(request).await?))
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        self.inner.renew(claim)
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        self.inner.release(claim)
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async move {
            self.asked.lock().push(wanted.claim.clone());
            Ok(self.block(&self.inner.exchange(held, wanted).await?))
        })
    }
}

fn before(backend: Arc<dyn Backend>, hand_over: HandOver) -> HandOverBackend {
    HandOverBackend::new(backend, hand_over, Background::new().unwrap())
}

/// A backend that no request reaches, and a count of the releases that it was asked for.
#[derive(Debug, Default)]
struct OutOfReach(AtomicUsize);

fn unsent() -> LockError {
    LockError::new(ErrorKind::Unavailable, "there is no connection").unsent()
}

impl Backend for OutOfReach {
    fn name(&self) -> &'static str {
        "out of reach"
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::empty()
    }

    fn acquire<'a>(&'a self, _: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async { Err(unsent()) })
    }

    fn renew<'a>(&'a self, _: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async { Err(unsent()) })
    }

    fn release<'a>(&'a self, _: &'a Claim) -> BackendFuture<'a, ()> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Err(LockError::new(ErrorKind::Lost, "nothing was ever here")) })
    }

    fn exchange<'a>(&'a self, _: &'a Claim, _: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        without_shares(self.name())
    }
}

fn claim(key: &str) -> Claim {
    Claim::new(LockKey::new(key).unwrap(), Ttl::new(LONG).unwrap()).unwrap()
}

fn manager(backend: &Arc<Blocks>, hand_over: HandOver) -> LockManager {
    let builder = LockManager::builder(Arc::clone(backend)).ttl(LONG).wait(PATIENCE);
    builder.hand_over(hand_over).build().unwrap()
}

/// Tasks that take turns; the tokens in the order in which they had the lock.
async fn take_turns(managers: &[LockManager], tasks: usize, turns: usize) -> Vec<u64> {
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let mut running = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let (locks, tokens) = (managers[task % managers.len()].clone(), Arc::clone(&tokens));
        running.spawn(async move {
            for _ in 0..turns {
                let guard = locks.lock("k").await.unwrap();
                tokens.lock().push(guard.token().as_u64());
                tokio::task::yield_now().await;
                guard.release().await.unwrap();
            }
        });
    }
    while let Some(task) = running.join_next().await {
        task.unwrap();
    }
    let tokens = tokens.lock().clone();
    tokens
}

fn rise(tokens: &[u64]) -> bool {
    tokens.is_sorted_by(|one, next| one < next)
}

/// I2 over many grants, handed over and not, and far fewer requests than grants.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_rise_over_local_and_remote_grants() {
    let store = EmbeddedBackend::new();
    let backends = [Blocks::over(&store), Blocks::over(&store), Blocks::over(&store)];
    let managers = backends.each_ref().map(|backend| manager(backend, HandOver::default()));
    let tokens = take_turns(&managers, 24, 420).await;
    assert_eq!(tokens.len(), 24 * 420);
    assert!(rise(&tokens), "tokens in grant order");
    let asked: usize = backends.iter().map(|backend| backend.acquires()).sum();
    assert!(asked * 2 < tokens.len(), "{asked} requests for {} grants", tokens.len());
}

/// The control: a backend that says it reserved tokens which the next grant has as well is found out by that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_that_overlap_are_noticed() {
    let store = EmbeddedBackend::new();
    let backends = [Blocks::over(&store), Blocks::over(&store)];
    for backend in &backends {
        backend.claimed.store(1_000, Ordering::SeqCst);
    }
    let wide = |backend| before(backend, HandOver::new(1_000, LONG));
    let managers =
        backends.map(|backend| LockManager::builder(wide(backend)).hand_over(HandOver::OFF).build().unwrap());
    assert!(!rise(&take_turns(&managers, 8, 400).await));
}

/// Switched off, each grant is the backend's own.
#[tokio::test]
async fn without_hand_over_every_grant_is_asked_for() {
    let backend = Blocks::over(&EmbeddedBackend::new());
    let tokens = take_turns(&[manager(&backend, HandOver::OFF)], 4, 25).await;
    assert_eq!((tokens.len(), backend.acquires()), (100, 100));
    assert!(rise(&tokens));
}

/// However long a process keeps its lock busy, another process has its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_has_its_turn() {
    let store = EmbeddedBackend::new();
    let (busy, other) = (Blocks::over(&store), Blocks::over(&store));
    let locks = manager(&busy, HandOver::new(64, LONG));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let locks = locks.clone();
        tasks.spawn(async move {
            loop {
                let guard = locks.lock("k").await.unwrap();
                tokio::task::yield_now().await;
                guard.release().await.unwrap();
            }
        });
    }
    for _ in 0..20 {
        manager(&other, HandOver::default()).lock("k").await.unwrap().release().await.unwrap();
    }
    tasks.abort_all();
}

/// I4: when the waiter that asks for the queue is dropped, the next one asks for the same acquisition.
#[tokio::test]
async fn the_next_asks_on_for_who_is_dropped() {
    let backend = Blocks::over(&EmbeddedBackend::new());
    let holder = claim("k");
    backend.inner.acquire(&AcquireRequest::new(holder.clone(), Mode::Try)).await.unwrap();
    let local = before(backend.clone(), HandOver::default());
    let (first, second) = (claim("k"), claim("k"));
    let asking = queued(Arc::new(local.clone()), &first).await;
    let behind = queued(Arc::new(local.clone()), &second).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    assert_eq!(local.release(&first).await.unwrap_err().kind(), ErrorKind::Lost);
    backend.inner.release(&holder).await.unwrap();
    behind.await.unwrap();
    assert!(backend.inner.renew(&backend.first_asked()).await.is_ok(), "as the first one's acquisition");
    local.release(&second).await.unwrap();
    assert!(is_clean(&local));
}

async fn queued(backend: Arc<dyn Backend>, claim: &Claim) -> tokio::task::JoinHandle<()> {
    let request = Arc::new(AcquireRequest::new(claim.clone(), Mode::Wait));
    let asked = Arc::clone(&request);
    let task = tokio::spawn(async move {
        backend.acquire(&asked).await.unwrap();
    });
    while !request.progress.is_queued() {
        tokio::task::yield_now().await;
    }
    task
}

/// Nothing is kept of a key that is not in use.
fn is_clean(local: &HandOverBackend) -> bool {
    local.0.queues.are_empty()
}

/// A lost lease is lost for its holder. The next waiter competes for a new lease.
#[tokio::test]
async fn a_lost_lease_goes_to_the_next_waiter() {
    let backend = Blocks::over(&EmbeddedBackend::new());
    let local = before(backend.clone(), HandOver::default());
    let (one, two) = (claim("k"), claim("k"));
    let first = local.acquire(&AcquireRequest::new(one.clone(), Mode::Try)).await.unwrap();
    let waiter = queued(Arc::new(local.clone()), &two).await;
    backend.inner.release(&backend.first_asked()).await.unwrap();
    assert_eq!(local.renew(&one).await.unwrap_err().kind(), ErrorKind::Lost);
    waiter.await.unwrap();
    let held = local.acquire(&AcquireRequest::new(two.clone(), Mode::Try)).await.unwrap();
    assert!(held.token > first.token);
    assert_eq!(local.release(&one).await.unwrap_err().kind(), ErrorKind::Lost);
    local.renew(&two).await.unwrap();
    local.release(&two).await.unwrap();
    assert!(is_clean(&local));
}

/// Leases of different lengths compete at the backend: they exclude each other, and neither takes the other's.
#[tokio::test]
async fn different_ttls_compete_by_themselves() {
    let backend = Blocks::over(&EmbeddedBackend::new());
    let locks = manager(&backend, HandOver::default());
    let short = Duration::from_secs(60);
    let guard = locks.lock("k").await.unwrap();
    assert!(locks.lock("k").ttl(short).try_acquire().await.unwrap().is_none());
    let waiter = tokio::spawn(locks.lock("k").ttl(short).acquire());
    tokio::task::yield_now().await;
    guard.release().await.unwrap();
    let other = waiter.await.unwrap().unwrap();
    assert!(other.remaining() <= short);
    other.release().await.unwrap();
}

/// A process that only hears that the backend is away says so, to all who wait in it.
#[tokio::test]
async fn all_who_wait_learn_that_the_backend_is_away() {
    let tap = crate::testing::Tap::new(Arc::new(EmbeddedBackend::new()));
    tap.cut();
    let local = before(tap, HandOver::default());
    let locks = LockManager::builder(local).wait(PATIENCE).hand_over(HandOver::OFF).build().unwrap();
    assert_eq!(locks.lock("k").try_acquire().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(locks.lock("k").try_acquire().await.is_err_and(|error| error.kind() == ErrorKind::Unavailable));
}

/// Its first request is never answered.
#[derive(Debug)]
struct SlowAtFirst(Blocks);

impl Backend for SlowAtFirst {
    fn name(&self) -> &'static str {
        "slow at first"
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::empty()
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        match self.0.acquires() {
            0 => {
                self.0.asked.lock().push(request.claim.clone());
                Box::pin(std::future::pending())
            }
            _ => self.0.acquire(request),
        }
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        self.0.renew(claim)
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        self.0.release(claim)
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        self.0.exchange(held, wanted)
    }
}

/// The keeper asks instead, and the caller is woken to wait for that.
#[tokio::test]
async fn a_caller_whose_request_is_not_answered_is_served_after_all() {
    let blocks = Arc::into_inner(Blocks::over(&EmbeddedBackend::new())).unwrap();
    let locks = LockManager::builder(SlowAtFirst(blocks)).ttl(LONG).wait(PATIENCE).build().unwrap();
    let turn = async || locks.lock("k").await.unwrap().release().await.unwrap();
    tokio::join!(turn(), turn(), turn());
}

/// It never answers. How many of its requests there are can be counted, and each is woken by what it keeps itself.
#[derive(Debug, Default)]
struct Silent(Arc<()>, Mutex<Vec<tokio::sync::oneshot::Sender<()>>>);

impl Backend for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::empty()
    }

    fn acquire<'a>(&'a self, _: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.1.lock().push(sender);
        let alive = Arc::clone(&self.0);
        Box::pin(async move {
            let _ = receiver.await;
            drop(alive);
            Err(unsent())
        })
    }

    fn renew<'a>(&'a self, _: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async { Err(unsent()) })
    }

    fn release<'a>(&'a self, _: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(async { Err(LockError::new(ErrorKind::Lost, "nothing was ever here")) })
    }

    fn exchange<'a>(&'a self, _: &'a Claim, _: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        without_shares(self.name())
    }
}

#[tokio::test]
async fn the_request_of_a_caller_that_is_dropped_is_dropped() {
    for mode in [Mode::Try, Mode::Wait] {
        let backend = Arc::new(Silent::default());
        let queue = before(Arc::clone(&backend) as Arc<dyn Backend>, HandOver::default());
        let request = AcquireRequest::new(claim("k"), mode);
        let mut asking = queue.acquire(&request);
        assert!(futures_util::poll!(&mut asking).is_pending());
        assert_eq!(Arc::strong_count(&backend.0), 2);
        drop(asking);
        assert_eq!(Arc::strong_count(&backend.0), 1, "{mode:?}");
    }
}

mod conformance {
    use super::*;
    use crate::testing::Fixture;

    /// A queue that a manager knows nothing of: what is done for it in the background is done when a release is answered.
    #[derive(Debug)]
    struct Settling(HandOverBackend, Background);

    impl Settling {
        fn over(store: &EmbeddedBackend) -> Self {
            let background = Background::new().unwrap();
            let queue = HandOverBackend::new(Blocks::over(store), HandOver::default(), background.clone());
            Self(queue, background)
        }
    }

    impl Backend for Settling {
        fn name(&self) -> &'static str {
            self.0.name()
        }

        fn guarantees(&self) -> Guarantees {
            Guarantees::SHARES
        }

        fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
            self.0.acquire(request)
        }

        fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
            self.0.renew(claim)
        }

        fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
            Box::pin(async move {
                let released = self.0.release(claim).await;
                self.1.settled().await;
                released
            })
        }

        fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
            self.0.exchange(held, wanted)
        }
    }

    fn fixture() -> Fixture {
        let store = EmbeddedBackend::new();
        Fixture::new(move || std::future::ready(Settling::over(&store)))
    }

    crate::conformance_suite!(fixture(), without_queue);
    crate::conformance_suite!(fixture(), shares);

    #[tokio::test]
    async fn waiters_are_served_in_order_of_arrival() {
        crate::testing::conformance::waiters_are_served_in_order_of_arrival(&fixture()).await;
    }

    #[tokio::test]
    async fn a_try_does_not_pass_the_queue() {
        crate::testing::conformance::a_try_does_not_pass_the_queue(&fixture()).await;
    }

    #[tokio::test]
    async fn a_waiter_that_leaves_keeps_the_others_in_order() {
        crate::testing::conformance::a_waiter_that_leaves_keeps_the_others_in_order(&fixture()).await;
    }
}

/// A hand-over for no time is none, and one without a limit of time still ends with its share of holders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_may_be_for_no_time_or_for_any() {
    for within in [Duration::ZERO, Duration::MAX] {
        let backend = Blocks::over(&EmbeddedBackend::new());
        let tokens = take_turns(&[manager(&backend, HandOver::new(8, within))], 8, 10).await;
        assert!(tokens.len() == 80 && rise(&tokens), "{tokens:?}");
        assert!(backend.acquires() >= 10, "{} requests", backend.acquires());
    }
}

/// A try that never left this process leaves nothing to release, behind a queue and without one.
#[tokio::test]
async fn a_try_that_was_never_sent_is_neither_remembered_nor_released() {
    for hand_over in [HandOver::default(), HandOver::OFF] {
        let backend = Arc::new(OutOfReach::default());
        let builder = LockManager::builder(Arc::clone(&backend)).hand_over(hand_over);
        let locks = builder.build().unwrap();
        let refused = locks.lock("k").try_acquire().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        let _ = locks.shutdown().await;
        assert_eq!(backend.0.load(Ordering::SeqCst), 0);
    }
    let queue = before(Arc::new(OutOfReach::default()), HandOver::default());
    queue.acquire(&AcquireRequest::new(claim("k"), Mode::Try)).await.unwrap_err();
    assert!(is_clean(&queue));
}
