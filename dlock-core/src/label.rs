//! What a holder calls itself.

use crate::error::{ErrorKind, LockError};
use std::fmt;
use std::sync::Arc;

/// What a holder or a waiter calls itself, for people who look at a lock: 1 to 64 bytes of text.
///
/// A label is not secret and proves nothing. It is stored with the lock, and every client that may read the lock can read
/// the label. By default there is none.
///
/// ```
/// use dlock_core::{ErrorKind, Label};
///
/// assert_eq!(Label::new("worker-7")?.as_str(), "worker-7");
/// assert_eq!(Label::new("").unwrap_err().kind(), ErrorKind::InvalidOption);
/// assert_eq!(Label::new("x".repeat(65)).unwrap_err().kind(), ErrorKind::InvalidOption);
/// # Ok::<(), dlock_core::LockError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Arc<LabelText>);

/// In a box of its own, so that a label takes one word wherever it is kept.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct LabelText(Box<str>);

impl Label {
    /// The longest label, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks `text` and makes a label of it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if it is empty, longer than [`Label::MAX_LEN`], or has a control character in it.
    pub fn new(text: impl AsRef<str>) -> Result<Self, LockError> {
        let text = text.as_ref();
        check(text)?;
        Ok(Self(Arc::new(LabelText(text.into()))))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.0
    }
}

fn check(text: &str) -> Result<(), LockError> {
    let invalid = |detail: String| Err(LockError::new(ErrorKind::InvalidOption, detail));
    match text.len() {
        0 => invalid("the label is empty; leave it out, or name the holder, such as \"worker-7\"".to_owned()),
        long if long > Label::MAX_LEN => {
            invalid(format!("the label has {long} bytes, more than {}; use a shorter one", Label::MAX_LEN))
        }
        _ if text.contains(char::is_control) => {
            invalid("the label has a control character in it; use printable text".to_owned())
        }
        _ => Ok(()),
    }
}

macro_rules! label_from {
    ($($source:ty),+) => {$(
        impl TryFrom<$source> for Label {
            type Error = LockError;

            fn try_from(source: $source) -> Result<Self, LockError> {
                Self::new(source)
            }
        }
    )+};
}

label_from!(&str, &String, String);

impl TryFrom<&Label> for Label {
    type Error = LockError;

    fn try_from(source: &Label) -> Result<Self, LockError> {
        Ok(source.clone())
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_checked_at_both_ends_in_bytes() {
        assert_eq!(Label::new("x".repeat(64)).unwrap().as_str().len(), 64);
        assert_eq!(Label::new("\u{fc}".repeat(32)).unwrap().as_str().len(), 64);
        for wrong in [String::new(), "x".repeat(65), "\u{fc}".repeat(33)] {
            assert_eq!(Label::new(&wrong).unwrap_err().kind(), ErrorKind::InvalidOption, "{wrong}");
        }
    }

    #[test]
    fn control_characters_are_refused() {
        for wrong in ["a\nb", "\0", "\u{1b}[31m", "\u{85}"] {
            assert_eq!(Label::new(wrong).unwrap_err().kind(), ErrorKind::InvalidOption, "{wrong:?}");
        }
        assert_eq!(Label::new("web|1 50% = \u{4e2d}").unwrap().to_string(), "web|1 50% = \u{4e2d}");
    }

    #[test]
    fn a_label_takes_one_word() {
        assert_eq!(size_of::<Option<Label>>(), size_of::<usize>());
    }
}
