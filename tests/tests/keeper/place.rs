//! Where locks are kept, its clients, and what an independent client sees.

use crate::runtime::home;
use crate::{LIMIT, LONG};
use dlock_core::backend::Backend;
use dlock_core::{EmbeddedBackend, HandOver, LockError, LockGuard, LockManager};
use dlock_tests::{Link, backend_at, shared_redis, shared_zookeeper, wait_until_async};
use futures_executor::block_on;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Makes `NAME::embedded`, `NAME::redis` and `NAME::zookeeper` of a function that takes a [`Place`].
macro_rules! on_each {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use crate::place::Place;

            #[test]
            fn embedded() {
                super::$name(Place::Embedded);
            }

            #[test]
            fn redis() {
                super::$name(Place::Redis);
            }

            #[test]
            fn zookeeper() {
                super::$name(Place::ZooKeeper);
            }
        }
    )+};
}

/// As `on_each`, for what needs a server.
macro_rules! on_servers {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use crate::place::Place;

            #[test]
            fn redis() {
                super::$name(Place::Redis);
            }

            #[test]
            fn zookeeper() {
                super::$name(Place::ZooKeeper);
            }
        }
    )+};
}

/// As `on_each`, for a function that also takes a `HandOver`. The embedded backend has no use for one.
macro_rules! with_each_hand_over {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use crate::place::Place;
            use dlock_core::HandOver;

            #[test]
            fn embedded() {
                super::$name(Place::Embedded, HandOver::default());
            }

            #[test]
            fn redis() {
                super::$name(Place::Redis, HandOver::default());
            }

            #[test]
            fn redis_without_hand_over() {
                super::$name(Place::Redis, HandOver::OFF);
            }

            #[test]
            fn zookeeper() {
                super::$name(Place::ZooKeeper, HandOver::default());
            }

            #[test]
            fn zookeeper_without_hand_over() {
                super::$name(Place::ZooKeeper, HandOver::OFF);
            }
        }
    )+};
}

/// Where locks are kept. All tests share the servers and the embedded store, and have keys of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Embedded,
    Redis,
    ZooKeeper,
}

impl Place {
    pub(crate) fn address(self) -> SocketAddr {
        match self {
            Self::Embedded => panic!("it is not reached over a network"),
            Self::Redis => shared_redis().address(),
            Self::ZooKeeper => shared_zookeeper().address(),
        }
    }

    /// The URL of the server.
    pub(crate) fn url(self) -> String {
        self.url_of(self.address())
    }

    fn url_of(self, address: SocketAddr) -> String {
        match self {
            Self::ZooKeeper => format!("zookeeper://{address}/locks"),
            _ => format!("redis://{address}"),
        }
    }

    async fn backend(self, url: &str, lease: Duration) -> Arc<dyn Backend> {
        match self {
            Self::Embedded => Arc::new(STORE.clone()),
            _ => backend_at(url, lease).await.unwrap(),
        }
    }

    /// A client of its own, as another process would be. Its locks end after `lease` if nothing is done for them.
    pub(crate) fn client(self, lease: Duration) -> LockManager {
        block_on(self.client_of_this_runtime(lease))
    }

    /// As [`client`](Self::client), built where this is awaited.
    pub(crate) async fn client_of_this_runtime(self, lease: Duration) -> LockManager {
        let url = if self == Self::Embedded { String::new() } else { self.url() };
        manager(self.backend(&url, lease).await, lease, HandOver::default())
    }

    pub(crate) fn client_with(self, lease: Duration, hand_over: HandOver) -> LockManager {
        let url = if self == Self::Embedded { String::new() } else { self.url() };
        manager(block_on(self.backend(&url, lease)), lease, hand_over)
    }

    /// As [`client`](Self::client), over a link that can be cut.
    pub(crate) fn client_over(self, link: &Link, lease: Duration) -> LockManager {
        let backend = block_on(self.backend(&self.url_of(link.address()), lease));
        manager(backend, lease, HandOver::default())
    }

    /// A client that no test does anything to.
    pub(crate) fn observer(self) -> &'static LockManager {
        static OBSERVERS: [LazyLock<LockManager>; 3] = [
            LazyLock::new(|| Place::Embedded.client_with(LONG, HandOver::OFF)),
            LazyLock::new(|| Place::Redis.client_with(LONG, HandOver::OFF)),
            LazyLock::new(|| Place::ZooKeeper.client_with(LONG, HandOver::OFF)),
        ];
        &OBSERVERS[self as usize]
    }

    /// How many are in the server's queue for `key`, without the holder. None where it cannot be seen.
    pub(crate) fn waiters(self, key: &str) -> Option<usize> {
        match self {
            Self::Embedded => None,
            Self::Redis => shared_redis().command(&["ZCARD", &format!("dlock:w:p:{{{key}}}")]).parse().ok(),
            Self::ZooKeeper => {
                let nodes = shared_zookeeper().four_letter("dump").matches(&format!("/locks/{key}/")).count();
                Some(nodes.saturating_sub(1))
            }
        }
    }
}

fn manager(backend: Arc<dyn Backend>, lease: Duration, hand_over: HandOver) -> LockManager {
    let builder = LockManager::builder(backend).ttl(lease).wait(Duration::MAX);
    builder.hand_over(hand_over).build().unwrap()
}

static STORE: LazyLock<EmbeddedBackend> = LazyLock::new(EmbeddedBackend::new);

/// Nothing holds `key` or waits for it, or soon nothing does.
#[track_caller]
pub(crate) fn assert_free(place: Place, key: &str) {
    let (observer, what) = (place.observer(), format!("{key} is free"));
    home().block_on(wait_until_async(&what, LIMIT, async || is_free(observer, key).await));
}

/// The lock is held, here and for everyone else.
#[track_caller]
pub(crate) fn assert_kept(place: Place, guard: &LockGuard) {
    assert!(guard.is_valid(), "{:?}", guard.state());
    let (observer, key) = (place.observer(), guard.key().to_string());
    assert!(!home().block_on(is_free(observer, &key)), "another client was granted {key}");
}

async fn is_free(observer: &LockManager, key: &str) -> bool {
    match observer.lock(key).try_acquire().await.unwrap() {
        Some(guard) => guard.release().await.is_ok(),
        None => false,
    }
}

/// Polls `waiter` in `runtime` until `count` waiters are in the server's queue for `key`, and not again. In memory the
/// first poll enters the queue.
#[track_caller]
pub(crate) fn queue_up<F>(runtime: &Runtime, place: Place, key: &str, count: usize, waiter: &mut F)
where
    F: Future<Output = Result<LockGuard, LockError>> + Unpin,
{
    let what = format!("{count} are in the queue of {key}");
    let is_queued = async || place.waiters(key).is_none_or(|waiters| waiters >= count);
    let queued = wait_until_async(&what, LIMIT, is_queued);
    runtime.block_on(async {
        tokio::select! {
            biased;
            outcome = waiter => panic!("it did not have to wait: {outcome:?}"),
            () = queued => {}
        }
    });
}
