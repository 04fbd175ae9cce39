//! The queues of this process, by key, so that those of two keys seldom wait for each other.

use super::loss_relay::LossRelay;
use super::pending_releases::PendingReleases;
use super::queue::KeyQueue;
use crate::backend::{Claim, Progress};
use crate::key::LockKey;
use crate::lease::Ttl;
use foldhash::HashMap;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::collections::hash_map::Entry as MapEntry;
use std::hash::BuildHasher as _;
use std::sync::Arc;

/// Of two threads at any two keys one in so many waits for the other.
const SHARDS: usize = 32;

/// Every queue that is in use.
#[derive(Default)]
pub(super) struct QueueMap {
    shards: [Mutex<Shard>; SHARDS],
    places: RandomState,
}

/// The queues of some keys, and what of their acquisitions is still to be released.
#[derive(Default)]
struct Shard {
    queues: HashMap<QueueKey, QueueEntry>,
    pending: PendingReleases,
}

/// Acquisitions of different lengths compete by themselves: one lease cannot have two.
type QueueKey = (LockKey, Ttl);

/// A queue, and whom it tells what.
#[derive(Default)]
pub(super) struct QueueEntry {
    pub(super) queue: KeyQueue,
    /// What the competitor waits for, and so everybody here.
    pub(super) progress: Arc<Progress>,
    /// What the backend says of the competitor's grant, from before it is asked for it.
    pub(super) relay: Option<LossRelay>,
}

impl QueueMap {
    /// Looks at the queue of this claim, and at what is pending such queues. A queue that nobody uses is not kept.
    pub(super) fn with<T>(
        &self,
        claim: &Claim,
        look: impl FnOnce(&mut QueueEntry, &mut PendingReleases) -> T,
    ) -> T {
        let place = (claim.key.clone(), claim.ttl);
        let Shard { queues, pending } = &mut *self.shard(&place).lock();
        match queues.entry(place) {
            MapEntry::Occupied(mut there) => {
                let seen = look(there.get_mut(), pending);
                if there.get().queue.is_empty() {
                    there.remove();
                }
                seen
            }
            MapEntry::Vacant(nobody) => {
                let mut entry = QueueEntry::default();
                let seen = look(&mut entry, pending);
                if !entry.queue.is_empty() {
                    nobody.insert(entry);
                }
                seen
            }
        }
    }

    /// Looks at what is pending such queues as this claim's.
    pub(super) fn pending<T>(&self, claim: &Claim, look: impl FnOnce(&mut PendingReleases) -> T) -> T {
        look(&mut self.shard(&(claim.key.clone(), claim.ttl)).lock().pending)
    }

    /// Whether nothing is kept of anybody.
    #[cfg(test)]
    pub(super) fn are_empty(&self) -> bool {
        let is_empty = |shard: &Shard| shard.queues.is_empty() && shard.pending.is_empty();
        self.shards.iter().all(|shard| is_empty(&shard.lock()))
    }

    #[expect(clippy::indexing_slicing, reason = "a remainder of so many is less")]
    fn shard(&self, place: &QueueKey) -> &Mutex<Shard> {
        &self.shards[self.places.hash_one(place) as usize % SHARDS]
    }
}
