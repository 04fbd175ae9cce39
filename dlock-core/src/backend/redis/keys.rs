//! The keys that belong to one lock. Pure.
//!
//! The lock is the user's key itself, byte for byte. The keys beside it must lie in its hash slot whatever its
//! bytes are, or Redis Cluster refuses the scripts.

use super::servers::{hash_tag, slot, tag_in_slot};
use crate::error::{ErrorKind, LockError};
use crate::key::LockKey;

/// What every key and channel of dlock's own begins with. No user key may.
const RESERVED: &[u8] = b"dlock:";

/// The keys of one lock.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) lock: Vec<u8>,
    pub(super) queue: Vec<u8>,
    pub(super) fence: Vec<u8>,
    pub(super) marks: Vec<u8>,
}

impl Keys {
    pub(super) fn of(key: &LockKey) -> Result<Self, LockError> {
        let key = key.as_bytes();
        if key.starts_with(RESERVED) {
            let detail = "names that begin with \"dlock:\" are dlock's own on Redis; choose another";
            return Err(LockError::new(ErrorKind::InvalidKey, detail));
        }
        Ok(Self {
            lock: key.to_vec(),
            queue: beside(b"dlock:q:", key),
            fence: beside(b"dlock:f:", key),
            marks: beside(b"dlock:g:", key),
        })
    }
}

/// The key of what is known about the server itself: one for all locks, or in a cluster, where slots move, one
/// for all locks of a slot.
pub(super) fn marker(lock: &[u8], in_cluster: bool) -> Vec<u8> {
    match in_cluster {
        true => format!("dlock:m:{{{}}}", tag_in_slot(slot(lock))).into_bytes(),
        false => b"dlock:m".to_vec(),
    }
}

/// A name for `key` in the slot of `key`, different for different keys.
///
/// The letter says which form follows. Without it `{a}` and `a` would share a name.
fn beside(prefix: &[u8], key: &[u8]) -> Vec<u8> {
    match hash_tag(key) {
        Some(_) => [prefix, b"t:", key].concat(),
        None if !key.contains(&b'}') => [prefix, b"p:{", key, b"}"].concat(),
        None => [prefix, b"s:{", tag_in_slot(slot(key)).to_string().as_bytes(), b"}:", key].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(key: &[u8]) -> Keys {
        Keys::of(&LockKey::new(key).unwrap()).unwrap()
    }

    #[test]
    fn a_key_in_braces_and_the_same_without_share_nothing() {
        assert_ne!(keys(b"{a}").queue, keys(b"a").queue);
    }

    #[test]
    fn dlocks_own_names_are_refused() {
        let error = Keys::of(&LockKey::new("dlock:q:p:{a}").unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidKey);
    }

    proptest! {
        #[test]
        fn side_keys_lie_in_the_slot_of_the_lock(key in prop::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), any::<u8>()], 1..40)) {
            let keys = keys(&[b"k", &key[..]].concat());
            prop_assert_eq!(slot(&keys.queue), slot(&keys.lock));
            prop_assert_eq!(slot(&keys.fence), slot(&keys.lock));
            prop_assert_eq!(slot(&keys.marks), slot(&keys.lock));
            prop_assert_eq!(slot(&marker(&keys.lock, true)), slot(&keys.lock));
        }

        #[test]
        fn different_locks_have_different_side_keys(a in "[ab{}:0-9]{1,6}", b in "[ab{}:0-9]{1,6}") {
            let (one, other) = (keys(a.as_bytes()), keys(b.as_bytes()));
            prop_assert_eq!(one.queue == other.queue, a == b);
            prop_assert_eq!(one.fence == other.fence, a == b);
        }
    }
}
