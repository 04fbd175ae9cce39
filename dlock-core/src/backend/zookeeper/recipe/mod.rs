//! Which way a lock is kept in ZooKeeper.

pub(crate) mod dialect;
pub(crate) mod order;
pub(crate) mod sequence;
pub(crate) mod simple;
pub(crate) mod token;

/// Which way a [`ZooKeeperBackend`](crate::ZooKeeperBackend) keeps its locks.
///
/// The two never grant one key at the same time, as both have their node at the same path; but they do not wait
/// for each other either. While a key is held by one, the other is refused with
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt), and the simple one also for as long as an empty directory of
/// the other is there. So use one recipe for one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Recipe {
    /// First come, first served: a directory for each key, and an ephemeral sequential node for each acquisition.
    /// A release wakes one waiter. ZooKeeperLocks with Java programs that use Apache Curator. The default.
    #[default]
    Sequential,
    /// One ephemeral node for each key: its maker has the lock, and gives it up by deleting the node. For keys
    /// that are tried rather than waited for, such as which process runs the nightly job, or that are rarely
    /// contended: it leaves no directory behind, its numbers do not end, and many keys that are locked once cost the
    /// servers a node each instead of two.
    ///
    /// Waiters have no order: each release wakes every waiter, all ask again, one is granted, and a try may be
    /// granted what others wait for. With many waiters that is slow for all clients of the servers. A try that is
    /// refused costs a second request, to tell a holder from something that is no lock.
    Simple,
}
