//! Ours, the raw commands, and other libraries, behind one face.

mod baton;
mod distributed_lock;
mod dlock;
mod raw_redis;
mod raw_zookeeper;
mod redlock;
mod routers;
mod rslock;
mod sharded_mutex;
mod zookeeper_recipe;

use crate::loads::Visitor;
use crate::servers::Kind;
use anyhow::{Result, bail};
use dlock_core::backend::redis::Recipe;
use dlock_core::{HandOver, LockManager};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::time::Duration;

/// A way of locking. One value is shared by all tasks of a worker.
pub(crate) trait Locks: Send + Sync + 'static {
    type Held: Send + 'static;

    /// Makes what must be there before the first acquisition of `key`. Many may do so at once.
    fn prepare(&self, key: &str) -> impl Future<Output = Result<()>> + Send {
        let _ = key;
        async { Ok(()) }
    }

    /// Waits until the lock is held.
    fn acquire(&self, key: &str) -> impl Future<Output = Result<Self::Held>> + Send;

    fn release(&self, held: Self::Held) -> impl Future<Output = Result<()>> + Send;

    /// Whether the lock is held still, as far as this process knows.
    fn is_held(&self, held: &Self::Held) -> bool {
        let _ = held;
        true
    }
}

/// Something short that is done again and again.
pub(crate) trait Cycle: Send + Sync + 'static {
    fn cycle(&self) -> impl Future<Output = Result<()>> + Send;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Contender {
    /// Over Redis, as it comes.
    Dlock,
    /// The same on a runtime of one thread.
    DlockOneThread,
    /// The same without a hand-over inside the process.
    DlockInLine,
    /// By the recipe without a queue, which promises what the raw commands do, and a token.
    DlockPlain,
    /// SET NX PX and a script that compares and deletes, over one multiplexed connection.
    RawRedis,
    RawRedisOneThread,
    /// A token in a list: BLPOP takes it, LPUSH gives it back. Not safe against crashes: a limit, not a lock.
    Baton,
    Rslock,
    Redlock,
    DistributedLock,
    DlockZooKeeper,
    /// The same without a hand-over inside the process.
    DlockZooKeeperInLine,
    /// A node is created, its siblings are listed, it is deleted.
    RawZooKeeper,
    /// The recipe of the crate zookeeper-client; the delete is waited for.
    ZooKeeperRecipe,
    DlockEmbedded,
    ShardedMutex,
    Annotated,
    HandWritten,
    RouterWithLayer,
    BareRouter,
}

