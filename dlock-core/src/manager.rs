//! Where the layers meet: a backend, the renewal, and the background work.

use crate::backend::{Backend, answers, prefixed, token_floor};
use crate::error::{ErrorKind, LockError};
use crate::guarantees::Guarantees;
use crate::hand_over::{HandOver, HandOverBackend};
use crate::handles::Handles;
use crate::keeper::Background;
use crate::key::{LockKey, Namespace};
use crate::kind::{Exclusive, LockKind, Reader};
use crate::label::Label;
use crate::lease::{MaxHold, Ttl};
use crate::renewal::Renewal;
use crate::request::LockRequest;
use crate::semaphore::Semaphore;
use crate::settings::ManagerSettings;
use crate::shared::Shared;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Hands out locks that one backend keeps. It is cheap to clone, and all clones are one manager.
///
/// ```
/// use dlock_core::{EmbeddedBackend, LockManager};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
/// let locks = LockManager::builder(EmbeddedBackend::new()).ttl(Duration::from_secs(10)).build()?;
/// let guard = locks.lock("order:42").await?;
/// assert!(guard.is_valid());
/// guard.release().await?;
/// locks.shutdown().await?;
/// # Ok(()) }
/// ```
///
/// The drop of the last clone waits for pending releases, for 200 ms at most. So a program that just ends usually
/// leaves no lock behind. See [`flush_on_drop`](LockManagerBuilder::flush_on_drop).
pub struct LockManager {
    shared: Arc<Shared>,
}

impl LockManager {
    /// A manager over `backend`, with the defaults named at each setter.
    pub fn builder(backend: impl Backend) -> LockManagerBuilder {
        LockManagerBuilder { backend: Arc::new(backend), settings: ManagerSettings::default() }
    }

    /// A manager over the backend that `url` names, with the options of the URL and defaults for all others.
    ///
    /// | URL | backend |
    /// |---|---|
    /// | `memory:` | a new [`EmbeddedBackend`](crate::EmbeddedBackend) |
    /// | `redis://[user:password@]host[:6379][/db]` | `RedisBackend` (feature `redis`) |
    /// | `unix://[user:password@]/path` or `redis+unix://…` | the same, by a socket of this machine |
    /// | `redis+sentinel://[user:password@]host[:26379][,…]/service[/db]` | the same, for the primary that these sentinels name |
    /// | `redis+cluster://[user:password@]host[:6379][,…][/db]` | the same, for the cluster that these nodes belong to |
    /// | `rediss://…`, `rediss+sentinel://…`, `rediss+cluster://…` | the same over TLS (feature `redis-tls`) |
    /// | `redlock://[user:password@]a[:6379],b,c[/db]`, `rediss+redlock://…` | `RedlockBackend`, the same features |
    /// | `zookeeper://[user:password@]host:2181[,host:2181…][/root]`, `zookeeper+tls://…` | `ZooKeeperBackend` (features `zookeeper`, `zookeeper-tls`) |
    ///
    /// A scheme may be in any case, and `valkey` and `valkeys` may stand for `redis` and `rediss`.
    ///
    /// # Options
    /// Options follow a question mark: `redis://10.0.0.5/?ttl=30s&wait=5s&quarantine=30s`. Each has the name of the
    /// builder's method. A duration is a number and a unit: `500ms`, `30s`, `5m` or `1h`. Percent-encode characters
    /// that have a meaning in a URL. An unknown option is an error that names it.
    ///
    /// | option of every backend | value |
    /// |---|---|
    /// | [`ttl`](LockManagerBuilder::ttl) | a duration |
    /// | [`wait`](LockManagerBuilder::wait) | a duration, or `max` |
    /// | [`max_hold`](LockManagerBuilder::max_hold) | a duration, or `max` |
    /// | [`hand_over`](LockManagerBuilder::hand_over) | `off`, or holders and a duration: `16,10ms` |
    /// | [`flush_on_drop`](LockManagerBuilder::flush_on_drop) | a duration |
    /// | [`token_floor`](LockManagerBuilder::token_floor) | a number |
    /// | [`require`](LockManagerBuilder::require) | names of [`Guarantees`] with commas: `queue,across_restarts` |
    /// | [`label`](LockManagerBuilder::label) | text |
    /// | `namespace` | the [namespace](LockManagerBuilder::namespace) of the backend, from the first connection on: `shop:` |
    ///
    /// The `url` methods of the backends' builders list those of one backend.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for a URL that is none of these and for an option that is wrong,
    /// [`ErrorKind::Unsupported`] if the feature is off, and what the backend's builder returns.
    ///
    /// # Cancel safety
    /// Dropping the future gives the connection up.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// use dlock_core::{ErrorKind, LockManager};
    ///
    /// let locks = LockManager::connect("memory:?ttl=10s&wait=2s").await?;
    /// assert!(locks.lock("order:42").await?.is_valid());
    ///
    /// let refused = LockManager::connect("memory:?tll=10s").await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::InvalidOption);
    /// assert!(refused.to_string().contains("tll"));
    /// # Ok(()) }
    /// ```
    pub async fn connect(url: &str) -> Result<Self, LockError> {
        Self::builder_from_url(url).await?.build()
    }

