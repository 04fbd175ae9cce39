//! The fencing token of a grant.

use std::fmt;
use std::time::Duration;

/// How many tokens each microsecond has.
const A_MICROSECOND: u64 = 64;

/// A number that rises with every grant of one key.
///
/// Pass it to the store that the lock protects, and let the store refuse a token smaller than the greatest it has seen.
/// Then a holder that was stopped for longer than its lease cannot overwrite its successor's work.
///
/// # Exactness
/// Most tokens are greater than 2^53, where doubles stop being exact. All fit into a signed integer of 64 bits. Keep
/// them in a column of 64-bit integers (`bigint`), or as the decimal text of `Display`. Numbers in JavaScript and Lua
/// are doubles, and so are JSON numbers in many programs: they round two tokens to one. Send the text there. Compare it
/// as a `BigInt`, or in Lua by length and then as text.
///
/// # Another backend
/// Redis (by any recipe, and as a majority of servers) and the embedded backend have one scale of tokens: 64 for each
/// microsecond since 1970, and never less than the clock says. A program can move from one of them to another, if two
/// things hold. Their clocks differ by less than the time between the last grant of the one and the first of the other.
/// And the old counter was not ahead of its clock. ZooKeeper's tokens count its transactions, and are much smaller. A
/// program that moves to ZooKeeper lifts its tokens above the old ones with
/// [`token_floor`](crate::LockManagerBuilder::token_floor).
///
/// Do not restore an old copy of a Redis server's counter (`dlock:f`) over a greater one.
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

    /// The number for a column of the type `BIGINT`. Tokens of every backend are smaller than 2^63; a greater number
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

    /// What tokens begin with that count from this time on, since 1970: on the scale of Redis' tokens.
    pub(crate) fn of_time(since_1970: Duration) -> Self {
        let micros = u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX);
        Self(micros.saturating_mul(A_MICROSECOND).min(i64::MAX.unsigned_abs() / 2))
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
