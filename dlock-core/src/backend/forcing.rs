//! Taking a lock away from its holder.

use crate::lease::FencingToken;
use std::time::Duration;

/// When the next owner may have a lock that is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reopening {
    /// Once the holder has confirmed that its guard is over, or its lease has ended.
    Confirmed,
    /// At once.
    Now,
}

/// A lock that was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForcedRelease {
    /// A token that is greater than every token of the holder, and no greater than that of the next grant. A store that has
    /// seen it refuses what the holder writes from here on.
    pub fence: FencingToken,
    /// For how long the lock stays closed at most.
    pub closed_for: Duration,
}

impl ForcedRelease {
    /// A lock that was taken away, and stays closed for so long.
    #[must_use]
    pub fn new(fence: FencingToken, closed_for: Duration) -> Self {
        Self { fence, closed_for }
    }
}
