//! The name of what is locked.

use std::fmt;
use std::sync::Arc;

/// The name of what is locked: 1 to 512 bytes, any bytes.
///
/// Two keys are the same lock if and only if their bytes are the same. There is no case folding and no Unicode
/// normalization. Backends that do not allow every byte in a name encode the key, one name for each key.
///
/// ```
/// use dlock_core::{ErrorKind, LockKey};
///
/// let key = LockKey::new("order:42")?;
/// assert_eq!(key.as_bytes(), b"order:42");
/// assert_eq!(LockKey::new("").unwrap_err().kind(), ErrorKind::InvalidKey);
/// # Ok::<(), dlock_core::LockError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockKey(Arc<[u8]>);

impl LockKey {
    /// The longest key, in bytes.
    pub const MAX_LEN: usize = 512;

    /// A key of bytes that were checked.
    pub(super) fn checked(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for LockKey {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// The key as text, with control characters and bytes that are no UTF-8 escaped.
impl fmt::Display for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            write!(f, "{}", chunk.valid().escape_debug())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_key_escapes_what_is_not_printable() {
        let key = LockKey::new(b"a\n\x00\xff\xc3\xbc").unwrap();
        assert_eq!(key.to_string(), "a\\n\\0\\xff\u{fc}");
    }
}
