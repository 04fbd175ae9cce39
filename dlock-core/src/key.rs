//! What is locked.

use crate::error::{ErrorKind, LockError};
use std::fmt;
use std::sync::Arc;

/// The name of what is locked: 1 to 512 bytes, any bytes.
///
/// Two keys are the same lock if and only if their bytes are the same; there is no case folding and no Unicode
/// normalisation. Backends that cannot take every byte in a name encode it, one name to one key.
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

    /// Checks `bytes` and makes a key of them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`] if there is no byte, or more than [`LockKey::MAX_LEN`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, LockError> {
        let bytes = bytes.as_ref();
        match bytes.len() {
            0 => Err(invalid("the key is empty; name what is locked, such as \"order:42\"")),
            1..=Self::MAX_LEN => Ok(Self(bytes.into())),
            long => Err(invalid(format!(
                "the key has {long} bytes, more than {}; lock a shorter name or a hash of this one",
                Self::MAX_LEN
            ))),
        }
    }

    /// The bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> LockError {
    LockError::new(ErrorKind::InvalidKey, detail)
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

macro_rules! key_from {
    ($($source:ty),+) => {$(
        impl TryFrom<$source> for LockKey {
            type Error = LockError;

            fn try_from(source: $source) -> Result<Self, LockError> {
                Self::new(source)
            }
        }
    )+};
}

key_from!(&str, &String, String, &[u8], Vec<u8>);

impl<const N: usize> TryFrom<&[u8; N]> for LockKey {
    type Error = LockError;

    fn try_from(source: &[u8; N]) -> Result<Self, LockError> {
        Self::new(source)
    }
}

impl TryFrom<&LockKey> for LockKey {
    type Error = LockError;

    fn try_from(source: &LockKey) -> Result<Self, LockError> {
        Ok(source.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_checked_at_both_ends() {
        assert_eq!(LockKey::new("").unwrap_err().kind(), ErrorKind::InvalidKey);
        assert!(LockKey::new("a").is_ok());
        assert!(LockKey::new([b'a'; 512]).is_ok());
        let long = LockKey::new([b'a'; 513]).unwrap_err();
        assert_eq!(long.kind(), ErrorKind::InvalidKey);
        assert!(long.to_string().contains("513 bytes"), "{long}");
    }

    #[test]
    fn text_of_a_key_escapes_what_is_not_printable() {
        let key = LockKey::new(b"a\n\x00\xff\xc3\xbc").unwrap();
        assert_eq!(key.to_string(), "a\\n\\0\\xff\u{fc}");
    }
}
