//! The keys that belong to one lock. Pure.
//!
//! The lock is the user's key itself, byte for byte. The keys beside it must lie in its hash slot whatever its
//! bytes are, or Redis Cluster refuses the scripts.

use super::servers::{hash_tag, slot, tag_in_slot};
use super::wire::Inbox;
use crate::error::{ErrorKind, LockError};
use crate::key::{LockKey, Namespace};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What every key and channel of dlock's own begins with, behind the namespace. No user key may.
const RESERVED: &[u8] = b"dlock:";

/// How the keys and the channels of one backend value are named: all begin with its namespace, if it has one.
#[derive(Debug, Clone, Default)]
pub(super) struct Naming {
    namespace: Option<Namespace>,
    /// Whether the server refuses keys of different slots in one call, as some proxies do.
    by_slot: Arc<AtomicBool>,
}

impl Naming {
    pub(super) fn new(namespace: Option<Namespace>) -> Self {
        Self { namespace, by_slot: Arc::default() }
    }

    pub(super) fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    fn prefix(&self) -> &str {
        self.namespace.as_ref().map_or("", Namespace::as_str)
    }

    /// The keys of the lock on `key`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`] if it could be a key of dlock's own, or is too long behind the namespace.
    pub(super) fn keys(&self, key: &LockKey) -> Result<Keys, LockError> {
        if let Some(namespace) = &self.namespace {
            namespace.check_length(key)?;
        }
        if key.as_bytes().starts_with(RESERVED) || is_own(key.as_bytes()) {
            let detail = "names that begin with \"dlock:\" or contain a name such as \"dlock:w:\" are \
                          dlock's own on Redis; choose another";
            return Err(LockError::new(ErrorKind::InvalidKey, detail));
        }
        Ok(match &self.namespace {
            None => self.keys_at(key.as_bytes()),
            Some(namespace) => self.keys_at(&[namespace.as_str().as_bytes(), key.as_bytes()].concat()),
        })
    }

    /// The keys of a lock by its name at the server.
    pub(super) fn keys_at(&self, lock: &[u8]) -> Keys {
        let (tag, prefix) = (tag_of(lock), self.prefix().as_bytes());
        let name = tag.name(lock);
        let beside = prefix.len() + KIND_LENGTH + name.iter().map(|piece| piece.len()).sum::<usize>();
        let mut text = Vec::with_capacity(lock.len() + KINDS.len() * beside);
        text.extend_from_slice(lock);
        for kind in KINDS {
            text.extend_from_slice(prefix);
            text.extend_from_slice(kind);
            name.iter().for_each(|piece| text.extend_from_slice(piece));
        }
        Keys { text, lock: lock.len(), beside, kind: prefix.len() + KIND_AT }
    }

    /// The key of which the lock has this name at the server. `None` if it is none of this namespace, or dlock's own.
    pub(super) fn key_of(&self, lock: &[u8]) -> Option<LockKey> {
        let key = LockKey::new(lock.strip_prefix(self.prefix().as_bytes())?).ok()?;
        self.keys(&key).ok().map(|_| key)
    }

    /// What the locks on all keys that begin with `prefix` begin with at the server.
    pub(super) fn locks_from(&self, prefix: &[u8]) -> Vec<u8> {
        [self.prefix().as_bytes(), prefix].concat()
    }

