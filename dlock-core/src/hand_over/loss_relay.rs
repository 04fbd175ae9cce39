//! What the backend says of a grant after it was granted, and whom that concerns.

use super::lane::Lane;
use crate::backend::LossSignal;
use crate::lease::{LeaseObserver, LossReason, OwnerId};
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

    /// From here on it concerns another request, which learns what was said before.
    pub(super) fn pass_to(&mut self, next: LossSignal) {
        if self.is_doubt {
            next.doubt();
        }
        self.concerns = next;
    }

    /// Whose grant it is about.
    pub(super) fn competitor(&self) -> OwnerId {
        self.heard_by.competitor
    }

    /// Whether it is about the grant of this competitor.
    pub(super) fn is_about(&self, competitor: OwnerId) -> bool {
        self.competitor() == competitor
    }

    /// The grant is gone.
    pub(super) fn end(self, reason: LossReason) {
        self.concerns.lose(reason);
    }
}

/// What a relay says at a moment.
pub(super) struct Word {
    concerns: LossSignal,
    is_doubt: bool,
}

impl LossRelay {
    pub(super) fn word(&self) -> Word {
        Word { concerns: self.concerns.clone(), is_doubt: self.is_doubt }
    }
}

impl Word {
    fn tell(&self) {
        match self.is_doubt {
            true => self.concerns.doubt(),
            false => self.concerns.trust(),
        }
    }
}

/// The queues that a backend's word is about.
pub(super) trait ObservedQueues: Send + Sync {
    /// Notes what the backend says of the grant that `competitor` was given, unless a later one competes by now. What
    /// that makes it say.
    fn note(&self, lane: &Lane, competitor: OwnerId, said: &dyn Fn(&mut LossRelay)) -> Option<Word>;

    /// The grant is gone.
    fn lose(&self, lane: &Lane, competitor: OwnerId, reason: LossReason);
}

/// Hears what the backend says of the grant of one competitor.
pub(super) struct BackendObserver {
    pub(super) queues: Weak<dyn ObservedQueues>,
    pub(super) lane: Lane,
    pub(super) competitor: OwnerId,
}

impl fmt::Debug for BackendObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendObserver").finish_non_exhaustive()
    }
}

impl BackendObserver {
    fn note(&self, said: impl Fn(&mut LossRelay)) -> Option<Word> {
        self.queues.upgrade()?.note(&self.lane, self.competitor, &said)
    }

    /// Whom it concerns is told while nothing is locked, for that runs what others wrote. So a doubt and a trust that come
    /// at once may change places; each looks afterwards whether what it told still holds.
    fn say(&self, is_doubt: bool) {
        let mut word = self.note(|relay| relay.is_doubt = is_doubt);
        while let Some(said) = word {
            said.tell();
            word = self.note(|_| {}).filter(|now| now.is_doubt != said.is_doubt);
        }
    }
}

impl LeaseObserver for BackendObserver {
    fn lose(&self, reason: LossReason) {
        self.note(|relay| relay.loss = Some(reason));
        if let Some(queues) = self.queues.upgrade() {
            queues.lose(&self.lane, self.competitor, reason);
        }
    }

    fn doubt(&self) {
        self.say(true);
    }

    fn trust(&self) {
        self.say(false);
    }
}
