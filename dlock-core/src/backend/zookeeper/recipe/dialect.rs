//! How lock nodes are named, and which names of other clients are known. Pure.

use crate::lease::OwnerId;

/// How lock nodes are named, so that programs in other languages recognize them.
///
/// Every acquisition makes a node in the directory of its key, `/locks/order:42` for the key `order:42` below the
/// default root. Give that path to the other client. ZooKeeper appends ten digits to the node's name, and the lowest
/// number holds the lock. Clients differ in what stands before the digits:
///
/// | who | its nodes | it waits for |
/// |---|---|---|
/// | dlock, [`Curator`](Self::Curator) | `_c_<uuid>-lock-0000000000` | all in this column |
/// | dlock, [`Kazoo`](Self::Kazoo) | `<32 hex digits>__lock__0000000000` | all in this column |
/// | Curator's `InterProcessMutex` | `_c_<uuid>-lock-0000000000` | `…lock-0000000000`, `0000000000` |
/// | kazoo's `Lock` | `<32 hex digits>__lock__0000000000` | `…__lock__0000000000` |
/// | kazoo's `Lock` with `extra_lock_patterns=["lock-"]` | the same | `…lock-0000000000` too |
/// | kazoo's `ReadLock` | `<32 hex digits>__rlock__0000000000` | `…__lock__0000000000` |
///
/// dlock waits for all of them, whatever its dialect. Its two dialects exclude each other: a holder may use the one and
/// a waiter the other. Which dialect is right depends on the other clients of the directory:
///
/// | with dlock | use | and there |
/// |---|---|---|
/// | Curator, go-zookeeper | `Curator` | nothing to do |
/// | kazoo | `Kazoo` | nothing to do |
/// | kazoo that knows Curator's names | `Curator` | `Lock(…, extra_lock_patterns=["lock-"])` |
/// | Curator *and* kazoo | `Curator` | a kazoo that also makes nodes with Curator's names: a subclass of `Lock` with `_NODE_NAME = "lock-"` and `_EXCLUDE_NAMES = ["lock-"]` |
/// | the same | either | kazoo with `extra_lock_patterns=["lock-"]`, and Curator with a driver: a subclass of `StandardLockInternalsDriver` whose `fixForSorting` gives the last ten characters |
///
/// **The wrong dialect means two holders at once, without an error.** Curator sorts a node without `lock-` behind all
/// others, so it takes a lock that `Kazoo` or kazoo holds. kazoo without `extra_lock_patterns` takes one that `Curator`
/// or Curator holds. Only dlock waits for both. For the same reason Curator and kazoo, with their defaults, never
/// exclude each other.
///
/// dlock's locks are exclusive: they exclude kazoo's `ReadLock` and `WriteLock`, but not Curator's
/// `InterProcessReadWriteLock`, whose nodes have other names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// The names of Apache Curator, which go-zookeeper uses as well. The default.
    #[default]
    Curator,
    /// The names of kazoo.
    ///
    /// The directories stay, as those of kazoo do, and you have to remove them. (A `Lock` of kazoo makes its directory
    /// only once. If the servers removed it, as they remove the empty directories of `Curator`, the next use would fail
    /// with `NoNodeError`.)
    Kazoo,
}

impl Dialect {
    /// The name, up to its number, of the nodes of `owner`.
    pub(crate) fn prefix(self, owner: OwnerId) -> String {
        match self {
            Self::Curator => format!("_c_{}-lock-", uuid(owner)),
            Self::Kazoo => format!("{:032x}__lock__", owner.as_u128()),
        }
    }

    /// Whether directories stay when they are empty.
    pub(crate) fn keeps_directories(self) -> bool {
        self == Self::Kazoo
    }
}

fn uuid(owner: OwnerId) -> String {
    let bits = owner.as_u128();
    let part = |shift: u32, digits: u32| (bits >> shift) & ((1 << (4 * digits)) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 8),
        part(80, 4),
        part(64, 4),
        part(48, 4),
        part(0, 12)
    )
}

/// Whether a node is a contender whose name is `name` up to its number: to any client that dlock shares locks
/// with, in either dialect. Curator and go-zookeeper look for `lock-`, Curator takes a number alone as well, and
/// kazoo looks for `__lock__`. Readers of kazoo, `__rlock__`, do not share with writers, so not with dlock.
pub(crate) fn is_of_a_contender(name: &str) -> bool {
    name.is_empty() || ["lock-", "__lock__", "__rlock__"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> OwnerId {
        OwnerId::random().unwrap()
    }

    fn is_hex(text: &str) -> bool {
        text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    }

    #[test]
    fn the_prefix_is_that_of_curator() {
        let prefix = Dialect::Curator.prefix(owner());
        let uuid = prefix.strip_prefix("_c_").unwrap().strip_suffix("-lock-").unwrap();
        let parts: Vec<_> = uuid.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts.into_iter().all(is_hex), "{uuid}");
    }

    #[test]
    fn the_prefix_is_that_of_kazoo() {
        let prefix = Dialect::Kazoo.prefix(owner());
        let uuid = prefix.strip_suffix("__lock__").unwrap();
        assert!(uuid.len() == 32 && is_hex(uuid), "{uuid}");
    }

    #[test]
    fn no_owner_has_the_prefix_of_another() {
        let (one, other) = (owner(), owner());
        for dialect in [Dialect::Curator, Dialect::Kazoo] {
            assert_eq!(dialect.prefix(one), dialect.prefix(one));
            assert_ne!(dialect.prefix(one), dialect.prefix(other));
        }
    }

    #[test]
    fn what_either_dialect_names_is_a_contender() {
        for dialect in [Dialect::Curator, Dialect::Kazoo] {
            assert!(is_of_a_contender(&dialect.prefix(owner())), "{dialect:?}");
        }
    }

    #[test]
    fn what_no_client_waits_for_is_none() {
        for name in ["x", "x-", "lock", "_c_x-lease-", "_c_x-__WRIT__", "_c_x-__READ__", "lock-x", "__lock"] {
            assert!(!is_of_a_contender(name), "{name}");
        }
    }
}
