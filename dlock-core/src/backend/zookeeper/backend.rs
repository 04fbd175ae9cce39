//! Acquiring, renewing and releasing.

use super::acquire::Acquire;
use super::locks::{NAME, ZooKeeperLocks};
use super::{release, revocation};
use crate::backend::{AcquireRequest, Backend, BackendFuture, Claim, Grant, RevokedFuture};
use crate::error::{LockError, Operation};
use crate::keeper::shielded;
use crate::key::{LockKey, Namespace};
use crate::time::Moment;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Keeps the locks in a ZooKeeper ensemble.
///
/// Every key has a directory below the root, and every acquisition an ephemeral sequential node in it. The
/// node with the lowest number holds the lock; each other waits for the one ahead of it, so a release wakes
/// one waiter. This is the recipe of the [ZooKeeper documentation][recipe], with the node names of Apache
/// Curator: Java programs that use its `InterProcessMutex` on `/locks/order:42`, and dlock with the key
/// `order:42`, exclude each other, and so do clients of go-zookeeper. A lock that is free costs one request, a
/// release another; those that many tasks ask for at once go in one. For keys that are tried rather than waited for
/// there is [`Recipe::Simple`](super::Recipe::Simple).
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
/// For Python's kazoo, and for all of them at once, see [`Dialect`](super::Dialect).
///
/// # The lease is the session's
///
/// All locks of one backend value live in one session. A dead holder's lock is free when the servers end its
/// session: after the *negotiated* session timeout, whatever the `ttl` says; that one only sets how often the
/// session is looked at. The session is confirmed by heartbeats that the leader answers. A guard is valid for at
/// most six tenths of the session timeout, unless set otherwise, after the last of them was sent, counted here, so
/// a holder that was cut off, even behind a server that still answers it, ends before the next one is granted. Its
/// node is removed then, if the session turns out to live on. A node that another client removes ends its guard by
/// the next heartbeat or so (with ZooKeeper 3.6 or newer).
///
/// **Assumptions.** Exclusion of valid guards holds while clocks run at rates that differ by less than 1 %,
/// a session timeout is two ticks or longer, and no other client removes lock nodes. It depends on no clock's
/// time of day, and survives the loss of a minority of the servers and changes of the leader. A fencing
/// token is 64 times the `czxid` of the lock node, which rises across leaders and also when a directory is removed
/// and made again; the numbers up to the next one are for a [hand-over](crate::LockManagerBuilder::hand_over). A majority of the servers must be up. A key can be locked about 2^31 times before its directory,
/// which the servers remove when it has been empty for a while, must have been removed once: near that end
/// acquiring fails with [`ErrorKind::SequenceExhausted`](crate::ErrorKind::SequenceExhausted), and from half of it on
/// a warning is logged.
///
/// Lock directories are dlock's own: their data is overwritten, and they are made as container nodes (except with
/// [`Dialect::Kazoo`](super::Dialect::Kazoo)). Keys are
/// one path segment each; what ZooKeeper does not take in one is percent-encoded, as is all that is not ASCII.
/// At debug level the client library logs the names of nodes. A client that knows one and may write there can free
/// the lock.
///
/// A [namespace](crate::LockManagerBuilder::namespace) is a directory in the root, and the keys' directories lie in it:
/// `/locks/shop:/order:42`, which is what a program in another language has to lock. The directory is named as a key of
/// that name would be, so do not lock such a key without a namespace.
///
/// Clones share the session, and so do namespaces. It lives on a thread of the library's own, and hangs on no runtime of a
/// caller.
///
/// # Servers
/// Needs ZooKeeper 3.5 or newer. Building a backend looks whether the servers know its requests, also where they speak
/// ZooKeeper's protocol in part:
///
/// | without | |
/// |---|---|
/// | `sync`, or `create2` | refused, for no recipe can be |
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

    /// This backend for the keys of a namespace, within the one that it has already. It shares the session.
    /// [`LockManagerBuilder::namespace`](crate::LockManagerBuilder::namespace) calls this; it is of use for
    /// [`revoke`](Self::revoke).
    ///
    /// # Errors
    /// As [`Namespace::within`].
    pub fn in_namespace(&self, namespace: &Namespace) -> Result<Self, LockError> {
        Ok(Self(Arc::new(self.0.namespaced(namespace)?)))
    }

    /// Asks the present holder of `key` to let go, in the way of Apache Curator: [`LockGuard::revoked`] of a holder that
    /// waits for it resolves, as does the listener of a Java program that made its mutex revocable. The holder keeps
    /// the lock until it releases it, which it need not do.
    ///
    /// # Errors
    /// [`ErrorKind::NotHeld`] if no client has the lock, [`ErrorKind::Auth`] if the holder's node belongs to another
    /// account, and [`ErrorKind::Unavailable`] if the servers do not answer: whether the holder was asked is unknown
    /// then, and asking again does no harm.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the holder asked or not.
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

    fn revoked<'a>(&'a self, claim: &'a Claim) -> RevokedFuture<'a> {
        Box::pin(shielded(revocation::requested(&self.0, claim)))
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
