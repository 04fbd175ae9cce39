//! The lanes of this process, by key, so that those of two keys seldom wait for each other.

use super::loss_relay::Word;
use super::pending_releases::Leaving;
use super::queue::Lane;
use crate::backend::{Claim, Progress};
use crate::key::LockKey;
use crate::lease::Ttl;
use foldhash::HashMap;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher as _;
use std::sync::Arc;

/// Of two threads at any two keys one in so many waits for the other.
const SHARDS: usize = 32;

/// Every lane that is in use.
#[derive(Default)]
pub(super) struct Shards {
    shards: [Mutex<Shard>; SHARDS],
    places: RandomState,
}

/// The lanes of some keys, and what of their acquisitions is still to be released.
#[derive(Default)]
struct Shard {
    lanes: HashMap<Place, Standing>,
    leaving: Leaving,
}

/// Acquisitions of different lengths compete by themselves: one lease cannot have two.
type Place = (LockKey, Ttl);

/// A lane, and whom it tells what.
#[derive(Default)]
pub(super) struct Standing {
    pub(super) lane: Lane,
    /// What the competitor waits for, and so everybody here.
    pub(super) progress: Arc<Progress>,
    /// What the backend says of the competitor's grant, from before it is asked for it.
    pub(super) word: Option<Word>,
}

impl Shards {
    /// Looks at the lane of this claim, and at what is leaving such lanes. A lane that nobody uses is not kept.
    pub(super) fn with<T>(&self, claim: &Claim, look: impl FnOnce(&mut Standing, &mut Leaving) -> T) -> T {
        let place = (claim.key.clone(), claim.ttl);
        let Shard { lanes, leaving } = &mut *self.shard(&place).lock();
        match lanes.entry(place) {
            Entry::Occupied(mut there) => {
                let seen = look(there.get_mut(), leaving);
                if there.get().lane.is_empty() {
                    there.remove();
                }
                seen
            }
            Entry::Vacant(nobody) => {
                let mut standing = Standing::default();
                let seen = look(&mut standing, leaving);
                if !standing.lane.is_empty() {
                    nobody.insert(standing);
                }
                seen
            }
        }
    }

    /// Looks at what is leaving such lanes as this claim's.
    pub(super) fn leaving<T>(&self, claim: &Claim, look: impl FnOnce(&mut Leaving) -> T) -> T {
        look(&mut self.shard(&(claim.key.clone(), claim.ttl)).lock().leaving)
    }

    /// Whether nothing is kept of anybody.
    #[cfg(test)]
    pub(super) fn are_empty(&self) -> bool {
        let is_empty = |shard: &Shard| shard.lanes.is_empty() && shard.leaving.is_empty();
        self.shards.iter().all(|shard| is_empty(&shard.lock()))
    }

    #[expect(clippy::indexing_slicing, reason = "a remainder of so many is less")]
    fn shard(&self, place: &Place) -> &Mutex<Shard> {
        &self.shards[self.places.hash_one(place) as usize % SHARDS]
    }
}
