//! What the tests do with a lock, whichever client does it.

use crate::{PATIENCE, backend, over};
use dlock_core::backend::redis::Recipe;
use dlock_core::testing::Tap;
use dlock_core::{ErrorKind, LockError, LockGuard, LockManager};
use dlock_tests::{ForeignClient, RedisServer, wait_until_async};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Dlock(Recipe),
    RedisPy,
    Redlock,
}

/// A process of its own, or as good as one.
pub(crate) enum Client {
    Dlock(Box<Dlock>),
    Foreign(Box<ForeignClient>),
}

impl Client {
    pub(crate) async fn start(kind: Kind, server: &RedisServer) -> Self {
        match kind {
            Kind::Dlock(recipe) => Self::Dlock(Box::new(Dlock::start(server, recipe).await)),
            Kind::RedisPy => Self::Foreign(Box::new(ForeignClient::redis_py(server).await)),
            Kind::Redlock => Self::Foreign(Box::new(ForeignClient::redlock(server).await)),
        }
    }

    /// Whether the lock was free, and is this client's now.
    pub(crate) async fn try_acquire(&mut self, key: &str, ttl: Duration) -> bool {
        match self {
            Self::Dlock(client) => client.try_acquire(key, ttl).await,
            Self::Foreign(client) => client.try_acquire(key, ttl).await,
        }
    }

    /// Waits until the lock is this client's.
    pub(crate) async fn acquire(&mut self, key: &str, ttl: Duration) {
        match self {
            Self::Dlock(client) => client.acquire(key, ttl).await,
            Self::Foreign(client) => client.acquire(key, ttl).await,
        }
    }

    /// Begins to acquire a lock that is another's, and returns when that was refused once.
    pub(crate) async fn wait_for(&mut self, key: &str, ttl: Duration, server: &RedisServer) {
        match self {
            Self::Dlock(client) => client.wait_for(key, ttl, server).await,
            Self::Foreign(client) => client.wait_for(key, ttl).await,
        }
    }

    /// Returns when the lock that this client waits for is its own.
    pub(crate) async fn granted(&mut self) {
        match self {
            Self::Dlock(client) => client.granted().await,
            Self::Foreign(client) => client.granted().await,
        }
    }

    /// Whether the lock was this client's to the end.
    pub(crate) async fn release(&mut self) -> bool {
        match self {
            Self::Dlock(client) => client.release().await,
            Self::Foreign(client) => client.release().await,
        }
    }

    /// Ends the client in the midst of what it does.
    pub(crate) async fn crash(self) {
        match self {
            Self::Dlock(client) => client.crash(),
            Self::Foreign(client) => client.kill().await,
        }
    }
}

/// Our client, which can end as a process does.
pub(crate) struct Dlock {
    runtime: Option<Runtime>,
    tap: Arc<Tap>,
    locks: LockManager,
    waiting: Option<JoinHandle<Result<LockGuard, LockError>>>,
    guard: Option<LockGuard>,
}

impl Dlock {
    async fn start(server: &RedisServer, recipe: Recipe) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let tap = Tap::new(Arc::new(runtime.spawn(backend(server.url(), recipe)).await.unwrap()));
        let locks = over(Arc::clone(&tap));
        Self { runtime: Some(runtime), tap, locks, waiting: None, guard: None }
    }

    async fn try_acquire(&mut self, key: &str, ttl: Duration) -> bool {
        let attempt = self.locks.lock(key).ttl(ttl).try_acquire();
        self.guard = self.runtime().spawn(attempt).await.unwrap().unwrap();
        self.guard.is_some()
    }

    async fn acquire(&mut self, key: &str, ttl: Duration) {
        self.waiting = Some(self.runtime().spawn(self.locks.lock(key).ttl(ttl).acquire()));
        self.granted().await;
    }

    async fn wait_for(&mut self, key: &str, ttl: Duration, server: &RedisServer) {
        let before = lock_commands(server);
        self.waiting = Some(self.runtime().spawn(self.locks.lock(key).ttl(ttl).acquire()));
        wait_until_async("the server has refused us", PATIENCE, async || lock_commands(server) > before)
            .await;
        assert!(self.waiting.as_ref().is_some_and(|waiting| !waiting.is_finished()), "it is another's");
    }

    async fn granted(&mut self) {
        self.guard = Some(self.waiting.take().unwrap().await.unwrap().unwrap());
    }

    async fn release(&mut self) -> bool {
        let guard = self.guard.take().unwrap();
        let released = self.runtime().spawn(guard.release()).await.unwrap();
        let lost = matches!(&released, Err(error) if error.kind() == ErrorKind::Lost);
        assert!(lost || released.is_ok(), "{released:?}");
        !lost
    }

    /// After a crash nothing is released, and nothing renewed.
    fn crash(self) {
        self.tap.cut();
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }
}

impl Drop for Dlock {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// How many commands the server ran so far by which we could acquire a lock.
fn lock_commands(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]);
    let commands = ["cmdstat_evalsha:", "cmdstat_eval:", "cmdstat_set:"];
    let lines = stats.lines().filter(|line| commands.iter().any(|command| line.starts_with(command)));
    lines.map(|line| line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap()).sum()
}
