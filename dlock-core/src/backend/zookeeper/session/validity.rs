//! How long a session is valid, by what its leader acknowledged. Pure.
//!
//! The leader of the ensemble ends a session that it has not heard from for the session's timeout. It hears from a
//! client through the server that the client is connected to. That server passes a client's sign of life on with its
//! next ping: at most half a tick later, and a timeout is two ticks or more. So an acknowledgement alone does not say
//! what the leader has heard. But a request that the leader answered proves that the way to it was open. So every sign
//! of life that was older than that delay had reached the leader by then.

use crate::time::Moment;
use std::collections::VecDeque;
use std::time::Duration;

/// The acknowledged requests of one session.
#[derive(Debug)]
pub(crate) struct Validity {
    timeout: Duration,
    /// For what part of the timeout the last acknowledgement counts, in percent.
    percent: u32,
    /// The leader heard of the session at this moment or later.
    heard: Moment,
    /// When the acknowledged requests were sent that the leader may not have heard of, oldest first.
    under_way: VecDeque<Moment>,
    /// When the last acknowledged request was sent.
    last: Moment,
}

impl Validity {
    /// The validity of a session with this timeout that was requested at `sent`: the leader heard of it when it made
    /// the session.
    pub(crate) fn new(timeout: Duration, percent: u32, sent: Moment) -> Self {
        Self { timeout, percent, heard: sent, under_way: VecDeque::new(), last: sent }
    }

    /// Notes that the leader answered a request that was sent at `sent`.
    pub(crate) fn acknowledge(&mut self, sent: Moment) {
        if sent <= self.last {
            return;
        }
        self.last = sent;
        let grain = self.timeout / 20;
        if self.under_way.back().is_none_or(|newest| sent.since(*newest) >= grain) {
            self.under_way.push_back(sent);
        }
        let passed_on = sent.before(self.timeout / 4);
        while let Some(oldest) = self.under_way.front().copied().filter(|oldest| *oldest <= passed_on) {
            self.heard = oldest;
            self.under_way.pop_front();
        }
    }

    /// Until when no other client can have been granted what this session holds (I3): the chosen percentage of the timeout,
    /// after the last acknowledged request was sent. It is never later than the leader waits after it certainly heard of the
    /// session, less 1 % and 2 ms for clocks that run at different rates.
    pub(crate) fn valid_until(&self) -> Moment {
        let margin = self.timeout / 100 + Duration::from_millis(2);
        let expiry = self.heard.after(self.timeout.saturating_sub(margin));
        self.last.after(self.timeout * self.percent / 100).min(expiry)
    }

    /// When the last acknowledged request was sent.
    pub(crate) fn last(&self) -> Moment {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn at(millis: u64) -> Moment {
        Moment::START.after(Duration::from_millis(millis))
    }

    #[test]
    fn regular_heartbeats_give_the_percentage_of_the_timeout() {
        let mut validity = Validity::new(TIMEOUT, 60, at(0));
        assert_eq!(validity.valid_until(), at(6_000));
        for beat in 1..50 {
            validity.acknowledge(at(beat * 1_500));
            assert_eq!(validity.valid_until(), at(beat * 1_500 + 6_000));
        }
    }

    #[test]
    fn an_acknowledgement_after_a_long_silence_is_not_yet_what_the_leader_heard() {
        let mut validity = Validity::new(TIMEOUT, 60, at(0));
        validity.acknowledge(at(9_000));
        assert_eq!(validity.valid_until(), at(9_898), "the leader may have heard of it at the start only");
        validity.acknowledge(at(11_400));
        assert_eq!(validity.valid_until(), at(9_898), "nothing was passed on for certain");
        validity.acknowledge(at(11_500));
        assert_eq!(validity.valid_until(), at(17_500), "the first was");
    }

    #[test]
    fn answers_out_of_order_do_not_move_the_deadline_back() {
        let mut validity = Validity::new(TIMEOUT, 60, at(0));
        validity.acknowledge(at(3_000));
        let until = validity.valid_until();
        validity.acknowledge(at(1_000));
        assert_eq!((validity.valid_until(), validity.last()), (until, at(3_000)));
    }

    proptest! {
        /// The server passes signs of life on after half a tick, and the way to the leader breaks right after the last
        /// answer. Still the deadline comes before the leader can end the session.
        #[test]
        fn the_deadline_is_never_after_the_leader_s(
            gaps in prop::collection::vec(0..4_000u64, 1..60),
            relay in 0..2_500u64,
            percent in 1..100u32,
        ) {
            let (mut validity, mut sent, mut signs) = (Validity::new(TIMEOUT, percent, at(0)), 0, vec![0]);
            for gap in gaps {
                sent += gap;
                signs.push(sent);
                validity.acknowledge(at(sent));
                let heard = signs.iter().filter(|sign| **sign == 0 || *sign + relay <= sent).max().unwrap();
                prop_assert!(validity.valid_until() < at(heard + 10_000));
                prop_assert!(validity.under_way.len() <= 8);
            }
        }
    }
}
