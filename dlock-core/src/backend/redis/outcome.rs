//! The possible outcomes of asking for a lock once.

use super::number::{GrantNumber, TOKENS};
use crate::backend::Grant;
use crate::error::{ErrorKind, LockError};
use crate::time::Moment;
use std::time::Duration;

pub(super) enum AskOutcome {
    Granted(Grant),
    /// Another has it, by the answer to a request sent at this moment.
    Held {
        held: HeldByOther,
        sent: Moment,
    },
    /// The server grants nothing for this long.
    Quarantined(Duration),
}

/// A lock that another has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeldByOther {
    /// What is left of its lease; `None` if it never expires.
    pub(super) expires_in: Option<Duration>,
    /// Whether the asking owner is the first in the queue.
    pub(super) first: bool,
    /// Whether the holder will release without telling any waiter.
    pub(super) silent: bool,
    /// No grant before the answer has a greater number. A hand-off whose number is not greater is from before the answer.
    pub(super) last: GrantNumber,
}

/// A grant with a block of tokens.
pub(super) fn grant(number: GrantNumber, valid_until: Moment) -> Grant {
    Grant::new(number.token(), valid_until).with_tokens(TOKENS)
}

/// The error of an owner that does not have the lock.
pub(super) fn not_owner() -> LockError {
    LockError::new(ErrorKind::Lost, "the key is gone or another owner's; acquire the lock again")
}
