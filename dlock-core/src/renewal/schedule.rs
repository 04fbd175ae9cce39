//! When a lease is renewed: pure functions of moments.

use crate::time::Moment;
use std::time::Duration;

/// The shortest pause between two attempts at one lease.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// When to renew a lease that was granted or renewed at `now` and is valid until `valid_until`: after a third
/// of what is left, so that two more attempts fit; or a little earlier, together with others. A lease that lasts for as
/// long as it may be held is not renewed, but looked at when that is over.
pub(super) fn after_success(now: Moment, valid_until: Moment, hold_until: Moment) -> Moment {
    if hold_until <= valid_until {
        return hold_until;
    }
    let third = valid_until.since(now) / 3;
    together(now.after(third), third / 32).max(now)
}

/// The last moment until `due` at which others are due too, at most `slack` before: a backend does many renewals in
/// one call. The moments are multiples of a power of two, which leases of nearly the same length share.
fn together(due: Moment, slack: Duration) -> Moment {
    let slack = u64::try_from(slack.as_nanos()).unwrap_or(u64::MAX);
    let step = 1 << slack.checked_ilog2().unwrap_or_default();
    Moment::from_nanos(due.as_nanos() - due.as_nanos() % step)
}

/// Until when a renewal that was due at `due` can be put off while many others are under way: if it was due after a
/// third of the lease, half of it is left then.
pub(super) fn latest(due: Moment, valid_until: Moment) -> Moment {
    due.after(valid_until.since(due) / 4)
}

/// When to try again after an attempt that failed at `now`: after a sixth of the remaining time, so the pauses get
/// shorter towards the deadline. `None` if no attempt can end before it.
pub(super) fn after_failure(now: Moment, valid_until: Moment) -> Option<Moment> {
    let next = now.after((valid_until.since(now) / 6).max(SHORTEST_PAUSE));
    (next < valid_until).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const UNLIMITED: Moment = Moment::from_nanos(u64::MAX);

    fn at(millis: u64) -> Moment {
        Moment::START.after(Duration::from_millis(millis))
    }

    #[test]
    fn a_lease_is_renewed_after_a_third() {
        let due = after_success(at(1_000), at(31_000), UNLIMITED);
        assert!(due > at(10_680) && due <= at(11_000), "{due:?}");
        assert_eq!(after_success(at(1_000), at(900), UNLIMITED), at(1_000), "overdue: at once");
    }

    #[test]
    fn a_lease_is_not_renewed_past_the_time_for_which_it_may_be_held() {
        assert!(after_success(at(1_000), at(31_000), at(31_001)) <= at(11_000), "one more renewal");
        for hold_until in [at(31_000), at(1_500), at(500)] {
            assert_eq!(after_success(at(1_000), at(31_000), hold_until), hold_until);
        }
    }

    #[test]
    fn a_renewal_is_put_off_until_half_of_the_lease_is_left() {
        assert_eq!(latest(at(10_000), at(30_000)), at(15_000));
        assert_eq!(latest(at(30_000), at(30_000)), at(30_000));
    }

    #[test]
    fn leases_granted_one_after_the_other_are_renewed_at_few_moments() {
        let moments = (0..10_000).map(|millis| after_success(at(millis), at(millis + 9_800), UNLIMITED));
        let moments: BTreeSet<_> = moments.collect();
        assert!((100..200).contains(&moments.len()), "{}", moments.len());
    }

    proptest! {
        #[test]
        fn failures_are_retried_before_the_deadline_and_only_finitely_often(start in 0u64..1_000, left in 0u64..60_000) {
            let deadline = at(start + left);
            let (mut now, mut attempts) = (at(start), 0);
            while let Some(next) = after_failure(now, deadline) {
                prop_assert!(next > now && next < deadline);
                now = next;
                attempts += 1;
                prop_assert!(attempts < 200);
            }
            prop_assert!(left < 200 || attempts >= 3, "{attempts} attempts in {left} ms");
        }
    }
}
