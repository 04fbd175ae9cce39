//! What asking for a lock once may come to.

use crate::backend::Grant;
use crate::lease::FencingToken;
use crate::time::Moment;
use std::time::Duration;

pub(super) enum Attempt {
    Granted(Grant),
    /// Another has it, by the answer to a request sent at this moment.
    Held {
        held: Held,
        sent: Moment,
    },
    /// Nobody is granted anything for this long.
    Quarantined(Duration),
}

/// A lock that another has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// What is left of its lease; `None` if it never expires.
    pub(super) expires_in: Option<Duration>,
    /// Whether the asking owner is the first in the queue.
    pub(super) first: bool,
    /// Whether nobody will tell of the holder's release.
    pub(super) silent: bool,
    /// The last token of the key: a hand-off with no greater one is an old story.
    pub(super) last: FencingToken,
}
