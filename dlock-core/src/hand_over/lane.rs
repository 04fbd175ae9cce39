//! Which queue an acquisition stands in.

use crate::backend::{Claim, Share};
use crate::key::LockKey;
use crate::label::Label;
use crate::lease::{OwnerId, Ttl};
use std::sync::Arc;

/// Which queue: acquisitions of different lengths compete by themselves, since one lease cannot have two. So do those of
/// different labels. A part of a key has a queue of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    key: LockKey,
    ttl: Ttl,
    /// In one word: most lanes have nothing of it, and each lock that is held keeps its lane twice.
    apart: Option<Arc<Apart>>,
}

/// What keeps an acquisition out of the lane of others that want its key for as long.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Apart {
    /// The acquisition that stands alone, or [`OwnerId::NONE`].
    alone: OwnerId,
    label: Option<Label>,
    share: Share,
}

impl Apart {
    const NOTHING: Self = Self { alone: OwnerId::NONE, label: None, share: Share::All };
}

impl Lane {
    /// The lane of this claim. One for a part of a key stands alone: several parts are held at a time.
    pub(super) fn of(claim: &Claim, is_handed_over: bool) -> Self {
        let Claim { key, owner, ttl, label, share } = claim.clone();
        let alone = if is_handed_over && share.is_all() { OwnerId::NONE } else { owner };
        let apart = Apart { alone, label, share };
        Self { key, ttl, apart: (apart != Apart::NOTHING).then(|| Arc::new(apart)) }
    }

    /// An acquisition that competes for this queue.
    pub(super) fn claim(&self, owner: OwnerId) -> Claim {
        let Apart { label, share, .. } = self.apart.as_deref().cloned().unwrap_or(Apart::NOTHING);
        Claim { key: self.key.clone(), owner, ttl: self.ttl, label, share }
    }
}
