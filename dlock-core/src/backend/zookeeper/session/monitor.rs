//! The task that keeps one session alive, and notices its end.

use super::abilities::Abilities;
use super::liveness::{Link, Liveness};
use crate::backend::zookeeper::acquisitions::{Acquisitions, LostGrant};
use crate::keeper::Background;
use crate::lease::{LossReason, OwnerId};
use crate::time::{Moment, sleep, sleep_until, within};
use std::collections::HashSet;
use std::sync::{Arc, Weak};
use zookeeper::{Client, SessionId, SessionState};

/// It belongs to its session, which ends it. However it ends, the session is over then.
///
/// It runs on the keeper, for all locks of the session. So code from outside the library, such as a caller's waker or
/// subscriber, runs in a task of its own.
pub(crate) struct Monitor {
    pub(crate) number: u64,
    pub(crate) client: Client,
    pub(crate) liveness: Arc<Liveness>,
    pub(crate) root: String,
    pub(crate) abilities: Arc<Abilities>,
    pub(crate) acquisitions: Weak<Acquisitions>,
    /// Tells callers.
    pub(crate) background: Background,
}

impl Monitor {
    pub(crate) async fn run(self) {
        tokio::select! {
            () = self.follow_link() => {}
            () = self.beat() => {}
            () = self.follow_clock() => {}
            () = self.follow_doubt() => {}
            () = self.look_for_removed() => {}
        }
    }

    fn id(&self) -> SessionId {
        self.client.session_id()
    }

    /// Passes the client's state on, until that is final.
    async fn follow_link(&self) {
        let mut changes = self.client.state_watcher();
        let mut state = self.client.state();
        while !state.is_terminated() {
            let link = match state {
                SessionState::SyncConnected => Link::Up,
                _ => Link::Down,
            };
            self.liveness.set_link(link);
            state = changes.changed().await;
            let session = self.id();
            self.log(
                move || tracing::info!(backend = "zookeeper", %session, %state, "session state changed"),
            );
        }
    }

    /// Sends heartbeats that only the leader can answer. A ping would be answered by the server that the client is
    /// connected to. That server may be cut off from the leader, where the session may be long over.
    async fn beat(&self) {
        let timeout = self.liveness.timeout();
        loop {
            self.liveness.settled().await;
            let sent = Moment::now();
            if let Some(Ok(())) = within(timeout * 3 / 10, self.client.sync("/")).await {
                self.liveness.acknowledge(sent);
            }
            sleep_until(sent.after(timeout / 50)).await;
            tokio::select! {
                () = sleep_until(sent.after(timeout * 15 / 100)) => {}
                () = self.liveness.asked_to_beat() => {}
            }
        }
    }

    /// Takes note of missing heartbeats. Grants end by their own deadlines (I3). This removes their nodes when the
    /// servers answer again, and gives the session up at last.
    async fn follow_clock(&self) {
        let timeout = self.liveness.timeout();
        loop {
            self.liveness.silent(timeout * 3 / 10).await;
            let session = self.id();
            self.log(
                move || tracing::warn!(backend = "zookeeper", %session, "the servers do not answer the session's heartbeats; its locks are lost if that goes on"),
            );
            tokio::select! {
                () = self.liveness.heard() => continue,
                () = sleep_until(self.liveness.valid_until()) => self.lapse(),
            }
            tokio::select! {
                () = self.liveness.heard() => {}
                () = sleep_until(self.liveness.dead_at()) => return,
            }
        }
    }

    /// Makes the session's guards suspect while no server vouches for it: at once, and not at their next renewal.
    async fn follow_doubt(&self) {
        loop {
            self.liveness.disquieted().await;
            self.pass_doubt_on(true);
            self.liveness.reassured().await;
            self.pass_doubt_on(false);
        }
    }

    fn pass_doubt_on(&self, doubted: bool) {
        self.liveness.set_doubted(doubted);
        let signals = self.acquisitions.upgrade().map(|acquisitions| acquisitions.signals(self.number));
        for signal in signals.into_iter().flatten() {
            let liveness = Arc::clone(&self.liveness);
            self.background.detach(async move { liveness.pass_doubt_on(&signal) });
        }
    }

    /// Ends the grants whose deadline has passed, at the servers, too. The session may live on there, and a holder
    /// whose guard is lost must not keep the others waiting.
    fn lapse(&self) {
        let lapsed = self.acquisitions.upgrade().filter(|_| Moment::now() >= self.liveness.valid_until());
        let lost = lapsed.map(|acquisitions| acquisitions.lose_session(self.number)).unwrap_or_default();
        for LostGrant { path, .. } in &lost {
            // The request is sent at once, or when there is a connection again. A node that stays is removed by the
            // release of its owner.
            drop(self.client.delete(path, None));
        }
        let (session, locks) = (self.id(), self.tell(lost, LossReason::SessionExpired));
        if locks > 0 {
            self.log(move || {
                tracing::error!(backend = "zookeeper", %session, locks, "the servers did not confirm the session in time; its locks are lost");
            });
        }
    }

    /// Compares the grants with the nodes that exist, to find nodes that another client removed.
    async fn look_for_removed(&self) {
        loop {
            let Some(granted) =
                self.acquisitions.upgrade().map(|acquisitions| acquisitions.granted_in(self.number))
            else {
                return;
            };
            // A long list is asked for less often.
            let beats = u32::try_from(1 + granted.len() / 1_000).unwrap_or(u32::MAX);
            let pause = (self.liveness.timeout() * 15 / 100).saturating_mul(beats);
            if !granted.is_empty() && self.abilities.has_lists_of_ephemerals() {
                match within(self.liveness.timeout(), self.client.list_ephemerals(&self.root)).await {
                    Some(Ok(there)) => self.compare(granted, there),
                    Some(Err(zookeeper::Error::Unimplemented)) => self.abilities.lacks_lists_of_ephemerals(),
                    _ => {}
                }
            }
            sleep(pause).await;
        }
    }

    fn compare(&self, granted: Vec<(OwnerId, i64)>, there: Vec<String>) {
        if let Some(acquisitions) = self.acquisitions.upgrade() {
            let lost = acquisitions.lose_missing(granted, &HashSet::from_iter(there));
            self.tell(lost, LossReason::NotOwner);
        }
    }

    /// Tells the guards of `lost`, and says how many there are.
    fn tell(&self, lost: Vec<LostGrant>, reason: LossReason) -> usize {
        let count = lost.len();
        for LostGrant { signal, .. } in lost {
            self.background.detach(async move { signal.lose(reason) });
        }
        count
    }

    fn log(&self, event: impl FnOnce() + Send + 'static) {
        self.background.detach(async move { event() });
    }
}

impl Drop for Monitor {
    /// The link first: a grant that is made meanwhile either sees the link, or is in the table (I1).
    fn drop(&mut self) {
        self.liveness.set_link(Link::Over);
        if let Some(acquisitions) = self.acquisitions.upgrade() {
            let lost = acquisitions.lose_session(self.number);
            let (session, locks) = (self.id(), self.tell(lost, LossReason::SessionExpired));
            self.log(move || tracing::warn!(backend = "zookeeper", %session, locks, "the session is over; its locks are lost"));
        }
    }
}
