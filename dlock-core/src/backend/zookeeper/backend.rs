//! Acquiring, renewing and releasing.

use super::acquire::Acquire;
use super::locks::{NAME, ZooKeeperLocks};
use super::{Recipe, release, revocation};
use crate::backend::{
    AcquireRequest, Admin, Backend, BackendFuture, Claim, Grant, RevokedFuture, without_shares,
};
use crate::error::{LockError, Operation};
use crate::guarantees::Guarantees;
use crate::keeper::shielded;
use crate::key::{LockKey, Namespace};
use crate::time::Moment;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Keeps the locks in a ZooKeeper ensemble.
///
/// Every key has a directory below the root, and every acquisition an ephemeral sequential node in it. The node with
/// the lowest number holds the lock, and each other waits for the one ahead of it. So a release wakes one waiter. This
/// is the recipe of the [ZooKeeper documentation][recipe], with the node names of Apache Curator: Java programs that
/// use its `InterProcessMutex` on `/locks/order:42`, and dlock with the key `order:42`, exclude each other, and so do
/// clients of go-zookeeper. A free lock costs one request, and its release another. Requests of many tasks at once
/// share one. For keys that are tried and not waited for, there is [`Recipe::Simple`](super::Recipe::Simple).
///
/// ```no_run
/// use dlock_core::{LockManager, ZooKeeperBackend};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
/// let backend = ZooKeeperBackend::builder()
///     .hosts("zk1:2181,zk2:2181,zk3:2181")
///     .root("/locks")
///     .session_timeout(Duration::from_secs(10))
///     .build()
///     .await?;
/// let locks = LockManager::builder(backend).build()?;
/// let guard = locks.lock("order:42").await?;
/// # guard.release().await }
/// ```
///
/// To share locks with Python's kazoo, or with all of them at once, see [`Dialect`](super::Dialect).
///
/// # The lease is the session's
///
/// All locks of one backend value live in one session. A dead holder's lock is free when the servers end its session:
/// after the *negotiated* session timeout, whatever the `ttl` says. The `ttl` only sets how often the session is
/// checked. Heartbeats that the leader answers confirm the session. A guard is valid for at most six tenths of the
/// session timeout (by default) after the last answered heartbeat was sent, by the clock of this machine. So the guard
/// of a holder that was cut off ends before the next one is granted, even behind a server that still answers. If the
/// session turns out to live on, the holder's node is removed then. With ZooKeeper 3.6 or newer, a node that another
/// client removes ends its guard by about the next heartbeat.
///
/// **Assumptions.** Exclusion of valid guards holds while clocks run at rates that differ by less than 1 %, a session
/// timeout is two ticks or longer, and no other client removes lock nodes. It does not depend on the time of day of any
/// clock. It survives the loss of a minority of the servers and changes of the leader; a majority must be up. A fencing
/// token is 64 times the `czxid` of the lock node. That rises across leaders, and when a directory is removed and made
/// again. The numbers up to the next multiple of 64 are for a [hand-over](crate::LockManagerBuilder::hand_over). A key
/// can be locked about 2^31 times before its directory must be removed once, which the servers do when it has been
/// empty for a while. From half of that on a warning is logged, and near the end acquiring fails with
/// [`ErrorKind::SequenceExhausted`](crate::ErrorKind::SequenceExhausted).
///
/// Lock directories are dlock's own: their data is overwritten, and they are made as container nodes (except with
/// [`Dialect::Kazoo`](super::Dialect::Kazoo)). Each key is one path segment. Bytes that ZooKeeper does not allow in
/// one, and all that are not ASCII, are percent-encoded. At debug level the client library logs the names of nodes. A
/// client that knows such a name, and may write there, can free the lock.
///
/// A [namespace](crate::LockManagerBuilder::namespace) is a directory in the root, and the keys' directories lie in it:
/// `/locks/shop:/order:42`. That is what a program in another language has to lock. The directory has the name that a
/// key `shop:` would have, so do not lock such a key without a namespace.
///
/// Clones share the session, and so do namespaces. It lives on a thread of the library's own, and depends on no runtime
/// of a caller.
///
/// # Servers
/// It needs ZooKeeper 3.5 or newer. Building a backend checks which requests the servers know, since some speak only a
/// part of ZooKeeper's protocol:
///
/// | what is missing | what happens |
/// |---|---|
/// | `sync`, or `create2` | refused: no recipe works without them |
/// | `create2` in transactions | refused; [`Recipe::Simple`](super::Recipe::Simple) needs none |
/// | container nodes | a warning: the directory of a key stays, as with [`Dialect::Kazoo`](super::Dialect::Kazoo) |
/// | `getEphemerals` (before ZooKeeper 3.6) | a warning: a guard does not notice that its node was removed by hand |
///
/// [recipe]: https://zookeeper.apache.org/doc/current/recipes.html#sc_recipes_Locks
#[derive(Clone)]
pub struct ZooKeeperBackend(Arc<ZooKeeperLocks>);

