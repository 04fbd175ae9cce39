//! Hash slots: which one a key lies in, and which node serves which. Pure.

use super::address::Address;
use crate::error::LockError;
use crc::{CRC_16_XMODEM, Crc};
use redis::Value;

pub(crate) const SLOTS: usize = 16_384;
static CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The hash slot of `key`.
pub(crate) fn slot(key: &[u8]) -> u16 {
    CRC.checksum(hash_tag(key).unwrap_or(key)) % SLOTS as u16
}

/// What is hashed instead of the whole key: the bytes between the first `{` and the next `}`, if there are any.
pub(crate) fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let (_, rest) = split_at_byte(key, b'{')?;
    let (tag, _) = split_at_byte(rest, b'}')?;
    (!tag.is_empty()).then_some(tag)
}

fn split_at_byte(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// A number whose decimal digits hash to `slot`.
pub(crate) fn tag_in_slot(slot: u16) -> u32 {
    use std::sync::LazyLock;
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

/// Which node serves which slot.
#[derive(Debug, Default)]
pub(super) struct SlotMap {
    addresses: Vec<Address>,
    /// For each slot, where in `addresses` its node stands. Empty before the first answer.
    nodes: Vec<Option<u16>>,
}

impl SlotMap {
    /// Reads an answer to `CLUSTER SLOTS` that came from `asked`. `None` if it is of another form.
    pub(super) fn parse(answer: &[Value], asked: &Address) -> Option<Self> {
        let mut map = Self::default();
        for range in answer {
            let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = list(range)? else {
                return None;
            };
            let address = node_address(primary, asked)?;
            for slot in u16::try_from(*first).ok()?..=u16::try_from(*last).ok()? {
                map.set(slot, &address)?;
            }
        }
        Some(map)
    }

    /// The same with each node where it is reached.
    ///
    /// # Errors
    /// Those of `reach`.
    pub(super) fn reached_by(
        mut self,
        reach: impl Fn(&Address) -> Result<Address, LockError>,
    ) -> Result<Self, LockError> {
        for address in &mut self.addresses {
            *address = reach(address)?;
        }
        Ok(self)
    }

    /// The node of `slot`, if one is known.
    pub(super) fn node(&self, slot: u16) -> Option<&Address> {
        let at = (*self.nodes.get(usize::from(slot))?)?;
        self.addresses.get(usize::from(at))
    }

    /// The first slot after this one whose node serves no earlier slot.
    pub(super) fn next_primary(&self, after: Option<u16>) -> Option<u16> {
        let begin = after.map_or(0, |slot| usize::from(slot) + 1);
        let (earlier, later) = self.nodes.split_at_checked(begin)?;
        let is_new = |node: &Option<u16>| node.is_some() && !earlier.contains(node);
        u16::try_from(begin + later.iter().position(is_new)?).ok()
    }

    /// Every node that serves a slot.
    pub(super) fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Notes that `slot` is served by `address` now. `None` if there is no such slot.
    pub(super) fn set(&mut self, slot: u16, address: &Address) -> Option<()> {
        let at = self.addresses.iter().position(|known| known == address).unwrap_or_else(|| {
            self.addresses.push(address.clone());
            self.addresses.len() - 1
        });
        self.nodes.resize(SLOTS, None);
        *self.nodes.get_mut(usize::from(slot))? = u16::try_from(at).ok();
        Some(())
    }
}

fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

/// A node that does not know its own host names none. Then it is the host that was asked.
fn node_address(node: &[Value], asked: &Address) -> Option<Address> {
    let host = match node.first()? {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        Value::Nil => "",
        _ => return None,
    };
    let Some(Value::Int(port)) = node.get(1) else { return None };
    let host = if matches!(host, "" | "?") { asked.host.clone() } else { host.to_owned() };
    Address::of(&host, u16::try_from(*port).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str) -> Address {
        Address { host: host.to_owned(), port: 7000 }
    }

    fn range(first: i64, last: i64, host: &str) -> Value {
        let node = vec![Value::BulkString(host.into()), Value::Int(7000)];
        Value::Array(vec![Value::Int(first), Value::Int(last), Value::Array(node)])
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
    fn every_slot_has_a_tag() {
        for wanted in 0..SLOTS as u16 {
            assert_eq!(slot(tag_in_slot(wanted).to_string().as_bytes()), wanted);
        }
    }

    #[test]
    fn a_map_knows_the_node_of_each_slot_and_learns_of_moves() {
        let answer = [range(0, 100, "a"), range(101, 16_383, "")];
        let mut map = SlotMap::parse(&answer, &address("asked")).unwrap();
        assert_eq!(map.node(100), Some(&address("a")));
        assert_eq!(map.node(101), Some(&address("asked")));
        map.set(100, &address("b")).unwrap();
        assert_eq!(map.node(100), Some(&address("b")));
        assert_eq!(map.node(99), Some(&address("a")));
        assert_eq!(map.set(16_384, &address("b")), None);
    }

    #[test]
    fn a_walk_comes_to_each_node_once() {
        let answer =
            [range(0, 100, "a"), range(101, 200, "b"), range(201, 300, "a"), range(302, 16_383, "c")];
        let map = SlotMap::parse(&answer, &address("asked")).unwrap();
        assert_eq!(map.next_primary(None), Some(0));
        assert_eq!(map.next_primary(Some(0)), Some(101));
        assert_eq!(map.next_primary(Some(101)), Some(302));
        assert_eq!((map.next_primary(Some(302)), map.next_primary(Some(16_383))), (None, None));
        assert_eq!(SlotMap::default().next_primary(None), None);
    }

    #[test]
    fn nodes_are_reached_where_the_map_says_and_hosts_stand_in_brackets_or_not() {
        let answer = [range(0, 100, "::1"), range(101, 16_383, "[fd00::2]")];
        let map = SlotMap::parse(&answer, &address("asked")).unwrap();
        assert_eq!((map.node(0), map.node(101)), (Some(&address("::1")), Some(&address("fd00::2"))));
        let near = |node: &Address| Ok(address(&format!("near-{}", node.host)));
        let map = map.reached_by(near).unwrap();
        assert_eq!(
            (map.node(0), map.node(101)),
            (Some(&address("near-::1")), Some(&address("near-fd00::2")))
        );
    }

    #[test]
    fn strange_answers_are_refused() {
        let asked = address("asked");
        for strange in [Value::Nil, Value::Array(vec![]), range(-1, 5, "a"), range(0, 16_384, "a")] {
            assert!(SlotMap::parse(&[strange], &asked).is_none());
        }
        assert!(SlotMap::parse(&[], &asked).unwrap().node(0).is_none());
    }
}