    /// The key of the counter that numbers the grants of `lock`. There is one for all locks, or one for each slot if
    /// keys of different slots may not stand in one call.
    pub(super) fn counter(&self, lock: &[u8], in_cluster: bool) -> Cow<'static, [u8]> {
        match &self.namespace {
            _ if in_cluster || self.is_by_slot() => {
                format!("{}dlock:f:{{{}}}", self.prefix(), tag_in_slot(slot(lock))).into_bytes().into()
            }
            None => COUNTER.into(),
            Some(namespace) => [namespace.as_str().as_bytes(), COUNTER].concat().into(),
        }
    }

    pub(super) fn is_by_slot(&self) -> bool {
        self.by_slot.load(Ordering::Relaxed)
    }

    /// From here on each slot has a counter of its own.
    pub(super) fn set_by_slot(&self) {
        self.by_slot.store(true, Ordering::Relaxed);
    }

    /// The key of the note about the server itself. There is one for all locks, or in a cluster, where slots move, one
    /// for each slot.
    pub(super) fn marker(&self, lock: &[u8], in_cluster: bool) -> Vec<u8> {
        match in_cluster {
            true => format!("{}dlock:m:{{{}}}", self.prefix(), tag_in_slot(slot(lock))).into_bytes(),
            false => format!("{}dlock:m", self.prefix()).into_bytes(),
        }
    }

    /// A key that no other process uses.
    pub(super) fn own_key(&self, inbox: Inbox) -> String {
        format!("{}dlock:c:{{{}}}", self.prefix(), inbox.name())
    }

    /// Where an inbox is told of hand-offs on a server that is not part of a cluster.
    pub(super) fn channel(&self, inbox: Inbox) -> String {
        format!("{}dlock:i:{}", self.prefix(), inbox.name())
    }

    /// What the shard channel of every inbox in `slot` begins with. It lies in that slot itself: a namespace with a hash
    /// tag has all its keys in one.
    pub(super) fn channel_prefix(&self, slot: u16) -> String {
        format!("{}dlock:i:{{{}}}:", self.prefix(), tag_in_slot(slot))
    }
}

/// Whether `key` could be one of dlock's own, in whichever namespace.
fn is_own(key: &[u8]) -> bool {
    let behind = |at: usize| key.get(at..).and_then(|rest| rest.strip_prefix(RESERVED));
    (0..key.len()).filter_map(behind).any(|rest| {
        let kinds = [b"w:", b"n:", b"f:", b"r:", b"m:", b"c:", b"q:", b"g:"];
        rest == b"m" || rest == b"f" || kinds.iter().any(|kind| rest.starts_with(*kind))
    })
}

/// The keys of one lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    /// All in one text, since they are made for every request.
    text: Vec<u8>,
    lock: usize,
    /// The length of each key beside the lock.
    beside: usize,
    /// Where in such a key the letter of its kind stands.
    kind: usize,
}

impl Keys {
    /// The lock, the queue, the marks.
    pub(super) fn all(&self) -> [&[u8]; 3] {
        let (lock, beside) = self.text.split_at(self.lock);
        let (queue, marks) = beside.split_at(self.beside);
        [lock, queue, marks]
    }

    /// The key of what one of several independent servers keeps about the numbers of this lock's grants.
    pub(super) fn fence(&self) -> Vec<u8> {
        let [_, queue, _] = self.all();
        let is_kind = |at| at == self.kind;
        queue.iter().enumerate().map(|(at, byte)| if is_kind(at) { b'r' } else { *byte }).collect()
    }

    pub(super) fn lock(&self) -> &[u8] {
        self.text.split_at(self.lock).0
    }
}

