//! Which queue an acquisition stands in.

use crate::backend::{Claim, Share};
use crate::key::LockKey;
use crate::label::Label;
use crate::lease::{OwnerId, Ttl};

/// Which queue: acquisitions of different lengths compete by themselves, since one lease cannot have two. So do those of
/// different labels. A part of a key has a queue of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    pub(super) key: LockKey,
    pub(super) ttl: Ttl,
    /// Whose queue it is, where each acquisition has its own; else [`OwnerId::NONE`].
    pub(super) whose: OwnerId,
    pub(super) label: Option<Label>,
    pub(super) share: Share,
}

impl Lane {
    /// An acquisition that competes for this queue.
    pub(super) fn claim(&self, owner: OwnerId) -> Claim {
        Claim { key: self.key.clone(), owner, ttl: self.ttl, label: self.label.clone(), share: self.share }
    }
}
