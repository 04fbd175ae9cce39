//! Keys as names of ZooKeeper nodes.

use percent_encoding::percent_decode_str;
use std::fmt::Write as _;

/// The one path segment that stands for a key with these bytes, or for a namespace.
///
/// What ZooKeeper allows in a name stays readable: the key `order:42` is the node `order:42`, the one that a Java
/// program locks as `/locks/order:42`. Everything else, and `%` itself, is percent-encoded byte by byte, so that no two
/// keys have one name. The names that mean something to ZooKeeper are encoded as a whole.
pub(super) fn segment(bytes: &[u8]) -> String {
    let reserved = matches!(bytes, b"." | b".." | b"zookeeper");
    let mut name = String::with_capacity(bytes.len());
    for byte in bytes {
        if reserved || !is_plain(*byte) {
            // Writing to a `String` cannot fail.
            let _ = write!(name, "%{byte:02X}");
        } else {
            name.push(char::from(*byte));
        }
    }
    name
}

/// The bytes that this segment stands for. `None` if it stands for none.
pub(super) fn bytes_of(name: &str) -> Option<Vec<u8>> {
    let bytes = percent_decode_str(name).collect::<Vec<u8>>();
    (segment(&bytes) == name).then_some(bytes)
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'/' | b'%')
}

/// The child `name` of `parent`, which may be the root.
pub(super) fn join(parent: &str, name: &str) -> String {
    let mut path = String::with_capacity(parent.len() + 1 + name.len());
    path.push_str(parent.trim_end_matches('/'));
    path.push('/');
    path.push_str(name);
    path
}

/// Whether `path` can be the root below which the locks lie: absolute, and accepted by ZooKeeper as it is.
pub(super) fn is_root(path: &str) -> bool {
    path == "/" || path.strip_prefix('/').is_some_and(|names| names.split('/').all(is_name))
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | ".." | "zookeeper") && name.chars().all(is_taken)
}

/// The characters that ZooKeeper takes in a path.
fn is_taken(character: char) -> bool {
    !matches!(u32::from(character), 0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..=0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(key: impl AsRef<[u8]>) -> String {
        segment(key.as_ref())
    }

    fn decode(name: &str) -> Vec<u8> {
        bytes_of(name).unwrap()
    }

    #[test]
    fn a_key_stays_readable_where_zookeeper_allows_it() {
        assert_eq!(name("order:42"), "order:42");
        assert_eq!(name("Order {42}"), "Order {42}");
        assert_eq!(name(".hidden"), ".hidden");
        assert_eq!(name("..."), "...");
    }

    #[test]
    fn what_zookeeper_refuses_or_understands_is_encoded() {
        assert_eq!(name("a/b"), "a%2Fb");
        assert_eq!(name("a%2Fb"), "a%252Fb");
        assert_eq!(name(b"\0\n\x7f\xff"), "%00%0A%7F%FF");
        assert_eq!(name("\u{fc}"), "%C3%BC");
        assert_eq!(name("."), "%2E");
        assert_eq!(name(".."), "%2E%2E");
        assert_eq!(decode(&name("zookeeper")), b"zookeeper");
        assert!(!name("zookeeper").contains('z'));
    }

    #[test]
    fn names_that_stand_for_no_key_are_not_decoded() {
        for name in ["a%2fb", "a%41", "50%", "\u{fc}", "zookeeper"] {
            assert_eq!(bytes_of(name), None, "{name}");
        }
    }

    #[test]
    fn a_root_is_absolute_and_plain() {
        for right in ["/", "/locks", "/a/b.c/d", "/bl\u{f6}cke"] {
            assert!(is_root(right), "{right}");
        }
        for wrong in
            ["", "locks", "/locks/", "//", "/a//b", "/a/../b", "/.", "/zookeeper", "/a\u{0}b", "/a\u{9f}"]
        {
            assert!(!is_root(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_child_of_the_root_has_one_slash() {
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("/locks", "a"), "/locks/a");
    }

    proptest! {
        #[test]
        fn names_can_be_decoded_and_are_one_segment(key in prop::collection::vec(any::<u8>(), 1..64)) {
            let name = name(&key);
            prop_assert_eq!(decode(&name), key);
            prop_assert!(is_name(&name), "{}", name);
            prop_assert!(!name.contains('/'));
        }

        #[test]
        fn distinct_keys_have_distinct_names(one in "[./%a-cA-C0-9zookepr]{1,9}", other in "[./%a-cA-C0-9zookepr]{1,9}") {
            prop_assert_eq!(one == other, name(&one) == name(&other));
        }
    }
}
