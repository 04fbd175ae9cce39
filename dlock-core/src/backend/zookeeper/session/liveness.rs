//! What this process knows of one session: its link to the servers, and until when it is valid.

use super::validity::Validity;
use crate::backend::LossSignal;
use crate::time::{Moment, sleep_until};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// The connection of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// A server answers.
    Up,
    /// No server does, for now; the session may go on.
    Down,
    /// The session is over, for good.
    Over,
}

/// The liveness of one session, written by its monitor and by acknowledged requests.
#[derive(Debug)]
pub(crate) struct Liveness {
    timeout: Duration,
    validity: Mutex<Validity>,
    link: watch::Sender<Link>,
    /// Told of every acknowledgement, and of the end.
    news: watch::Sender<()>,
    /// Asks the monitor for a heartbeat now.
    beat: Notify,
    /// Whether the last news from the servers was bad: the connection is lost, or heartbeats are late.
    doubted: AtomicBool,
}

impl Liveness {
    /// A guard outlives the last acknowledgement by `percent` percent of the timeout.
    pub(crate) fn new(timeout: Duration, percent: u32, sent: Moment) -> Self {
        let validity = Mutex::new(Validity::new(timeout, percent, sent));
        let (link, news) = (watch::Sender::new(Link::Up), watch::Sender::new(()));
        Self { timeout, validity, link, news, beat: Notify::new(), doubted: AtomicBool::new(false) }
    }

    /// The negotiated timeout.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn acknowledge(&self, sent: Moment) {
        self.validity.lock().acknowledge(sent);
        self.news.send_replace(());
    }

    pub(crate) fn valid_until(&self) -> Moment {
        self.validity.lock().valid_until()
    }

    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Sets the link. A session that is over stays so.
    pub(crate) fn set_link(&self, link: Link) {
        let changed = self.link.send_if_modified(|now| {
            let changed = *now != link && *now != Link::Over;
            if changed {
                *now = link;
            }
            changed
        });
        if changed && link == Link::Up {
            self.beat.notify_one();
        }
        if changed && link == Link::Over {
            self.news.send_replace(());
        }
    }

    /// Whether the session is over: the servers said so, or its time has passed by the clock, which needs no task to
    /// run.
    pub(crate) fn is_over(&self) -> bool {
        *self.link.borrow() == Link::Over || Moment::now() >= self.dead_at()
    }

    /// After how much silence every server has given the session up.
    pub(crate) fn longest_silence(&self) -> Duration {
        self.timeout * 3 / 2
    }

    /// When every server has given the session up, even if it heard of the last acknowledged request as late as
    /// possible.
    pub(crate) fn dead_at(&self) -> Moment {
        self.validity.lock().last().after(self.longest_silence())
    }

    /// Waits until a server answers, or the session is over.
    pub(crate) async fn settled(&self) {
        let mut link = self.link.subscribe();
        tokio::select! {
            _ = link.wait_for(|link| *link != Link::Down) => {}
            () = sleep_until(self.dead_at()) => {}
        }
    }

    /// Until when grants of this session are valid. If the last heartbeat is old, it asks for one first. `None` if the
    /// session is over.
    pub(crate) async fn confirmed(&self) -> Option<Moment> {
        let recent = self.timeout * 3 / 10;
        match self.left_beyond(recent) {
            None => self.confirmed_anew().await,
            valid_until => valid_until,
        }
    }

    async fn confirmed_anew(&self) -> Option<Moment> {
        let mut news = self.news.subscribe();
        while !self.is_over() {
            self.beat.notify_one();
            news.changed().await.ok()?;
            // After a fresh answer, any remaining time counts.
            if let Some(valid_until) = self.left_beyond(Duration::ZERO) {
                return Some(valid_until);
            }
        }
        None
    }

    /// Until when grants are valid, if that is longer than `least`.
    fn left_beyond(&self, least: Duration) -> Option<Moment> {
        let valid_until = self.valid_until();
        (valid_until.since(Moment::now()) > least && !self.is_over()).then_some(valid_until)
    }

    pub(crate) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Acquire)
    }

    pub(crate) fn set_doubted(&self, doubted: bool) {
        self.doubted.store(doubted, Ordering::Release);
    }

    /// Tells one grant whether its session is in doubt. Call it on the keeper, where doubts arise, too: then the last
    /// call is the right one.
    pub(crate) fn pass_doubt_on(&self, grant: &LossSignal) {
        match self.is_doubted() {
            true => grant.doubt(),
            false => grant.trust(),
        }
    }

    /// Waits until there is a reason to doubt the session: the connection is lost, or heartbeats are late.
    pub(crate) async fn disquieted(&self) {
        let mut link = self.link.subscribe();
        tokio::select! {
            _ = link.wait_for(|link| *link == Link::Down) => {}
            () = self.silent(self.timeout * 3 / 10) => {}
        }
    }

    /// Waits until a request is acknowledged over a live connection. A request that was on its way when the connection
    /// was lost does not count.
    pub(crate) async fn reassured(&self) {
        loop {
            self.heard().await;
            if *self.link.borrow() == Link::Up {
                return;
            }
        }
    }

    /// Waits for the next acknowledgement.
    pub(crate) async fn heard(&self) {
        let mut news = self.news.subscribe();
        // The sender is in `self`.
        let _ = news.changed().await;
    }

    /// Waits until no request of the last `span` was acknowledged.
    pub(crate) async fn silent(&self, span: Duration) {
        loop {
            let since = self.validity.lock().last();
            sleep_until(since.after(span)).await;
            if self.validity.lock().last() == since {
                return;
            }
        }
    }

    /// Waits until a heartbeat is asked for.
    pub(crate) async fn asked_to_beat(&self) {
        self.beat.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_is_over_stays_so() {
        let liveness = Liveness::new(Duration::from_secs(10), 60, Moment::now());
        liveness.set_link(Link::Down);
        assert!(!liveness.is_over());
        liveness.set_link(Link::Over);
        liveness.set_link(Link::Up);
        assert!(liveness.is_over());
    }

    #[test]
    fn the_servers_keep_a_long_session_for_longer_than_a_minute_of_silence() {
        let (timeout, heard) = (Duration::from_secs(90), Moment::now());
        let liveness = Liveness::new(timeout, 60, heard);
        assert_eq!(liveness.longest_silence(), Duration::from_secs(135));
        assert_eq!(liveness.dead_at(), heard.after(liveness.longest_silence()));
    }

    #[test]
    fn a_session_without_heartbeats_is_over_by_the_clock() {
        let liveness =
            Liveness::new(Duration::from_secs(10), 60, Moment::now().before(Duration::from_secs(15)));
        assert!(liveness.is_over());
    }

    #[tokio::test]
    async fn a_caller_that_waits_for_a_confirmation_learns_of_the_end() {
        let liveness =
            Liveness::new(Duration::from_secs(10), 60, Moment::now().before(Duration::from_secs(5)));
        let end = async {
            liveness.asked_to_beat().await;
            liveness.set_link(Link::Over);
        };
        let (confirmed, ()) = tokio::join!(liveness.confirmed(), end);
        assert_eq!(confirmed, None);
    }

    #[tokio::test]
    async fn an_old_pulse_is_renewed_before_it_is_trusted() {
        let liveness =
            Liveness::new(Duration::from_secs(10), 60, Moment::now().before(Duration::from_secs(5)));
        let answer = async {
            liveness.asked_to_beat().await;
            liveness.acknowledge(Moment::now());
        };
        let (confirmed, ()) = tokio::join!(liveness.confirmed(), answer);
        assert_eq!(confirmed, Some(liveness.valid_until()));
    }
}