const KIND_LENGTH: usize = 8;
/// Where the letter stands.
const KIND_AT: usize = 6;
/// Of the queue and the marks.
const KINDS: [&[u8; KIND_LENGTH]; 2] = [b"dlock:w:", b"dlock:n:"];
const COUNTER: &[u8] = b"dlock:f";

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
    use crate::lease::OwnerId;
    use proptest::prelude::*;

    fn keys(key: &[u8]) -> Keys {
        Naming::default().keys(&LockKey::new(key).unwrap()).unwrap()
    }

    fn naming(namespace: &str) -> Naming {
        Naming::new(Some(Namespace::new(namespace).unwrap()))
    }

    fn texts(keys: &Keys) -> [String; 3] {
        keys.all().map(|name| String::from_utf8(name.to_vec()).unwrap())
    }

    #[test]
    fn a_key_in_braces_and_the_same_without_share_nothing() {
        assert_ne!(keys(b"{a}").all()[1], keys(b"a").all()[1]);
    }

    #[test]
    fn the_keys_are_named_by_what_they_are() {
        let names = |key: &[u8]| texts(&keys(key));
        assert_eq!(names(b"a"), ["a", "dlock:w:p:{a}", "dlock:n:p:{a}"]);
        assert_eq!(names(b"a{b}"), ["a{b}", "dlock:w:t:a{b}", "dlock:n:t:a{b}"]);
        assert!(names(b"a}")[1].starts_with("dlock:w:s:{") && names(b"a}")[1].ends_with("}:a}"));
    }

    #[test]
    fn every_name_begins_with_the_namespace() {
        let (shop, inbox) = (naming("shop:"), Inbox::new(OwnerId::from_u128(7)));
        let key = LockKey::new("a").unwrap();
        let keys = shop.keys(&key).unwrap();
        assert_eq!(texts(&keys), ["shop:a", "shop:dlock:w:p:{shop:a}", "shop:dlock:n:p:{shop:a}"]);
        assert_eq!(keys.fence(), b"shop:dlock:r:p:{shop:a}");
        assert_eq!(*shop.counter(keys.lock(), false), *b"shop:dlock:f");
        assert!(shop.counter(keys.lock(), true).starts_with(b"shop:dlock:f:{"));
        assert_eq!(shop.keys_at(keys.lock()), keys);
        assert_eq!((shop.key_of(b"shop:a"), shop.key_of(b"stock:a")), (Some(key), None));
        assert_eq!((shop.key_of(b"shop:dlock:f"), shop.locks_from(b"or")), (None, b"shop:or".to_vec()));
        assert_eq!(shop.marker(keys.lock(), false), b"shop:dlock:m");
        assert!(shop.marker(keys.lock(), true).starts_with(b"shop:dlock:m:{"));
        assert_eq!(shop.channel(inbox), "shop:dlock:i:0000000000000007");
        assert_eq!(shop.own_key(inbox), "shop:dlock:c:{0000000000000007}");
    }

    #[test]
    fn dlocks_own_names_are_refused() {
        let refused =
            |naming: &Naming, key: &str| naming.keys(&LockKey::new(key).unwrap()).map(drop).unwrap_err();
        for own in [
            "dlock:",
            "dlock:x",
            "dlock:w:p:{a}",
            "dlock:f",
            "shop:dlock:w:p:{shop:a}",
            "shop:dlock:m",
            "{x}dlock:r:t:{x}",
        ] {
            assert_eq!(refused(&Naming::default(), own).kind(), ErrorKind::InvalidKey, "{own}");
            assert_eq!(refused(&naming("{shop}:"), own).kind(), ErrorKind::InvalidKey, "{own}");
        }
        for free in ["adlock:", "my-dlock:queue", "adlock:market", "dlock"] {
            keys(free.as_bytes());
        }
    }

    #[test]
    fn a_key_is_no_longer_than_a_message_can_name() {
        let longest = LockKey::new([b'a'; LockKey::MAX_LEN]).unwrap();
        assert_eq!(naming("shop:").keys(&longest).unwrap_err().kind(), ErrorKind::InvalidKey);
    }

    fn braced() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), any::<u8>()], 1..40)
    }

    proptest! {
        #[test]
        fn side_keys_lie_in_the_slot_of_the_lock(key in braced(), namespace in "|[ab]\\{[ab]\\}[ab{}]{0,3}|[ab}]{1,4}") {
            let lock = [b"k", &key[..]].concat();
            let naming = Naming::new((!namespace.is_empty()).then(|| Namespace::new(&namespace).unwrap()));
            let keys = naming.keys(&LockKey::new(&lock).unwrap()).unwrap();
            let lock = [namespace.as_bytes(), &lock[..]].concat();
            prop_assert_eq!(keys.lock(), &lock);
            for beside in keys.all() {
                prop_assert!(beside.starts_with(namespace.as_bytes()));
                prop_assert_eq!(slot(beside), slot(&lock));
            }
            prop_assert_eq!(slot(&keys.fence()), slot(&lock));
            prop_assert_eq!(slot(&naming.counter(&lock, true)), slot(&lock));
            prop_assert_eq!(slot(&naming.marker(&lock, true)), slot(&lock));
            prop_assert_eq!(slot(naming.channel_prefix(slot(&lock)).as_bytes()), slot(&lock));
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
