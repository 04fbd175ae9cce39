//! What the backend says of a grant after it was granted, and whom that concerns.

use super::Shared;
use crate::backend::{Claim, LossSignal};
use crate::lease::{LeaseObserver, LossReason};
use std::fmt;
use std::sync::{Arc, Weak};

/// What the backend says of a grant, and to whom.
pub(super) struct Word {
    /// Who hears it, for as long as this is kept.
    heard_by: Arc<Losses>,
    /// Whom it concerns: who asked, or was handed the lock over.
    concerns: LossSignal,
    is_doubt: bool,
    /// It came before the lane held.
    pub(super) loss: Option<LossReason>,
}

impl Word {
    pub(super) fn unsaid(heard_by: Arc<Losses>, concerns: LossSignal) -> Self {
        Self { heard_by, concerns, is_doubt: false, loss: None }
    }

    /// From here on it concerns somebody else, who learns what was said before.
    pub(super) fn pass_to(&mut self, next: LossSignal) {
        if self.is_doubt {
            next.doubt();
        }
        self.concerns = next;
    }

    /// The grant is gone.
    pub(super) fn end(self, reason: LossReason) {
        self.concerns.lose(reason);
    }
}

/// Hears from the backend that a grant is gone.
pub(super) struct Losses {
    pub(super) shared: Weak<Shared>,
    pub(super) competitor: Claim,
}

impl fmt::Debug for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Losses").finish_non_exhaustive()
    }
}

impl Losses {
    /// Notes what the backend says, unless it is about an earlier grant.
    fn note(&self, said: impl FnOnce(&mut Word)) {
        if let Some(shared) = self.shared.upgrade() {
            shared.lanes.with(&self.competitor, |standing, _| {
                let is_this = |word: &&mut Word| word.heard_by.competitor.owner == self.competitor.owner;
                standing.word.as_mut().filter(is_this).map(said)
            });
        }
    }
}

impl LeaseObserver for Losses {
    fn lose(&self, reason: LossReason) {
        self.note(|word| word.loss = Some(reason));
        if let Some(shared) = self.shared.upgrade() {
            shared.lose(&self.competitor, reason);
        }
    }

    fn doubt(&self) {
        self.note(|word| {
            word.is_doubt = true;
            word.concerns.doubt();
        });
    }

    fn trust(&self) {
        self.note(|word| {
            word.is_doubt = false;
            word.concerns.trust();
        });
    }
}
