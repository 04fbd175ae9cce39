//! Where a waiter stands: those of this process that are ahead of it, and those ahead of the one that competes for it.

use super::line::PlaceInLine;
use super::state::HandOverState;
use crate::backend::{Claim, Inspection, admin};
use crate::error::LockError;
use crate::key::LockKey;

impl HandOverState {
    /// What the backend sees, and where `asker` stands in the line of its process and in the backend's queue.
    pub(super) async fn inspect(
        &self,
        key: &LockKey,
        asker: Option<&Claim>,
    ) -> Result<Inspection, LockError> {
        let place = asker.and_then(|claim| self.place_of(claim));
        let competitor = place.zip(asker).and_then(|(place, claim)| self.competitor(claim, place));
        let mut seen = admin::of(&*self.backend)?.inspect(key, competitor.as_ref()).await?;
        seen.place = place.and_then(|place| place.among_all(seen.place));
        Ok(seen)
    }

    fn place_of(&self, claim: &Claim) -> Option<PlaceInLine> {
        self.queues.with(&self.lane(claim), |entry, _| entry.queue.place_in_line(claim.owner))
    }

    fn competitor(&self, claim: &Claim, place: PlaceInLine) -> Option<Claim> {
        place.competitor.map(|owner| self.lane(claim).claim(owner))
    }
}