    /// A builder with what the URL says, for settings that are not in the URL. A setter of the builder wins over an
    /// option of the URL.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Dropping the future gives the connection up.
    ///
    /// ```
    /// use dlock_core::{ErrorKind, HandOver, LockManager};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let url = "memory:?wait=1m"; // from the environment
    /// let builder = LockManager::builder_from_url(url).await?;
    /// let locks = builder.wait(Duration::from_millis(5)).hand_over(HandOver::OFF).build()?;
    ///
    /// let held = locks.lock("order:42").await?;
    /// assert_eq!(locks.lock("order:42").await.unwrap_err().kind(), ErrorKind::Busy);
    /// # held.release().await }
    /// ```
    pub async fn builder_from_url(url: &str) -> Result<LockManagerBuilder, LockError> {
        let (backend, settings) = crate::connect::backend(url).await?;
        Ok(LockManagerBuilder { backend, settings })
    }

    /// A request for the lock on `key`. Set its options, then `.await` it.
    ///
    /// A key that is not valid is reported when the request is awaited.
    pub fn lock<K>(&self, key: K) -> LockRequest
    where
        K: TryInto<LockKey>,
        K::Error: Into<LockError>,
    {
        self.request(key, Exclusive(()))
    }

    /// The same as [`lock`](Self::lock): a writer has all of the key. Beside it are no readers.
    pub fn write<K>(&self, key: K) -> LockRequest
    where
        K: TryInto<LockKey>,
        K::Error: Into<LockError>,
    {
        self.lock(key)
    }

    /// A request for a reader's part of `key`. Readers hold it together, each with a lease and a token of its own; a
    /// [writer](Self::write) holds it alone.
    ///
    /// They are served in the order in which they came. A waiting writer stops the readers behind it, and readers next to each
    /// other in the queue enter together. So neither side starves.
    ///
    /// A reader that asks again inside its own scope fails with [`ErrorKind::Reentrant`], since it would wait for itself as
    /// soon as a writer waits in between.
    ///
    /// The backend must promise [`Guarantees::SHARES`]. While readers hold the key, a plain [`lock`](Self::lock) on it waits, in
    /// other processes too.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:").await?;
    /// let (one, other) = (locks.read("config").await?, locks.read("config").await?);
    /// assert!(other.token() > one.token());
    /// assert!(locks.write("config").try_acquire().await?.is_none());
    /// drop((one, other));
    /// assert!(locks.write("config").try_acquire().await?.is_some());
    /// # Ok(()) }
    /// ```
    pub fn read<K>(&self, key: K) -> LockRequest<Reader>
    where
        K: TryInto<LockKey>,
        K::Error: Into<LockError>,
    {
        self.request(key, Reader(()))
    }

    /// A semaphore of this many permits, over all processes that name it.
    ///
    /// A wrong name, or a wrong number of permits, is reported when a request is awaited.
    pub fn semaphore<K>(&self, name: K, permits: u32) -> Semaphore
    where
        K: TryInto<LockKey>,
        K::Error: Into<LockError>,
    {
        Semaphore::new(Arc::clone(&self.shared), name.try_into().map_err(Into::into), permits)
    }

