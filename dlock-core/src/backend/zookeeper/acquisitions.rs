//! What this process has asked for: one entry per owner, from its first create until its release.
//!
//! Invariant: an owner without an entry has no node, and no request under way that could make one. So an entry is made
//! before the create is sent. It is removed only when the node is gone, or when its session is over.

use super::node::LockNode;
use super::session::requests::Session;
use crate::backend::LossSignal;
use crate::lease::OwnerId;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The entries of one backend value.
#[derive(Default)]
pub(super) struct Acquisitions(Mutex<HashMap<OwnerId, AcquisitionEntry>>);

struct AcquisitionEntry {
    /// The session that all requests of the owner went to since the last search for its nodes.
    session: Arc<Session>,
    node: Option<LockNode>,
    state: AcquisitionState,
}

enum AcquisitionState {
    /// Asking or waiting.
    Asking,
    Granted(LossSignal),
    /// Was granted, and its node is being removed.
    Leaving,
    /// Was granted, and lost it.
    Lost,
}

/// What is known of an owner's node that is to be removed.
pub(super) enum Release {
    /// It is there, unless another client removed it.
    First(LockNode),
    /// It may have been removed by an earlier request.
    Again(LockNode),
    /// There may be one, or not.
    Unknown,
}

/// A grant that is gone. Its guard is still to be told. That runs code from outside the library, so it is done in a
/// task of its own, and not under the mutex.
pub(super) struct LostGrant {
    /// Where its node is, or was.
    pub(super) path: String,
    pub(super) signal: LossSignal,
}

/// What is known of one owner.
pub(super) struct Known {
    pub(super) session: Arc<Session>,
    pub(super) node: Option<LockNode>,
    pub(super) is_granted: bool,
}

impl Acquisitions {
    pub(super) fn knows(&self, owner: OwnerId) -> bool {
        self.0.lock().contains_key(&owner)
    }

    /// Enters the owner with `session`, to which its next create goes. A grant in the same session stays.
    pub(super) fn enter(&self, owner: OwnerId, session: &Arc<Session>) {
        let mut entries = self.0.lock();
        if entries.get(&owner).is_some_and(|entry| Arc::ptr_eq(&entry.session, session)) {
            return;
        }
        let entry =
            AcquisitionEntry { session: Arc::clone(session), node: None, state: AcquisitionState::Asking };
        let before = entries.insert(owner, entry);
        // Not under the mutex: this may drop the last handle of an old session.
        drop(entries);
        drop(before);
    }

    pub(super) fn place(&self, owner: OwnerId, node: Option<&LockNode>) {
        if let Some(entry) = self.0.lock().get_mut(&owner) {
            entry.node = node.cloned();
        }
    }

    pub(super) fn grant(&self, owner: OwnerId, loss: LossSignal) {
        if let Some(entry) = self.0.lock().get_mut(&owner) {
            entry.state = AcquisitionState::Granted(loss);
        }
    }

    /// The guards to tell of a loss or a doubt of this session. A grant that is entered later looks by itself.
    pub(super) fn signals(&self, session: u64) -> Vec<LossSignal> {
        let entries = self.0.lock();
        let of_session = entries.values().filter(|entry| entry.session.number() == session);
        of_session.filter_map(AcquisitionEntry::signal).collect()
    }

    pub(super) fn look(&self, owner: OwnerId) -> Option<Known> {
        let entries = self.0.lock();
        let AcquisitionEntry { session, node, state } = entries.get(&owner)?;
        let is_granted = matches!(state, AcquisitionState::Granted(_) | AcquisitionState::Leaving);
        Some(Known { session: Arc::clone(session), node: node.clone(), is_granted })
    }

    /// The session of the owner's grant, if it has one.
    pub(super) fn granted_by(&self, owner: OwnerId) -> Option<Arc<Session>> {
        let entries = self.0.lock();
        let entry = entries.get(&owner).filter(|entry| entry.granted().is_some())?;
        Some(Arc::clone(&entry.session))
    }

    /// The owner's node before it is removed. From the first call on, no search looks for it, and no other request removes
    /// it.
    pub(super) fn begin_release(&self, owner: OwnerId) -> Release {
        let mut entries = self.0.lock();
        let Some(entry) = entries.get_mut(&owner) else { return Release::Unknown };
        let Some(node) = entry.node.clone() else { return Release::Unknown };
        match entry.state {
            AcquisitionState::Granted(_) => {
                entry.state = AcquisitionState::Leaving;
                Release::First(node)
            }
            _ => Release::Again(node),
        }
    }

    /// The session and the node of the owner's grant, if it has one.
    pub(super) fn granted(&self, owner: OwnerId) -> Option<(Arc<Session>, LockNode)> {
        let entries = self.0.lock();
        let entry = entries.get(&owner)?;
        Some((Arc::clone(&entry.session), entry.granted()?.clone()))
    }

    /// Forgets the owner. Nothing of it is left at the servers, now or later.
    pub(super) fn leave(&self, owner: OwnerId) {
        let before = self.0.lock().remove(&owner);
        drop(before);
    }

    /// Every grant of this session is gone.
    pub(super) fn lose_session(&self, session: u64) -> Vec<LostGrant> {
        let mut entries = self.0.lock();
        let of_session = entries.values_mut().filter(|entry| entry.session.number() == session);
        of_session.filter_map(AcquisitionEntry::lose).collect()
    }

    /// All grants of this session, by owner and token.
    pub(super) fn granted_in(&self, session: u64) -> Vec<(OwnerId, i64)> {
        let entries = self.0.lock();
        let of_session = entries.iter().filter(|(_, entry)| entry.session.number() == session);
        of_session.filter_map(|(owner, entry)| Some((*owner, entry.granted()?.created))).collect()
    }

    /// Every grant in `granted` whose node's path is not in `there` is gone.
    pub(super) fn lose_missing(
        &self,
        granted: Vec<(OwnerId, i64)>,
        there: &HashSet<String>,
    ) -> Vec<LostGrant> {
        let mut entries = self.0.lock();
        let lose = |(owner, token)| {
            let entry = entries.get_mut(&owner)?;
            let node = entry.granted().filter(|node| node.created == token)?;
            if there.contains(&node.path) { None } else { entry.lose() }
        };
        granted.into_iter().filter_map(lose).collect()
    }
}

impl AcquisitionEntry {
    fn granted(&self) -> Option<&LockNode> {
        self.node.as_ref().filter(|_| matches!(self.state, AcquisitionState::Granted(_)))
    }

    fn signal(&self) -> Option<LossSignal> {
        match &self.state {
            AcquisitionState::Granted(signal) => Some(signal.clone()),
            _ => None,
        }
    }

    fn lose(&mut self) -> Option<LostGrant> {
        let path = self.granted()?.path.clone();
        match std::mem::replace(&mut self.state, AcquisitionState::Lost) {
            AcquisitionState::Granted(signal) => Some(LostGrant { path, signal }),
            _ => None,
        }
    }
}
