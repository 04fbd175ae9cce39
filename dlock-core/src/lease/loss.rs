//! How a lease ends.

use crate::time::Moment;
use std::fmt;
use std::time::Duration;

/// Why a lease is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// The lease expired: renewals were sent, and the backend confirmed none.
    Expired,
    /// The lease expired while the machine slept.
    Slept,
    /// The lease expired before a renewal was even sent: the process was stopped, or got no time to run.
    Stopped,
    /// The backend no longer has this owner as the holder.
    NotOwner,
    /// The session that the lock belonged to is over.
    SessionExpired,
    /// It was held for its `max_hold`: [`LockRequest::max_hold`](crate::LockRequest::max_hold).
    MaxHold,
    /// An operator [took the lock away](crate::LockAdmin::force_release).
    TakenAway,
    /// The guard was released, or its manager was shut down.
    Released,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the lease expired before a renewal was confirmed",
            Self::Slept => "the lease expired while the machine slept",
            Self::Stopped => "the lease expired while the process did not run",
            Self::NotOwner => "the backend no longer has this owner as the holder",
            Self::SessionExpired => "the session with the backend is over",
            Self::MaxHold => "the lock was held for its max_hold",
            Self::TakenAway => "an operator took the lock away",
            Self::Released => "the lock was released",
        })
    }
}

/// Why a lease is over that was valid until `valid_until`, as known at `now`. It depends on how long the machine slept
/// since the last answer of the backend, and on whether a renewal was sent since.
pub(super) fn cause_of_expiry(
    valid_until: Moment,
    now: Moment,
    slept: Duration,
    was_asked: bool,
) -> LossReason {
    if now.before(slept) < valid_until {
        LossReason::Slept
    } else if was_asked {
        LossReason::Expired
    } else {
        LossReason::Stopped
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
    /// The lease is valid, and there is no doubt about it.
    Held,
    /// The lease is valid, but the last news from the backend was bad: a renewal failed, or the session is cut off. No
    /// other client has the lock yet. The state is `Held` again when the backend answers, and `Lost` if it does not
    /// answer before the deadline. Begin nothing new now.
    Suspect,
    /// The lease is over, for good.
    Lost(LossReason),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_has_one_cause() {
        let at = |seconds| Moment::START.after(Duration::from_secs(seconds));
        let cause = |slept, was_asked| cause_of_expiry(at(30), at(40), Duration::from_secs(slept), was_asked);
        assert_eq!(cause(0, true), LossReason::Expired);
        assert_eq!(cause(0, false), LossReason::Stopped);
        assert_eq!(cause(11, true), LossReason::Slept, "awake it would be valid still");
        assert_eq!(cause(5, true), LossReason::Expired, "it would be over without that sleep, too");
    }
}
