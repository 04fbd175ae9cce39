//! The queues of this process, by key, so that those of two keys seldom wait for each other.

use super::asking::InPlace;
use super::lane::Lane;
use super::loss_relay::{BackendObserver, LossRelay};
use super::pending_releases::PendingReleases;
use super::queue::KeyQueue;
use crate::backend::{LossSignal, Progress};
use crate::time::Moment;
use foldhash::HashMap;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::collections::hash_map::Entry as MapEntry;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

/// Two threads at two keys share a lock once in this number of cases.
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
    queues: HashMap<Lane, QueueEntry>,
    pending: PendingReleases,
}

/// A queue, and whom it tells what.
#[derive(Default)]
pub(super) struct QueueEntry {
    pub(super) queue: KeyQueue,
    /// What the competitor waits for, and so everybody here.
    progress: Option<Arc<Progress>>,
    /// What the backend says of the competitor's grant, from before it is asked for it.
    pub(super) relay: Option<LossRelay>,
    /// What a caller asks for itself.
    pub(super) in_place: Option<InPlace>,
    /// The keeper's task that asks for the competitor.
    pub(super) asking: Option<AbortOnDropHandle<()>>,
}

impl QueueEntry {
    /// From here on `observer` hears what the backend says of the competitor's grant.
    pub(super) fn observe(&mut self, observer: Arc<BackendObserver>, concerns: LossSignal) {
        self.relay = Some(LossRelay::unsaid(observer, concerns));
    }

    /// Takes note of how it stands with a caller that asks for itself.
    pub(super) fn note_in_place(&mut self) {
        if let Some(in_place) = &self.in_place {
            self.queue.note_in_place(in_place.standing());
        }
    }

    /// What the competitor waits for.
    pub(super) fn progress(&mut self) -> &Arc<Progress> {
        let is_granted = self.queue.is_granted();
        self.progress.get_or_insert_with(|| {
            let progress = Progress::default();
            if is_granted {
                progress.queued();
            }
            Arc::new(progress)
        })
    }

    /// The competitor has the lock. A lock that is held keeps no progress for waiters that are not there.
    pub(super) fn note_grant(&mut self) {
        match self.queue.has_waiters() {
            true => self.progress().queued(),
            false => self.progress = None,
        }
    }

    /// What the next competitor is to wait for, when it is `own` that asks. All here follow it.
    pub(super) fn progress_of(&mut self, own: &Arc<Progress>) -> Arc<Progress> {
        match &self.progress {
            // They follow what is there, and it cannot follow one of them.
            Some(followed) => {
                let next = Arc::new(followed.asked_again());
                followed.follow(&next);
                next
            }
            None => Arc::clone(self.progress.insert(Arc::clone(own))),
        }
    }

    /// What is gone already is not offered: who takes it would hear of that too late.
    pub(super) fn withdraw_if_lost(&mut self) {
        let is_lost = self.relay.as_ref().is_some_and(|relay| relay.loss.is_some());
        if is_lost && self.queue.withdraw() {
            self.relay = None;
        }
    }
}

impl QueueMap {
    /// Looks at a queue, and at the releases that are pending beside it. A queue without users is not kept.
    pub(super) fn with<T>(
        &self,
        lane: &Lane,
        look: impl FnOnce(&mut QueueEntry, &mut PendingReleases) -> T,
    ) -> T {
        let Shard { queues, pending } = &mut *self.shard(lane).lock();
        match queues.entry(lane.clone()) {
            MapEntry::Occupied(mut there) => {
                let seen = look(there.get_mut(), pending);
                if there.get().queue.is_empty() {
                    there.remove();
                }
                seen
            }
            MapEntry::Vacant(vacant) => {
                let mut entry = QueueEntry::default();
                let seen = look(&mut entry, pending);
                if !entry.queue.is_empty() {
                    vacant.insert(entry);
                }
                seen
            }
        }
    }

    /// Looks at each queue that is in use, one shard at a time, and calls `then` for what was seen once the shard is
    /// free again. When something that is pending will have to be forgotten.
    pub(super) fn each<T>(
        &self,
        mut look: impl FnMut(&Lane, &mut QueueEntry, &mut PendingReleases) -> T,
        mut then: impl FnMut(T),
        now: Moment,
    ) -> Option<Moment> {
        let mut forget_at: Option<Moment> = None;
        for shard in &self.shards {
            let mut shard = shard.lock();
            let Shard { queues, pending } = &mut *shard;
            let seen: Vec<_> = queues.iter_mut().map(|(lane, entry)| look(lane, entry, pending)).collect();
            queues.retain(|_, entry| !entry.queue.is_empty());
            forget_at = forget_at.into_iter().chain(pending.forget_expired(now)).min();
            drop(shard);
            seen.into_iter().for_each(&mut then);
        }
        forget_at
    }

    /// Looks at the releases that are pending beside the queues.
    pub(super) fn pending<T>(&self, lane: &Lane, look: impl FnOnce(&mut PendingReleases) -> T) -> T {
        look(&mut self.shard(lane).lock().pending)
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(super) fn are_empty(&self) -> bool {
        let is_empty = |shard: &Shard| shard.queues.is_empty() && shard.pending.is_empty();
        self.shards.iter().all(|shard| is_empty(&shard.lock()))
    }

    #[expect(clippy::indexing_slicing, reason = "a remainder is less than the divisor")]
    fn shard(&self, lane: &Lane) -> &Mutex<Shard> {
        &self.shards[self.places.hash_one(lane) as usize % SHARDS]
    }
}
