//! What stands before every key of a manager.

use std::fmt;
use std::sync::Arc;

/// What stands before every key of a manager, such as `shop:`: 1 to 128 bytes of text.
///
/// A namespace keeps applications apart that share servers.
/// [`LockManagerBuilder::namespace`](crate::LockManagerBuilder::namespace) sets it, and says what it means for each
/// backend.
///
/// Control characters are refused, and so is `dlock:`, which dlock uses in its own names. Braces may surround a hash
/// tag, which puts all keys into one slot of a Redis Cluster: `{shop}:`. A brace that surrounds nothing is refused.
///
/// ```
/// use dlock_core::{ErrorKind, LockKey, Namespace};
///
/// let shop = Namespace::new("shop:")?;
/// assert_eq!(shop.join(&LockKey::new("order:42")?)?, LockKey::new("shop:order:42")?);
/// for refused in ["", "a\nb", "a{b", "a{}b", "a:dlock:"] {
///     assert_eq!(Namespace::new(refused).unwrap_err().kind(), ErrorKind::InvalidOption, "{refused}");
/// }
/// # Ok::<(), dlock_core::LockError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<NamespaceText>);

/// In a box of its own, so that a namespace takes one word: each lock that is held keeps it.
#[derive(PartialEq, Eq, Hash)]
struct NamespaceText(Box<str>);

impl Namespace {
    /// The longest namespace, in bytes.
    pub const MAX_LEN: usize = 128;

    /// A namespace of text that was checked.
    pub(super) fn checked(text: &str) -> Self {
        Self(Arc::new(NamespaceText(text.into())))
    }

    /// The text of the namespace.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