    fn request<S, K>(&self, key: K, kind: S) -> LockRequest<S>
    where
        S: LockKind,
        K: TryInto<LockKey>,
        K::Error: Into<LockError>,
    {
        LockRequest::new(Arc::clone(&self.shared), key.try_into().map_err(Into::into), kind)
    }

    /// Acquires the lock on `key`, runs `work` under it and releases it. If the lock is lost, `work` is dropped at its
    /// next await.
    ///
    /// # Errors
    /// As [`LockRequest::acquire`], and [`ErrorKind::Lost`] if the lock was lost while `work` ran. A failed
    /// release is not an error: the lease ends it.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work` and releases the lock in the background.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:").await?;
    /// assert_eq!(locks.run("order:42", async { 7 }).await?, 7);
    /// # Ok(()) }
    /// ```
    pub async fn run<K, F>(&self, key: K, work: F) -> Result<F::Output, LockError>
    where
        K: TryInto<LockKey>,
        K::Error: Into<LockError>,
        F: Future,
    {
        let mut work = pin!(work);
        let guard = self.lock(key).await?;
        let output = guard.run(work.as_mut()).await?;
        guard.release_quietly().await;
        Ok(output)
    }

    /// The name of the backend, such as `"redis"`.
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        self.shared.backend.name()
    }

    /// What the backend promises.
    #[must_use]
    pub fn guarantees(&self) -> Guarantees {
        self.shared.backend.guarantees()
    }

    /// Whether `other` is a clone of this manager.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        shared.handles.add();
        Self { shared }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Clone for LockManager {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.shared))
    }
}

impl AsRef<Self> for LockManager {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for LockManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

/// How many managers this process has made.
static MANAGERS: AtomicU64 = AtomicU64::new(0);

/// Settings of a [`LockManager`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct LockManagerBuilder {
    backend: Arc<dyn Backend>,
    settings: ManagerSettings,
}