/// The lease where nothing depends on it.
const LEASE: Duration = Duration::from_secs(30);

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dlock => "dlock",
            Self::DlockOneThread => "dlock, 1 thread",
            Self::DlockInLine => "dlock, hand-over off",
            Self::DlockPlain => "dlock, Recipe::Plain",
            Self::DlockZooKeeper => "dlock, ZooKeeper",
            Self::DlockZooKeeperInLine => "dlock, ZooKeeper, hand-over off",
            Self::RawRedis => "raw commands",
            Self::RawRedisOneThread => "raw commands, 1 thread",
            Self::Baton => "BLPOP baton",
            Self::Rslock => "rslock",
            Self::Redlock => "redlock",
            Self::DistributedLock => "distributed-lock-redis",
            Self::RawZooKeeper => "create, list, delete",
            Self::ZooKeeperRecipe => "zookeeper-client recipe",
            Self::DlockEmbedded => "dlock embedded",
            Self::ShardedMutex => "tokio Mutex in a sharded map",
            Self::Annotated => "#[distributed_lock]",
            Self::HandWritten => "hand-written lock",
            Self::RouterWithLayer => "router with LockLayer",
            Self::BareRouter => "bare router",
        }
    }

    /// Whether dlock is measured against this, as opposed to something that a program would use instead of dlock.
    pub(crate) fn is_reference(self) -> bool {
        matches!(
            self,
            Self::RawRedis
                | Self::RawRedisOneThread
                | Self::Baton
                | Self::RawZooKeeper
                | Self::ShardedMutex
                | Self::HandWritten
                | Self::BareRouter
        )
    }

    pub(crate) fn is_ours(self) -> bool {
        !self.is_reference()
            && !matches!(self, Self::Rslock | Self::Redlock | Self::DistributedLock | Self::ZooKeeperRecipe)
    }

    pub(crate) fn runs_on_one_thread(self) -> bool {
        matches!(self, Self::DlockOneThread | Self::RawRedisOneThread)
    }

    /// How many places in the server's queue this many waiters of one process take.
    pub(crate) fn places(self, waiters: usize) -> usize {
        match self {
            Self::DlockInLine | Self::DlockZooKeeperInLine => waiters,
            _ => waiters.min(1),
        }
    }

    pub(crate) fn server(self) -> Kind {
        match self {
            Self::DlockZooKeeper | Self::DlockZooKeeperInLine => Kind::ZooKeeper,
            Self::RawZooKeeper | Self::ZooKeeperRecipe => Kind::ZooKeeper,
            Self::Dlock | Self::DlockOneThread | Self::DlockInLine | Self::DlockPlain => Kind::Redis,
            Self::RawRedis | Self::RawRedisOneThread | Self::Baton => Kind::Redis,
            Self::Rslock | Self::Redlock | Self::DistributedLock => Kind::Redis,
            Self::DlockEmbedded | Self::ShardedMutex | Self::Annotated | Self::HandWritten => Kind::Nowhere,
            Self::RouterWithLayer | Self::BareRouter => Kind::Nowhere,
        }
    }

    /// Whether a command that the server counted was sent by this contender, as opposed to called by its scripts.
    pub(crate) fn sends(self, command: &str) -> bool {
        match command {
            "evalsha" | "eval" | "fcall" | "subscribe" | "ssubscribe" | "ping" | "wait" | "blpop" => true,
            "set" => !self.is_ours() || self == Self::DlockPlain,
            "lpush" => !self.is_ours(),
            "packets" => true,
            _ => command.starts_with("client|") && command != "client|list",
        }
    }

    /// Ours, for what only ours can do.
    pub(crate) async fn connect(self, address: &str) -> Result<LockManager> {
        self.manager(address, LEASE).await
    }

    async fn manager(self, address: &str, lease: Duration) -> Result<LockManager> {
        match self {
            Self::Dlock | Self::DlockOneThread => {
                dlock::over_redis(address, lease, Recipe::Fair, HandOver::default()).await
            }
            Self::DlockInLine => dlock::over_redis(address, lease, Recipe::Fair, HandOver::OFF).await,
            Self::DlockPlain => dlock::over_redis(address, lease, Recipe::Plain, HandOver::default()).await,
            Self::DlockZooKeeper => dlock::over_zookeeper(address, lease, HandOver::default()).await,
            Self::DlockZooKeeperInLine => dlock::over_zookeeper(address, lease, HandOver::OFF).await,
            Self::DlockEmbedded => dlock::embedded(lease),
            other => bail!("{} is not one of ours", other.name()),
        }
    }

    /// Connects with leases of `lease`, and has `visitor` do its work with it.
    pub(crate) async fn visit(
        self,
        address: &str,
        lease: Option<Duration>,
        visitor: Visitor<'_>,
    ) -> Result<()> {
        let lease = lease.unwrap_or(LEASE);
        match self {
            Self::Dlock
            | Self::DlockOneThread
            | Self::DlockInLine
            | Self::DlockPlain
            | Self::DlockZooKeeper
            | Self::DlockZooKeeperInLine
            | Self::DlockEmbedded => visitor.drive(self.manager(address, lease).await?).await,
            Self::RawRedis | Self::RawRedisOneThread => {
                visitor.drive(raw_redis::Commands::connect(address, lease).await?).await
            }
            Self::Baton => visitor.drive(baton::Baton::connect(address)?).await,
            Self::Rslock if visitor.holds() => visitor.drive(rslock::Renewed::connect(address, lease)).await,
            Self::Rslock => visitor.drive(rslock::Rslock::connect(address, lease)).await,
            Self::Redlock => visitor.drive(redlock::Redlock::connect(address, lease)).await,
            Self::DistributedLock => {
                visitor.drive(distributed_lock::Provider::connect(address, lease).await?).await
            }
            Self::RawZooKeeper => visitor.drive(raw_zookeeper::Nodes::connect(address).await?).await,
            Self::ZooKeeperRecipe => visitor.drive(zookeeper_recipe::Recipe::connect(address).await?).await,
            Self::ShardedMutex => visitor.drive(sharded_mutex::ShardedMutex::default()).await,
            Self::Annotated => visitor.repeat(dlock::Annotated::new()?).await,
            Self::HandWritten => visitor.repeat(dlock::HandWritten::new()?).await,
            Self::RouterWithLayer => visitor.repeat(routers::with_layer()?).await,
            Self::BareRouter => visitor.repeat(routers::bare()).await,
        }
    }
}
