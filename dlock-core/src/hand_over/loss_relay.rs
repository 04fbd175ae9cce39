//! What the backend says of a grant after it was granted, and whom that concerns.

use crate::backend::{Claim, LossSignal};
use crate::lease::{LeaseObserver, LossReason};
use std::fmt;
use std::sync::{Arc, Weak};

/// What the backend says of a grant, and to whom.
pub(super) struct LossRelay {
    /// Who hears it, for as long as this is kept.
    heard_by: Arc<BackendObserver>,
    /// Whom it concerns: who asked, or was handed the lock over.
    concerns: LossSignal,
    is_doubt: bool,
    /// It came before the queue held.
    pub(super) loss: Option<LossReason>,
}

impl LossRelay {
    pub(super) fn unsaid(heard_by: Arc<BackendObserver>, concerns: LossSignal) -> Self {
        Self { heard_by, concerns, is_doubt: false, loss: None }
    }

    /// From here on it concerns somebody else, who learns what was said before.
    pub(super) fn pass_to(&mut self, next: LossSignal) {
        if self.is_doubt {
            next.doubt();
        }
        self.concerns = next;
    }

    /// Whether it is about the grant of this competitor.
    pub(super) fn is_about(&self, competitor: &Claim) -> bool {
        self.heard_by.competitor.owner == competitor.owner
    }

    /// The grant is gone.
    pub(super) fn end(self, reason: LossReason) {
        self.concerns.lose(reason);
    }
}

/// The queues that a backend's word is about.
pub(super) trait ObservedQueues: Send + Sync {
    /// Notes what the backend says of the grant that `competitor` was given, unless a later one competes by now.
    fn note(&self, competitor: &Claim, said: &dyn Fn(&mut LossRelay));

    /// The grant is gone.
    fn lose(&self, competitor: &Claim, reason: LossReason);
}

/// Hears what the backend says of the grant of one competitor.
pub(super) struct BackendObserver {
    pub(super) queues: Weak<dyn ObservedQueues>,
    pub(super) competitor: Claim,
}

impl fmt::Debug for BackendObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendObserver").finish_non_exhaustive()
    }
}

impl BackendObserver {
    fn note(&self, said: impl Fn(&mut LossRelay)) {
        if let Some(queues) = self.queues.upgrade() {
            queues.note(&self.competitor, &said);
        }
    }
}

impl LeaseObserver for BackendObserver {
    fn lose(&self, reason: LossReason) {
        self.note(|relay| relay.loss = Some(reason));
        if let Some(queues) = self.queues.upgrade() {
            queues.lose(&self.competitor, reason);
        }
    }

    fn doubt(&self) {
        self.note(|relay| {
            relay.is_doubt = true;
            relay.concerns.doubt();
        });
    }

    fn trust(&self) {
        self.note(|relay| {
            relay.is_doubt = false;
            relay.concerns.trust();
        });
    }
}
