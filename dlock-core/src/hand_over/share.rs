//! How far one grant of the backend goes round inside the process. Pure.

use crate::backend::Grant;
use crate::lease::{FencingToken, OwnerId};
use crate::time::Moment;
use std::time::Duration;

/// How far one grant of the backend may go round inside the process before other processes have their turn.
///
/// When several tasks of one process want a lock, a release hands it to the next of them without a request. Each holder
/// has a fencing token of its own, and tokens still rise with every grant. Then other processes have their turn, ahead of
/// the remaining tasks of this one. The limit is checked at each release, so it does not cut a holder short. Requests
/// with another `ttl` wait in a line of their own.
///
/// The tokens are reserved with the grant. Where a server can forget a lock, tasks may pass it on for up to `within`
/// longer. Their tokens are then smaller than those of the owner that was granted it meanwhile, so a fenced store refuses
/// their writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandOver {
    /// The most holders that one grant serves, the first included: 1 to 64.
    pub max: u32,
    /// How long after the grant the lock is still handed over. [`Duration::MAX`] sets no limit.
    pub within: Duration,
}

impl HandOver {
    /// Every waiter asks the backend, and every release goes to it. So all processes together are served strictly in
    /// the order in which they came.
    pub const OFF: Self = Self { max: 1, within: Duration::ZERO };

    /// As many tokens as backends reserve with a grant.
    pub(crate) const MOST: u32 = 64;

    /// Serves `max` holders, for no longer than `within`.
    #[must_use]
    pub const fn new(max: u32, within: Duration) -> Self {
        Self { max, within }
    }
}

/// 64 holders, for no longer than 50 ms.
impl Default for HandOver {
    fn default() -> Self {
        Self::new(Self::MOST, Duration::from_millis(50))
    }
}

/// What the backend granted to one competitor, and how much of it is left for others of this process.
#[derive(Debug)]
pub(super) struct GrantShare {
    pub(super) competitor: OwnerId,
    /// The token of the last holder; before the first the one that comes first.
    token: FencingToken,
    tokens_left: u32,
    /// How many have held it.
    served: u32,
    since: Moment,
    /// How long it was valid when it came, in ms. Where leases are those of a session, that says nothing of the `ttl`.
    lease_millis: u32,
    pub(super) valid_until: Moment,
}

/// A grant that is not taken goes back after this long, or after half of its lease.
const LONGEST_OFFER: Duration = Duration::from_secs(1);

impl GrantShare {
    pub(super) fn new(competitor: OwnerId, grant: &Grant, now: Moment) -> Self {
        Self {
            competitor,
            token: grant.token,
            tokens_left: grant.tokens,
            served: 0,
            since: now,
            lease_millis: u32::try_from(grant.valid_until.since(now).as_millis()).unwrap_or(u32::MAX),
            valid_until: grant.valid_until,
        }
    }

    /// The grant of the next holder, under a token that no other holder has.
    pub(super) fn serve(&mut self) -> Grant {
        if self.served > 0 {
            self.token = self.token.next();
        }
        self.tokens_left = self.tokens_left.saturating_sub(1);
        self.served += 1;
        self.last()
    }

    /// The grant of the last holder.
    pub(super) fn last(&self) -> Grant {
        Grant::new(self.token, self.valid_until)
    }

    fn half_of_lease(&self) -> Duration {
        Duration::from_millis(u64::from(self.lease_millis)) / 2
    }

    /// Whether another waiter of this process may have it: not if it has served its share, or if less than half of its
    /// lease is left.
    pub(super) fn has_more(&self, share: HandOver, now: Moment) -> bool {
        let has_share = self.served < share.max && self.tokens_left > 0;
        let is_long = self.valid_until.since(now) >= self.half_of_lease();
        has_share && is_long && now.since(self.since) < share.within
    }

    /// From here on it is handed over no more.
    pub(super) fn end(&mut self) {
        self.tokens_left = 0;
    }

    /// For how long it is offered.
    pub(super) fn longest_offer(&self) -> Duration {
        LONGEST_OFFER.min(self.half_of_lease())
    }
}
