//! The ways a lock is kept in ZooKeeper.

pub(crate) mod dialect;
pub(crate) mod order;
pub(crate) mod sequence;
pub(crate) mod simple;
pub(crate) mod token;

/// How a [`ZooKeeperBackend`](crate::ZooKeeperBackend) keeps its locks.
///
/// The two recipes never grant one key at the same time, since both have their node at the same path. But they do not
/// wait for each other. While a key is held by the one, the other fails with
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt). The simple one also fails while an empty directory of the other
/// is there. So use one recipe for one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Recipe {
    /// First come, first served: a directory for each key, and an ephemeral sequential node for each acquisition.
    /// A release wakes one waiter. Java programs that use Apache Curator share these locks. The default.
    #[default]
    Sequential,
    /// One ephemeral node for each key: the client that makes it has the lock, and releases it by deleting the node. It
    /// is for keys that are tried and not waited for, such as that of a nightly job, and for keys that are rarely
    /// contended. It leaves no directory behind, no numbers are used up, and a key costs the servers one node instead
    /// of two.
    ///
    /// Waiters have no order. Each release wakes every waiter, all ask again, and one is granted the lock. A try may be
    /// granted a lock that others wait for. With many waiters this is slow for all clients of the servers. A refused
    /// try costs a second request, which tells a holder from a node that is not a lock.
    Simple,
}
