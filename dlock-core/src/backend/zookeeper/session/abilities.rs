//! The requests that not every server knows.

use std::sync::atomic::{AtomicBool, Ordering};

/// A request of the locks that not every server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ability {
    /// The heartbeat that the leader answers.
    Sync,
    /// Making a node within a transaction.
    Transaction,
    /// Making a node, with its transaction's number in the answer.
    Create,
    /// Removing a watch, as a waiter does that gives up.
    WatchRemoval,
    Container,
    ListOfEphemerals,
}

/// The requests that the servers of one backend value were seen to accept.
#[derive(Debug)]
pub(crate) struct Abilities {
    containers: AtomicBool,
    lists_of_ephemerals: AtomicBool,
}

impl Default for Abilities {
    fn default() -> Self {
        Self { containers: AtomicBool::new(true), lists_of_ephemerals: AtomicBool::new(true) }
    }
}

impl Abilities {
    /// Whether directories can be nodes that the servers remove when they are empty for a while.
    pub(crate) fn has_containers(&self) -> bool {
        self.containers.load(Ordering::Relaxed)
    }

    pub(crate) fn lacks_containers(&self) {
        self.containers.store(false, Ordering::Relaxed);
    }

    /// Whether a session can ask which nodes it has.
    pub(crate) fn has_lists_of_ephemerals(&self) -> bool {
        self.lists_of_ephemerals.load(Ordering::Relaxed)
    }

    pub(crate) fn lacks_lists_of_ephemerals(&self) {
        self.lists_of_ephemerals.store(false, Ordering::Relaxed);
    }
}