impl ZooKeeperBackend {
    pub(super) fn of(locks: Arc<ZooKeeperLocks>) -> Self {
        Self(locks)
    }

    pub(super) fn locks(&self) -> &ZooKeeperLocks {
        &self.0
    }

    /// This backend for the keys of a namespace, inside the one that it already has. It shares the session.
    /// [`LockManagerBuilder::namespace`](crate::LockManagerBuilder::namespace) calls this. Call it yourself to
    /// [`revoke`](Self::revoke) in a namespace.
    ///
    /// # Errors
    /// As [`Namespace::within`].
    pub fn in_namespace(&self, namespace: &Namespace) -> Result<Self, LockError> {
        Ok(Self(Arc::new(self.0.namespaced(namespace)?)))
    }

    /// Asks the present holder of `key` to let go, in the way of Apache Curator. If the holder waits for
    /// [`LockGuard::revoked`], that returns; in a Java program that made its mutex revocable, the listener is called.
    /// The holder keeps the lock until it releases it, and it need not release it.
    ///
    /// # Errors
    /// [`ErrorKind::NotHeld`] if no client has the lock, [`ErrorKind::Auth`] if the holder's node belongs to another
    /// account, and [`ErrorKind::Unavailable`] if the servers do not answer. Then it is unknown whether the holder was
    /// asked, and asking again does no harm.
    ///
    /// # Cancel safety
    /// If the future is dropped, the holder may or may not have been asked.
    ///
    /// [`LockGuard::revoked`]: crate::LockGuard::revoked
    /// [`ErrorKind::NotHeld`]: crate::ErrorKind::NotHeld
    /// [`ErrorKind::Auth`]: crate::ErrorKind::Auth
    /// [`ErrorKind::Unavailable`]: crate::ErrorKind::Unavailable
    pub async fn revoke(&self, key: &LockKey) -> Result<(), LockError> {
        self.0.check(key)?;
        let asked = shielded(revocation::ask(&self.0, key)).await;
        let hosts = self.0.settings.hosts();
        asked.map_err(|error| {
            error.with_operation(Operation::Revoke).with_key(key).with_backend(NAME).with_server(hosts)
        })
    }
}

impl Backend for ZooKeeperBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn guarantees(&self) -> Guarantees {
        match self.0.settings.recipe() {
            Recipe::Sequential => Guarantees::all() - Guarantees::SHARES,
            Recipe::Simple => Guarantees::all() - Guarantees::SHARES - Guarantees::QUEUE,
        }
    }

    fn longest_lease(&self, claim: &Claim) -> Duration {
        release::longest_lease(&self.0, claim)
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async move {
            self.0.check(&request.claim.key)?;
            let outcome = shielded(Acquire::new(&self.0, request).run()).await;
            outcome.map_err(|error| self.name(error, Operation::Acquire, &request.claim))
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async move {
            let outcome = shielded(release::renew(&self.0, claim)).await;
            outcome.map_err(|error| self.name(error, Operation::Renew, claim))
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            let outcome = shielded(release::release(&self.0, claim)).await;
            outcome.map_err(|error| self.name(error, Operation::Release, claim))
        })
    }

    fn exchange<'a>(&'a self, _: &'a Claim, _: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        without_shares(Backend::name(self))
    }

    fn revoked<'a>(&'a self, claim: &'a Claim) -> RevokedFuture<'a> {
        Box::pin(shielded(revocation::requested(&self.0, claim)))
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }

    fn namespace(&self) -> Option<&Namespace> {
        self.0.namespace()
    }

    fn namespaced(&self, namespace: &Namespace) -> Result<Option<Arc<dyn Backend>>, LockError> {
        Ok(Some(Arc::new(self.in_namespace(namespace)?)))
    }
}

impl ZooKeeperBackend {
    fn name(&self, error: LockError, operation: Operation, claim: &Claim) -> LockError {
        let hosts = self.0.settings.hosts();
        error.with_operation(operation).with_key(&claim.key).with_backend(NAME).with_server(hosts)
    }
}

/// Without user and password.
impl fmt::Debug for ZooKeeperBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperBackend")
            .field("settings", &self.0.settings)
            .field("namespace", &self.0.namespace())
            .finish()
    }
}
