//! What a conformance case runs on.

use crate::backend::prefixed::in_namespace;
use crate::backend::{AcquireRequest, Backend, Claim, Grant, Mode};
use crate::error::LockError;
use crate::hand_over::HandOver;
use crate::key::{LockKey, Namespace};
use crate::lease::{OwnerId, Ttl};
use crate::manager::{LockManager, LockManagerBuilder};
use crate::time::{Moment, sleep_until};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

type Connecting = Pin<Box<dyn Future<Output = Arc<dyn Backend>> + Send>>;

/// One store of locks, with as many processes on it as a case wants, and keys that no other case uses.
pub struct Fixture {
    connect: Box<dyn Fn() -> Connecting + Send + Sync>,
    prefix: String,
    patience: Duration,
    hand_over: HandOver,
    namespace: Option<Namespace>,
}

impl Fixture {
    /// A fixture whose processes are made by `connect`. Each call must give a backend value that shares
    /// nothing with the others but the store.
    pub fn new<F, B>(connect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = B> + Send + 'static,
        B: Backend,
    {
        let connect = move || -> Connecting {
            let connecting = connect();
            Box::pin(async move { Arc::new(connecting.await) as Arc<dyn Backend> })
        };
        let prefix = format!("conformance:{:032x}", OwnerId::random().expect("random bytes").as_u128());
        Self {
            connect: Box::new(connect),
            prefix,
            patience: PATIENCE,
            hand_over: HandOver::OFF,
            namespace: None,
        }
    }

    /// How long a condition may take to come true before the case fails, by default 30 seconds.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What the processes' managers hand over inside themselves, by default nothing: a case asks the backend, and a
    /// queue before it would answer instead.
    #[must_use]
    pub fn hand_over(mut self, hand_over: HandOver) -> Self {
        self.hand_over = hand_over;
        self
    }

    /// The same with all backends in a namespace, by default in none.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(Namespace::new(namespace).expect("a valid namespace"));
        self
    }

    /// A backend value of its own, as another process would have.
    pub async fn backend(&self) -> Arc<dyn Backend> {
        let backend = (self.connect)().await;
        match &self.namespace {
            Some(namespace) => {
                in_namespace(backend, namespace.clone()).expect("the backend takes the namespace")
            }
            None => backend,
        }
    }

    /// A manager over a backend value of its own, whose leases outlast the case: what is freed was released.
    pub async fn process(&self) -> LockManager {
        self.manager(self.backend().await, LONG)
    }

    /// A manager over a backend value of its own that calls itself something.
    pub async fn labelled(&self, label: &str) -> LockManager {
        self.builder(self.backend().await, LONG).label(label).build().expect("valid settings")
    }

    /// A manager over a backend value of its own, in a namespace.
    pub async fn process_in(&self, namespace: &str) -> LockManager {
        let builder = self.builder(self.backend().await, LONG);
        builder.namespace(namespace).build().expect("valid settings")
    }

    /// A manager over `backend` whose leases end soon if they are not renewed.
    pub fn brief(&self, backend: impl Backend) -> LockManager {
        self.manager(backend, BRIEF)
    }

    /// A manager over `backend` whose leases are renewed soon, with time to spare for several attempts.
    pub fn short(&self, backend: impl Backend) -> LockManager {
        self.manager(backend, SHORT)
    }

    fn manager(&self, backend: impl Backend, ttl: Duration) -> LockManager {
        self.builder(backend, ttl).build().expect("valid settings")
    }

    fn builder(&self, backend: impl Backend, ttl: Duration) -> LockManagerBuilder {
        LockManager::builder(backend).ttl(ttl).wait(self.patience).hand_over(self.hand_over)
    }

    /// A key that no other case uses.
    #[must_use]
    pub fn key(&self, name: &str) -> LockKey {
        LockKey::new(format!("{}:{name}", self.prefix)).expect("a valid key")
    }

    /// A key that is as long as one may be.
    #[must_use]
    pub fn longest_key(&self) -> LockKey {
        let namespace = self.namespace.as_ref().map_or(0, |namespace| namespace.as_str().len());
        LockKey::new("x".repeat(LockKey::MAX_LEN - namespace)).expect("a valid key")
    }

    /// A claim of a new owner on `key`, whose lease outlasts the case.
    #[must_use]
    pub fn claim(&self, key: &LockKey) -> Claim {
        claim(key, LONG)
    }

    /// A claim of a new owner on `key`, whose lease ends soon.
    #[must_use]
    pub fn brief_claim(&self, key: &LockKey) -> Claim {
        claim(key, BRIEF)
    }

    /// Waits until `condition` holds, or fails the case.
    pub async fn eventually(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let give_up = Moment::now().after(self.patience);
        while !condition() {
            assert!(Moment::now() < give_up, "did not come true within {:?}: {what}", self.patience);
            sleep_until(Moment::now().after(Duration::from_millis(2))).await;
        }
    }

    /// The output of `future`, or the case fails.
    pub async fn soon<F: Future>(&self, what: &str, future: F) -> F::Output {
        match tokio::time::timeout(self.patience, future).await {
            Ok(output) => output,
            Err(_) => panic!("did not happen within {:?}: {what}", self.patience),
        }
    }

    /// An acquire of the backend's own, running by itself, that was answered with "queued".
    pub(super) async fn queued(&self, backend: &Arc<dyn Backend>, claim: Claim) -> Queued {
        let queued = Self::waiting(backend, claim);
        let request = Arc::clone(&queued.request);
        self.eventually("the backend says that the waiter is queued", || request.progress.is_queued()).await;
        queued
    }

    /// An acquire of the backend's own, running by itself.
    pub(super) fn waiting(backend: &Arc<dyn Backend>, claim: Claim) -> Queued {
        let request = Arc::new(AcquireRequest::new(claim, Mode::Wait));
        let (asked, asking) = (Arc::clone(&request), Arc::clone(backend));
        let task = tokio::spawn(async move { asking.acquire(&asked).await });
        Queued { request, task }
    }
}

/// A waiter of a backend.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) request: Arc<AcquireRequest>,
    task: tokio::task::JoinHandle<Result<Grant, LockError>>,
}

impl Queued {
    pub(super) fn is_granted(&self) -> bool {
        self.task.is_finished()
    }

    pub(super) async fn grant(self) -> Grant {
        self.task.await.expect("the waiter did not panic").expect("the waiter was granted")
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(60 * 60);
const SHORT: Duration = Duration::from_secs(3);
const BRIEF: Duration = Duration::from_millis(600);

fn claim(key: &LockKey, ttl: Duration) -> Claim {
    Claim::new(key.clone(), Ttl::new(ttl).expect("a valid ttl")).expect("random bytes")
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
