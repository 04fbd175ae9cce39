//! The owners that one backend value knows.

use super::node::RedlockServer;
use super::participant::{Participant, Terms};
use crate::backend::Claim;
use crate::backend::redis::keys::Naming;
use crate::backend::redis::number::GrantNumber;
use crate::backend::redis::wire::Inbox;
use crate::error::LockError;
use crate::lease::OwnerId;
use crate::time::Moment;
use foldhash::HashMap;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// One owner, from its acquire to its release: its participant at every server.
#[derive(Clone)]
pub(super) struct RedlockAcquisition {
    pub(super) terms: Arc<Terms>,
    pub(super) participants: Arc<[Arc<Participant>]>,
}

impl RedlockAcquisition {
    pub(super) fn new(
        nodes: &[Arc<RedlockServer>],
        inbox: Inbox,
        naming: &Naming,
        claim: &Claim,
    ) -> Result<Self, LockError> {
        let terms = Arc::new(Terms {
            keys: naming.keys(&claim.key)?,
            owner: inbox.owner(claim),
            ttl: claim.ttl,
            token: Mutex::default(),
            leaving: OnceLock::new(),
        });
        let participant =
            |node: &Arc<RedlockServer>| Arc::new(Participant::new(Arc::clone(node), Arc::clone(&terms)));
        Ok(Self { participants: nodes.iter().map(participant).collect(), terms })
    }

    /// From here on nothing takes the lock for this owner.
    pub(super) fn begin_leaving(&self) {
        self.terms.leaving.get_or_init(Moment::now);
    }

    pub(super) fn token(&self) -> Option<GrantNumber> {
        *self.terms.token.lock()
    }

    pub(super) fn set_token(&self, token: Option<GrantNumber>) {
        *self.terms.token.lock() = token;
    }
}

/// The owners that have something, or may have.
#[derive(Default)]
pub(super) struct Acquisitions(Mutex<HashMap<OwnerId, RedlockAcquisition>>);

/// Owners whose release was never confirmed are forgotten when their leases are over twice, and not before.
const LEAST_MEMORY: Duration = Duration::from_secs(120);

impl Acquisitions {
    pub(super) fn find(&self, owner: OwnerId) -> Option<RedlockAcquisition> {
        self.0.lock().get(&owner).cloned()
    }

    pub(super) fn enter(&self, owner: OwnerId, acquisition: &RedlockAcquisition) {
        self.0.lock().insert(owner, acquisition.clone());
    }

    pub(super) fn forget(&self, owner: OwnerId) {
        self.0.lock().remove(&owner);
    }

    /// Forgets those who left long ago.
    pub(super) fn sweep(&self, now: Moment) {
        self.0.lock().retain(|_, acquisition| {
            let memory = LEAST_MEMORY.max(acquisition.terms.ttl.as_duration() * 2);
            acquisition.terms.leaving.get().is_none_or(|since| now.since(*since) < memory)
        });
    }
}
