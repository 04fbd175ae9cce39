//! Distributed locks for async Rust, over Redis, ZooKeeper or this process.
//!
//! [`LockManager`] hands out locks that a [`Backend`] keeps; [`LockGuard`] is a lock that is held.
//!
//! ```
//! use dlock_core::{EmbeddedBackend, LockManager};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
//! let locks = LockManager::builder(EmbeddedBackend::new()).ttl(Duration::from_secs(30)).build()?;
//!
//! let guard = locks.lock("order:42").wait(Duration::from_secs(2)).await?; // waits its turn
//! assert!(locks.lock("order:42").try_acquire().await?.is_none());         // the guard has it
//! let first = guard.token();                                              // for the store to compare
//! guard.release().await?;                                                 // or drop it
//!
//! let guard = locks.lock("order:42").await?;
//! assert!(guard.token() > first);
//! let total = guard.run(async { 19 + 23 }).await?;                        // stops if the lock is lost
//! assert_eq!(total, 42);
//! # Ok(()) }
//! ```
//!
//! # Readers, writers and permits
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
//! # let locks = dlock_core::LockManager::connect("memory:").await?;
//! let (one, other) = (locks.read("config").await?, locks.read("config").await?); // together
//! assert!(locks.write("config").try_acquire().await?.is_none());                 // a writer is alone
//!
//! let workers = locks.semaphore("workers", 8);                                   // in all processes together
//! let permit = workers.permits(3).await?;
//! assert_eq!(workers.available_permits().await?, 5);
//! # drop((one, other, permit)); Ok(()) }
//! ```
//!
//! [`LockManager::read`], [`LockManager::write`] and [`LockManager::semaphore`] need a backend that promises
//! [`Guarantees::SHARES`].
//!
//! # What a guard means
//!
//! dlock gives you a *lease*. While [`LockGuard::is_valid`] is true, no other dlock client has a valid guard
//! on that key, provided the assumptions listed for your backend hold. A program can be stopped for longer
//! than its lease without knowing. If two writers would corrupt data, pass the fencing token to a store that
//! refuses smaller ones: then the result is safe even when every timing assumption fails. Beside a reader other readers may
//! be valid, and beside permits others of the same semaphore, up to its number.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | – | [`EmbeddedBackend`] is always there |
//! | `redis`, `redis-tls` | `RedisBackend` and `RedlockBackend`, and `rediss://` |
//! | `zookeeper`, `zookeeper-tls` | `ZooKeeperBackend`, and `zookeeper+tls://` |
//! | `zookeeper-sasl` | accounts by SASL's DIGEST-MD5 for `ZooKeeperBackend` |
//! | `macros` | the attribute `#[distributed_lock]` |
//! | `testing` | the conformance suite for backends; exempt from semver |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod acquisition;
mod admin;
mod attempt;
mod connect;
mod current;
mod ending;
mod error;
mod guarantees;
mod guard;
mod hand_over;
mod handles;
mod holding;
mod inspect;
mod keeper;
mod key;
mod kind;
mod label;
mod lease;
mod manager;
mod other_number;
mod release;
mod renewal;
mod request;
mod scope;
mod semaphore;
mod settings;
mod shared;
mod spans;
mod template;
mod time;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
pub mod backend;
#[cfg(feature = "testing")]
pub mod testing;

/// The client library, whose [`Client`](::redis::Client) [`RedisBackendBuilder::client`] takes.
#[cfg(feature = "redis")]
pub use ::redis;
pub use admin::LockAdmin;
pub use backend::embedded::EmbeddedBackend;
#[cfg(feature = "redis")]
pub use backend::redis::{RedisBackend, RedisBackendBuilder, RedlockBackend, RedlockBackendBuilder};
#[cfg(feature = "zookeeper")]
pub use backend::zookeeper::{ZooKeeperBackend, ZooKeeperBackendBuilder};
pub use backend::{
    Backend, ClientKind, ForcedRelease, HolderView, Inspection, ListedLock, Share, WaiterView,
};
pub use current::{InstalledManager, with_locks};
pub use error::{ErrorKind, LockError, Operation};
pub use guarantees::Guarantees;
pub use guard::{LockGuard, Permit, ReadGuard, WriteGuard};
pub use hand_over::HandOver;
pub use inspect::LockList;
pub use key::{LockKey, Namespace};
pub use kind::{Exclusive, LockKind, Permits, Reader};
pub use label::Label;
pub use lease::{FencingToken, GuardState, Lease, LossReason, OwnerId, Ttl};
pub use manager::{LockManager, LockManagerBuilder};
pub use request::{AcquireFuture, LockRequest};
pub use scope::LockScope;
pub use semaphore::Semaphore;
pub use template::KeyTemplate;
pub use time::{Clock, Moment, TestClock, sleep_until};

/// Panics in a debug build unless the code runs under the lock on this key: in an annotated function, in
/// [`LockGuard::run`] or in another [`LockScope`]. In a release build it does nothing, and does not even make the key.
///
/// The key is written as in an annotation: a string whose placeholders name variables in scope. Or it is an expression:
/// a [`LockKey`], a value that can become one, or a `Result` of either.
///
/// ```
/// use dlock_core::{LockError, LockManager, assert_locked, distributed_lock};
///
/// #[distributed_lock("order:{id}", locks = locks)]
/// async fn ship(locks: &LockManager, id: u64) -> Result<u64, LockError> {
///     Ok(pack(id))
/// }
///
/// fn pack(id: u64) -> u64 {
///     assert_locked!("order:{id}");
///     id
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), LockError> {
/// let locks = LockManager::connect("memory:").await?;
/// assert_eq!(ship(&locks, 42).await?, 42);
/// # if cfg!(debug_assertions) {
/// assert!(std::panic::catch_unwind(|| pack(42)).is_err()); // not under the lock
/// # }
/// # Ok(()) }
/// ```
#[cfg(feature = "macros")]
#[macro_export]
macro_rules! assert_locked {
    ($($key:tt)*) => { $crate::__private::assert_locked!([$crate] $($key)*) };
}

#[cfg(feature = "macros")]
#[doc = include_str!("../docs/distributed_lock.md")]
pub use dlock_macros::distributed_lock;
