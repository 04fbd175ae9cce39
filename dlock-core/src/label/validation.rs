//! What may be a label, and what a label is made from.

use super::text::Label;
use crate::error::{ErrorKind, LockError};

impl Label {
    /// Checks `text` and makes a label of it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if it is empty, longer than [`Label::MAX_LEN`], or has a control character in it.
    pub fn new(text: impl AsRef<str>) -> Result<Self, LockError> {
        let text = text.as_ref();
        check(text)?;
        Ok(Self::checked(text))
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
}
