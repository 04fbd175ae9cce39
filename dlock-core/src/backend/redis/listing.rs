//! What a walk over the keys of Redis asks for, and where it stands. Pure.

use crate::backend::ListCursor;
use redis::Cmd;

/// Where a walk stands: at which server, by a slot that it serves, and where there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScanPlace {
    pub(super) slot: u16,
    pub(super) cursor: u64,
}

impl ScanPlace {
    pub(super) fn parse(cursor: &ListCursor) -> Option<Self> {
        let (slot, cursor) = std::str::from_utf8(cursor.as_bytes()).ok()?.split_once(':')?;
        Some(Self { slot: slot.parse().ok()?, cursor: cursor.parse().ok()? })
    }

    pub(super) fn to_cursor(self) -> ListCursor {
        ListCursor::new(format!("{}:{}", self.slot, self.cursor).into_bytes())
    }

    /// The next step of the walk over the keys that begin with `prefix`. Locks are strings.
    pub(super) fn scan(self, prefix: &[u8]) -> Cmd {
        let mut command = redis::cmd("SCAN");
        command.arg(self.cursor).arg("MATCH").arg(pattern(prefix)).arg("COUNT").arg(KEYS_AT_ONCE);
        command.arg("TYPE").arg("string").take()
    }
}

/// About how many keys the server looks at for one page.
const KEYS_AT_ONCE: usize = 200;

/// The pattern of all keys that begin with these bytes.
fn pattern(prefix: &[u8]) -> Vec<u8> {
    let escaped = |byte: &u8| match byte {
        b'*' | b'?' | b'[' | b']' | b'\\' => vec![b'\\', *byte],
        plain => vec![*plain],
    };
    prefix.iter().flat_map(escaped).chain([b'*']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_from_its_cursor() {
        let place = ScanPlace { slot: 16_383, cursor: u64::MAX };
        assert_eq!(ScanPlace::parse(&place.to_cursor()), Some(place));
        for strange in ["", "7", ":", "x:7", "70000:7", "7:-1"] {
            assert_eq!(ScanPlace::parse(&ListCursor::new(strange.as_bytes())), None, "{strange}");
        }
    }

    #[test]
    fn a_prefix_means_itself_in_a_pattern() {
        assert_eq!(pattern(b"order:"), b"order:*");
        assert_eq!(pattern(b"a*?[b]\\"), b"a\\*\\?\\[b\\]\\\\*");
    }
}
