//! The keys that belong to one lock. Pure.
//!
//! The lock is the user's key itself, byte for byte. The keys beside it must lie in its hash slot whatever its
//! bytes are, or Redis Cluster refuses the scripts.

use crate::error::{ErrorKind, LockError};
use crate::key::LockKey;
use crc::{CRC_16_XMODEM, Crc};
use std::sync::LazyLock;

/// What every key and channel of dlock's own begins with. No user key may.
const RESERVED: &[u8] = b"dlock:";

const SLOTS: usize = 16_384;
static CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The keys of one lock.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) lock: Vec<u8>,
    pub(super) queue: Vec<u8>,
    pub(super) fence: Vec<u8>,
    pub(super) given_up: Vec<u8>,
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
            given_up: beside(b"dlock:g:", key),
        })
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

/// What Redis Cluster hashes instead of the whole key: between the first `{` and the next `}`, if not empty.
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let (_, rest) = split_at_byte(key, b'{')?;
    let (tag, _) = split_at_byte(rest, b'}')?;
    (!tag.is_empty()).then_some(tag)
}

fn split_at_byte(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

fn slot(key: &[u8]) -> u16 {
    CRC.checksum(hash_tag(key).unwrap_or(key)) % SLOTS as u16
}

/// A number whose decimal digits hash to `slot`.
fn tag_in_slot(slot: u16) -> u32 {
    static TAGS: LazyLock<Vec<u32>> = LazyLock::new(tags_by_slot);
    TAGS.get(usize::from(slot)).copied().unwrap_or_default()
}

fn tags_by_slot() -> Vec<u32> {
    let (mut tags, mut missing) = (vec![None; SLOTS], SLOTS);
    for number in 0u32.. {
        let of_slot = tags.get_mut(usize::from(slot(number.to_string().as_bytes())));
        if let Some(tag @ None) = of_slot {
            *tag = Some(number);
            missing -= 1;
        }
        if missing == 0 {
            break;
        }
    }
    tags.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(key: &[u8]) -> Keys {
        Keys::of(&LockKey::new(key).unwrap()).unwrap()
    }

    #[test]
    fn slots_are_those_of_redis() {
        // `CLUSTER KEYSLOT` of a server.
        for (key, expected) in
            [("foo", 12_182), ("order:42", 8_691), ("{user1000}.following", 3_443), ("foo{}{bar}", 8_363)]
        {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
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
            prop_assert_eq!(slot(&keys.given_up), slot(&keys.lock));
        }

        #[test]
        fn different_locks_have_different_side_keys(a in "[ab{}:0-9]{1,6}", b in "[ab{}:0-9]{1,6}") {
            let (one, other) = (keys(a.as_bytes()), keys(b.as_bytes()));
            prop_assert_eq!(one.queue == other.queue, a == b);
            prop_assert_eq!(one.fence == other.fence, a == b);
        }
    }
}
