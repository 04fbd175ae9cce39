//! What becomes of a lease.

use std::fmt;

/// Why a lease is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// Its time passed and no renewal was confirmed.
    Expired,
    /// The backend no longer has this owner as the holder.
    NotOwner,
    /// The session it belonged to is over.
    SessionExpired,
    /// The guard was released, or its manager was shut down.
    Released,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the lease expired before a renewal was confirmed",
            Self::NotOwner => "the backend no longer has this owner as the holder",
            Self::SessionExpired => "the session with the backend is over",
            Self::Released => "the lock was released",
        })
    }
}

/// What is known of a lock that was acquired.
///
/// ```text
/// Held <-> Suspect
///   \         /
///      Lost
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GuardState {
    /// The lease is valid, and nothing speaks against it.
    Held,
    /// The lease is valid, but the last word from the backend was a bad one: a renewal failed, or the session
    /// is cut off. Nobody else has the lock yet. It is `Held` again when the backend answers, and `Lost` when
    /// it does not do so before the deadline: a good moment to begin nothing new.
    Suspect,
    /// The lease is over, for good.
    Lost(LossReason),
}
