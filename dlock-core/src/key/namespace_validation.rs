//! What may be a namespace, and which keys fit behind one.

use super::lock_key::LockKey;
use super::namespace::Namespace;
use crate::error::{ErrorKind, LockError};

impl Namespace {
    /// Checks `text` and makes a namespace of it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if it is empty, longer than [`Namespace::MAX_LEN`], or contains something that a
    /// namespace may not contain.
    pub fn new(text: impl AsRef<str>) -> Result<Self, LockError> {
        Self::parse(text.as_ref()).map_err(|wrong| LockError::new(ErrorKind::InvalidOption, wrong))
    }

    /// The same, which says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        what_is_wrong(text).map_or_else(|| Ok(Self::checked(text)), Err)
    }

    /// The key that `key` of this namespace is without a namespace.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`] if the two together are longer than [`LockKey::MAX_LEN`].
    pub fn join(&self, key: &LockKey) -> Result<LockKey, LockError> {
        self.check_length(key)?;
        LockKey::new([self.as_str().as_bytes(), key.as_bytes()].concat())
    }

    /// Checks that a key fits behind this namespace.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub(crate) fn check_length(&self, key: &LockKey) -> Result<(), LockError> {
        let together = self.as_str().len() + key.as_bytes().len();
        if together <= LockKey::MAX_LEN {
            return Ok(());
        }
        let detail = format!(
            "the key and its namespace have {together} bytes, more than {}; lock a shorter name or a hash of this one",
            LockKey::MAX_LEN
        );
        Err(LockError::new(ErrorKind::InvalidKey, detail))
    }

    /// The namespace `inner` within this one.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn within(&self, inner: &Self) -> Result<Self, LockError> {
        Self::new([self.as_str(), inner.as_str()].concat())
    }
}

/// Why `text` is no namespace.
fn what_is_wrong(text: &str) -> Option<String> {
    let wrong = match text {
        "" => "the namespace is empty; leave it out, or name one such as \"shop:\"",
        _ if text.len() > Namespace::MAX_LEN => {
            return Some(format!(
                "the namespace has {} bytes, more than {}; use a shorter one",
                text.len(),
                Namespace::MAX_LEN
            ));
        }
        _ if text.chars().any(char::is_control) => {
            "the namespace has a control character in it; use plain text such as \"shop:\""
        }
        _ if text.contains("dlock:") => {
            "the namespace has \"dlock:\" in it, which names dlock's own keys; use another one"
        }
        _ if is_tag_broken(text) => {
            "the namespace has a brace that surrounds nothing; use a whole hash tag such as \"{shop}:\", or no braces"
        }
        _ => return None,
    };
    Some(wrong.to_owned())
}

/// Whether the first brace begins no hash tag. Then a key behind it could end one, and the names beside the lock would
/// lie in another slot than the lock.
fn is_tag_broken(text: &str) -> bool {
    text.split_once('{').is_some_and(|(_, rest)| rest.split_once('}').is_none_or(|(tag, _)| tag.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_namespace_is_text_with_whole_hash_tags() {
        for right in ["a", "shop:", "{shop}:", "a{b}c}", "a}b", "bl\u{f6}cke/", "dlock", "a dlock b"] {
            assert_eq!(Namespace::new(right).unwrap().as_str(), right);
        }
        for wrong in ["", "\0", "a\u{7f}", "{", "a{b", "{}", "{}{a}", "dlock:", "x:dlock:w:"] {
            assert_eq!(Namespace::new(wrong).unwrap_err().kind(), ErrorKind::InvalidOption, "{wrong:?}");
        }
        assert!(Namespace::new("a".repeat(128)).is_ok());
        assert!(Namespace::new("a".repeat(129)).unwrap_err().to_string().contains("129 bytes"));
    }

    #[test]
    fn a_key_must_fit_behind_its_namespace() {
        let (namespace, fits) = (Namespace::new("shop:").unwrap(), LockKey::new([b'a'; 507]).unwrap());
        assert_eq!(namespace.join(&fits).unwrap().as_bytes().len(), 512);
        let refused = namespace.join(&LockKey::new([b'a'; 508]).unwrap()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidKey);
        assert!(refused.to_string().contains("513 bytes"), "{refused}");
    }

    #[test]
    fn what_may_not_stand_in_one_namespace_may_not_come_of_two() {
        let (outer, inner) = (Namespace::new("a:dl").unwrap(), Namespace::new("ock:").unwrap());
        assert!(outer.within(&inner).is_err());
        assert_eq!(inner.within(&outer).unwrap().as_str(), "ock:a:dl");
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in ".{0,140}") {
            let _ = Namespace::new(text);
        }
    }
}