impl LockManagerBuilder {
    /// The length of a lease: how long the lock of a dead holder stays taken. A live holder's lease is renewed when a
    /// third of it has passed. 100 ms to 24 h, by default 30 seconds.
    ///
    /// ZooKeeper ends a dead holder's lock with its session. There the ttl only bounds the time between two checks of
    /// the session.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl;
        self
    }

    /// How long a request waits for its turn, unless the request says otherwise. By default 60 seconds;
    /// [`Duration::MAX`] waits without end, and zero tries once.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.wait = wait;
        self
    }

    /// How long a guard may hold its lock unless its request says otherwise. By default there is no limit, which is
    /// [`Duration::MAX`]. After it the guard is lost, and its lease is no longer renewed.
    /// [`LockRequest::max_hold`](crate::LockRequest::max_hold) says what becomes of the key.
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.settings.max_hold = max_hold;
        self
    }

    /// How far a grant may go round inside this process before another process has its turn. By default 64 holders and
    /// 50 ms.
    ///
    /// The waiters of this process stand in one line, first come, first served, and the process asks the backend once
    /// for all of them. Processes take turns: while others wait, a process gets a bounded number of grants in a row,
    /// within a bounded time. With [`HandOver::OFF`] each waiter asks the backend itself, and the order is strict over
    /// all processes.
    ///
    /// It needs a backend that gives tokens in blocks: Redis with a queue, a majority of Redis servers, or ZooKeeper.
    /// With others the waiters stand in line too, but every release goes to the backend. The embedded backend is in the
    /// process itself and needs none of this: there the order is strict over all managers.
    ///
    /// ```
    /// use dlock_core::{EmbeddedBackend, ErrorKind, HandOver, LockManager};
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), dlock_core::LockError> {
    /// let builder = || LockManager::builder(EmbeddedBackend::new());
    /// builder().hand_over(HandOver::new(16, Duration::from_millis(10))).build()?;
    /// builder().hand_over(HandOver::OFF).build()?;
    /// let refused = builder().hand_over(HandOver::new(65, Duration::MAX)).build().unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::InvalidOption);
    /// # Ok(()) }
    /// ```
    pub fn hand_over(mut self, hand_over: HandOver) -> Self {
        self.settings.hand_over = hand_over;
        self
    }

    /// Lifts all tokens above `floor`, by default 0, at most 2^62. It is for a program that moves to a backend whose
    /// tokens are smaller. [`FencingToken`](crate::FencingToken) says which backends can follow each other without it.
    ///
    /// Choose the greatest token that the old backend gave: the greatest fence in the store that the tokens protect.
    /// Every process of the program must have the same floor: tokens of different floors do not rise together. To raise
    /// it later, end all processes first.
    ///
    /// ```
    /// use dlock_core::{EmbeddedBackend, LockManager};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let before = LockManager::builder(EmbeddedBackend::new()).build()?.lock("order:42").await?.token();
    /// let locks = LockManager::builder(EmbeddedBackend::new()).token_floor(before.as_u64()).build()?;
    /// assert!(locks.lock("order:42").await?.token().as_u64() > before.as_u64());
    /// # Ok(()) }
    /// ```
    pub fn token_floor(mut self, floor: u64) -> Self {
        self.settings.token_floor = floor;
        self
    }

    /// What the backend has to promise, by default nothing. If it promises less, [`build`](Self::build) fails with an
    /// error that names what is missing, and what helps. So a program that needs a promise does not start over a backend
    /// without it, whatever its URL says. Further calls add to what is required.
    ///
    /// ```
    /// use dlock_core::{EmbeddedBackend, ErrorKind, Guarantees, LockManager};
    ///
    /// # fn main() -> Result<(), dlock_core::LockError> {
    /// let builder = || LockManager::builder(EmbeddedBackend::new());
    /// builder().require(Guarantees::QUEUE).build()?;
    /// let refused = builder().require(Guarantees::ACROSS_PROCESSES).build().unwrap_err();
    /// assert_eq!(refused.missing_guarantees(), Guarantees::ACROSS_PROCESSES);
    /// assert!(refused.to_string().contains("use Redis or ZooKeeper"));
    /// # Ok(()) }
    /// ```
    pub fn require(mut self, guarantees: Guarantees) -> Self {
        self.settings.required |= guarantees;
        self
    }

    /// How long the drop of the manager's last clone waits for pending releases, by default 200 ms at most. All
    /// managers of a process together wait no longer than this. Zero turns it off.
    ///
    /// The drop blocks the thread meanwhile. After a [`shutdown`](LockManager::shutdown) there is nothing to wait for.
    pub fn flush_on_drop(mut self, patience: Duration) -> Self {
        self.settings.flush_on_drop = patience;
        self
    }

    /// What stands before every key of this manager, such as `shop:`; by default nothing. A [`Namespace`] keeps
    /// applications apart that share servers.
    ///
    /// | backend | the key `order:42` in `shop:` |
    /// |---|---|
    /// | Redis, Redlock | the string key `shop:order:42`. The queue, the counter and the channels begin with `shop:dlock:` |
    /// | ZooKeeper | the directory `shop:` below the root, and in it `order:42`; what a path cannot hold is encoded, as in keys |
    /// | embedded, and others | the key `shop:order:42` |
    ///
    /// Guards, errors and `assert_locked!` name the key without it: `order:42`. Error texts and
    /// spans name the namespace beside it. Annotations and the HTTP layer use the keys of their manager.
    ///
    /// If a Redis account is limited to one namespace, set the namespace on the backend's builder, since that builder
    /// checks the account when it connects: `RedisBackend::builder().namespace("shop:")`, or `?namespace=shop:` in the
    /// URL. If both have one, the backend's stands first. For a namespace of the manager, a Redis backend opens
    /// connections of its own with the first lock.
    ///
    /// Programs in other languages must lock the whole name: `shop:order:42` on Redis, `/locks/shop:/order:42` on
    /// ZooKeeper.
    ///
    /// # Changing it
    /// The same key in two namespaces is two locks. So while old and new processes run side by side, an old and a new
    /// one can hold a key at once. To change the namespace safely, stop all old processes, wait for one ttl (on
    /// ZooKeeper for one session timeout), and start the new ones. If the service must not stop, deploy a version in
    /// between that takes both locks, the old one first, and then a version that takes the new one alone.
    ///
    /// Fencing tokens go on rising: on ZooKeeper with its transactions, and on Redis with the server's clock, as long
    /// as that does not step back. A quarantine of Redis begins again for each namespace.
    ///
    /// On Redis, the key `order:42` in `shop:` and the key `shop:order:42` without a namespace exclude each other, but
    /// have two queues and two counters. Neither the order of waiters nor that of tokens holds across them. Name each
    /// lock in one way only.
    ///
    /// ```
    /// use dlock_core::{EmbeddedBackend, LockManager};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let backend = EmbeddedBackend::new();
    /// let shop = LockManager::builder(backend.clone()).namespace("shop:").build()?;
    /// let stock = LockManager::builder(backend).namespace("stock:").build()?;
    ///
    /// let guard = shop.lock("order:42").await?;
    /// assert_eq!(guard.key().as_bytes(), b"order:42");
    /// assert!(stock.lock("order:42").try_acquire().await?.is_some()); // another lock
    /// # Ok(()) }
    /// ```
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.settings.namespace = Some(namespace.into());
        self
    }

    /// What this process calls itself as a holder and as a waiter, by default nothing: 1 to 64 bytes of text, such as a host
    /// and a process id. A [request](crate::LockRequest::label) may set its own.
    ///
    /// People see it when they look who holds a lock. On Redis it stands in the owner's text, on ZooKeeper in the data of the
    /// owner's node, so a lock without a label costs nothing for it. A recipe that keeps no owner
    /// (`Recipe::Timestamp`) keeps no label.
    ///
    /// ```
    /// use dlock_core::{EmbeddedBackend, ErrorKind, LockManager};
    ///
    /// # fn main() -> Result<(), dlock_core::LockError> {
    /// let builder = || LockManager::builder(EmbeddedBackend::new());
    /// builder().label(format!("worker-7:{}", std::process::id())).build()?;
    /// assert_eq!(builder().label("").build().unwrap_err().kind(), ErrorKind::InvalidOption);
    /// # Ok(()) }
    /// ```
    pub fn label<L>(mut self, label: L) -> Self
    where
        L: TryInto<Label>,
        L::Error: Into<LockError>,
    {
        self.settings.label = Some(label.try_into().map_err(Into::into));
        self
    }

    /// Makes the manager. The first one in a process starts the library's own thread, `dlock-keeper`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if the ttl, `max_hold`, the hand-over or the label is out of its range or the
    /// namespace is not valid, [`ErrorKind::Unsupported`] if the backend lacks what is
    /// [required](Self::require), [`ErrorKind::Unavailable`] if the system gives no thread, and
    /// [`ErrorKind::NotConfigured`] in a process that was forked after a manager was built.
    pub fn build(mut self) -> Result<LockManager, LockError> {
        answers::promised(&*self.backend, self.settings.required)?;
        let settings = self.settings;
        let ManagerSettings {
            ttl,
            wait,
            max_hold,
            hand_over,
            flush_on_drop,
            token_floor,
            namespace,
            label,
            ..
        } = settings;
        let (ttl, max_hold, label) = (Ttl::new(ttl)?, MaxHold::new(max_hold)?, label.transpose()?);
        if !(1..=HandOver::MOST).contains(&hand_over.max) {
            let detail = "a hand-over is of 1 to 64 holders; 1 turns it off";
            return Err(LockError::new(ErrorKind::InvalidOption, detail));
        }
        if let Some(namespace) = namespace {
            self.backend = prefixed::in_namespace(self.backend, Namespace::new(namespace)?)?;
        }
        self.backend = token_floor::lifted(self.backend, token_floor)?;
        let releases = Background::new()?;
        if !self.backend.is_local() {
            self.backend = Arc::new(HandOverBackend::new(self.backend, hand_over, releases.clone()));
        }
        let renewal = Renewal::new(Arc::clone(&self.backend), releases.clone());
        let shared = Shared {
            number: MANAGERS.fetch_add(1, Ordering::Relaxed),
            clock: self.backend.clock(),
            backend: self.backend,
            ttl,
            wait,
            max_hold,
            label,
            renewal,
            closed: CancellationToken::new(),
            handles: Handles::new(flush_on_drop),
            releases,
        };
        Ok(LockManager::of(Arc::new(shared)))
    }
}
