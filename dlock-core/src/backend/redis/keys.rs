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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    /// One after the other, for they are made for every request.
    text: Vec<u8>,
    lock: usize,
    /// The length of each key beside the lock.
    beside: usize,
}

impl Keys {
    pub(super) fn of(key: &LockKey) -> Result<Self, LockError> {
        let key = key.as_bytes();
        if key.starts_with(RESERVED) {
            let detail = "names that begin with \"dlock:\" are dlock's own on Redis; choose another";
            return Err(LockError::new(ErrorKind::InvalidKey, detail));
        }
        Ok(Self::beside(key, &tag_of(key)))
    }

    fn beside(key: &[u8], tag: &Tag) -> Self {
        let name = tag.name(key);
        let beside = PREFIX_LENGTH + name.iter().map(|piece| piece.len()).sum::<usize>();
        let mut text = Vec::with_capacity(key.len() + PREFIXES.len() * beside);
        text.extend_from_slice(key);
        for prefix in PREFIXES {
            text.extend_from_slice(prefix);
            name.iter().for_each(|piece| text.extend_from_slice(piece));
        }
        Self { text, lock: key.len(), beside }
    }

    /// The lock, the queue, the fence, the marks.
    pub(super) fn all(&self) -> [&[u8]; 4] {
        let (lock, beside) = self.text.split_at(self.lock);
        let (queue, beside) = beside.split_at(self.beside);
        let (fence, marks) = beside.split_at(self.beside);
        [lock, queue, fence, marks]
    }

    pub(super) fn lock(&self) -> &[u8] {
        self.text.split_at(self.lock).0
    }
}

const PREFIX_LENGTH: usize = 8;
/// Of the queue, the fence and the marks.
const PREFIXES: [&[u8; PREFIX_LENGTH]; 3] = [b"dlock:q:", b"dlock:f:", b"dlock:g:"];

/// The key of what is known about the server itself: one for all locks, or in a cluster, where slots move, one
/// for all locks of a slot.
pub(super) fn marker(lock: &[u8], in_cluster: bool) -> Vec<u8> {
    match in_cluster {
        true => format!("dlock:m:{{{}}}", tag_in_slot(slot(lock))).into_bytes(),
        false => b"dlock:m".to_vec(),
    }
}

/// What puts a name into the slot of a key.
enum Tag {
    /// The key's own tag.
    Own,
    /// The key as a whole.
    Key,
    /// A tag that lies in the same slot.
    Other(String),
}

fn tag_of(key: &[u8]) -> Tag {
    match hash_tag(key) {
        Some(_) => Tag::Own,
        None if !key.contains(&b'}') => Tag::Key,
        None => Tag::Other(tag_in_slot(slot(key)).to_string()),
    }
}

impl Tag {
    /// The pieces of a name for `key` in the slot of `key`, different for different keys.
    ///
    /// The letter says which form follows. Without it `{a}` and `a` would share a name.
    fn name<'a>(&'a self, key: &'a [u8]) -> [&'a [u8]; 4] {
        match self {
            Self::Own => [b"t:", key, b"", b""],
            Self::Key => [b"p:{", key, b"}", b""],
            Self::Other(tag) => [b"s:{", tag.as_bytes(), b"}:", key],
        }
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
        assert_ne!(keys(b"{a}").all()[1], keys(b"a").all()[1]);
    }

    #[test]
    fn the_keys_are_named_by_what_they_are() {
        let names = |key: &[u8]| keys(key).all().map(|name| String::from_utf8(name.to_vec()).unwrap());
        assert_eq!(names(b"a"), ["a", "dlock:q:p:{a}", "dlock:f:p:{a}", "dlock:g:p:{a}"]);
        assert_eq!(names(b"a{b}"), ["a{b}", "dlock:q:t:a{b}", "dlock:f:t:a{b}", "dlock:g:t:a{b}"]);
        assert!(names(b"a}")[1].starts_with("dlock:q:s:{") && names(b"a}")[1].ends_with("}:a}"));
    }

    #[test]
    fn dlocks_own_names_are_refused() {
        let error = Keys::of(&LockKey::new("dlock:q:p:{a}").unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidKey);
    }

    proptest! {
        #[test]
        fn side_keys_lie_in_the_slot_of_the_lock(key in prop::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), any::<u8>()], 1..40)) {
            let lock = [b"k", &key[..]].concat();
            let keys = keys(&lock);
            prop_assert_eq!(keys.lock(), &lock);
            for beside in keys.all() {
                prop_assert_eq!(slot(beside), slot(&lock));
            }
            prop_assert_eq!(slot(&marker(&lock, true)), slot(&lock));
        }

        #[test]
        fn different_locks_have_different_side_keys(a in "[ab{}:0-9]{1,6}", b in "[ab{}:0-9]{1,6}") {
            let (one, other) = (keys(a.as_bytes()), keys(b.as_bytes()));
            for (one, other) in one.all().iter().zip(other.all()) {
                prop_assert_eq!(*one == other, a == b);
            }
        }
    }
}
