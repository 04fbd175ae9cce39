//! What may be a key, and what a key is made from.

use super::lock_key::LockKey;
use crate::error::{ErrorKind, LockError};

impl LockKey {
    /// Checks `bytes` and makes a key of them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`] if there is no byte, or more than [`LockKey::MAX_LEN`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, LockError> {
        let bytes = bytes.as_ref();
        match bytes.len() {
            0 => Err(invalid("the key is empty; name what is locked, such as \"order:42\"")),
            1..=Self::MAX_LEN => Ok(Self::checked(bytes)),
            long => Err(invalid(format!(
                "the key has {long} bytes, more than {}; lock a shorter name or a hash of this one",
                Self::MAX_LEN
            ))),
        }
    }
}

fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> LockError {
    LockError::new(ErrorKind::InvalidKey, detail)
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
}
