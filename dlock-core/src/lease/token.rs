//! The fencing token of a grant.

use std::fmt;

/// A number that rises with every grant of one key (I2).
///
/// Pass it to the store that the lock protects and let the store refuse a smaller one than it has seen: then
/// a holder that was stopped for longer than its lease cannot overwrite its successor's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    /// The token with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number for a column of the type `BIGINT`. Tokens of every backend are smaller than 2^63; a number that is not
    /// becomes [`i64::MAX`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:").await?;
    /// let guard = locks.lock("order:42").await?;
    /// assert_eq!(u64::try_from(guard.token().as_i64()), Ok(guard.token().as_u64()));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        if self.0 > i64::MAX as u64 { i64::MAX } else { self.0.cast_signed() }
    }

    /// The next one.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<FencingToken> for u64 {
    fn from(token: FencingToken) -> Self {
        token.0
    }
}
