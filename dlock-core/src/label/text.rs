//! What a holder calls itself.

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

    /// A label of text that was checked.
    pub(super) fn checked(text: &str) -> Self {
        Self(Arc::new(LabelText(text.into())))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.0
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
    fn a_label_takes_one_word() {
        assert_eq!(size_of::<Option<Label>>(), size_of::<usize>());
    }
}
