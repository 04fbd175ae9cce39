//! The task that looks after one session until it is over.

use super::liveness::{Life, Link};
use crate::backend::zookeeper::acquisitions::Owners;
use crate::lease::OwnerId;
use crate::time::{Moment, sleep, sleep_until};
use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;
use zookeeper::{Client, SessionId, SessionState};

/// Owned by its session, which ends it. However it ends, the session is over then: that is also how the end
/// of the runtime is noticed, which the client itself does not report.
pub(crate) struct Keeper {
    pub(crate) number: u64,
    pub(crate) client: Client,
    pub(crate) life: Arc<Life>,
    pub(crate) root: String,
    pub(crate) owners: Weak<Owners>,
}

impl Keeper {
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

    /// Passes the client's state on until it is a final one.
    async fn follow_link(&self) {
        let mut changes = self.client.state_watcher();
        let mut state = self.client.state();
        while !state.is_terminated() {
            let link = match state {
                SessionState::SyncConnected => Link::Up,
                _ => Link::Down,
            };
            self.life.set_link(link);
            state = changes.changed().await;
            tracing::info!(backend = "zookeeper", session = %self.id(), %state, "session state changed");
        }
    }

    /// Sends heartbeats that only the leader can answer. A ping is answered by the server the client is
    /// connected to, which may have been cut off from the leader, and the session may long be over there.
    async fn beat(&self) {
        let timeout = self.life.timeout();
        loop {
            self.life.settled().await;
            let sent = Moment::now();
            if let Some(Ok(())) = within(timeout * 3 / 10, self.client.sync("/")).await {
                self.life.acknowledge(sent);
            }
            sleep_until(sent.after(timeout / 50)).await;
            tokio::select! {
                () = sleep_until(sent.after(timeout * 15 / 100)) => {}
                () = self.life.asked_to_beat() => {}
            }
        }
    }

    /// Takes note of missing heartbeats. Grants end by their own deadlines (I3); what is done here is to
    /// remove their nodes when the servers answer again, and to give the session up at last.
    async fn follow_clock(&self) {
        let timeout = self.life.timeout();
        loop {
            self.life.silent(timeout * 3 / 10).await;
            tracing::warn!(backend = "zookeeper", session = %self.id(), "heartbeats of the session are late");
            tokio::select! {
                () = self.life.heard() => continue,
                () = sleep_until(self.life.valid_until()) => self.lapse(),
            }
            tokio::select! {
                () = self.life.heard() => {}
                () = sleep_until(self.life.dead_at()) => return,
            }
        }
    }

    /// Makes the session's guards suspect while nobody vouches for it, at once and not at their next renewal.
    async fn follow_doubt(&self) {
        loop {
            self.life.disquieted().await;
            self.pass_doubt_on(true);
            self.life.reassured().await;
            self.pass_doubt_on(false);
        }
    }

    fn pass_doubt_on(&self, doubted: bool) {
        self.life.set_doubted(doubted);
        if let Some(owners) = self.owners.upgrade() {
            owners.pass_doubt_on(self.number);
        }
    }

    /// Ends the grants whose deadline has passed, also with the servers: the session may live on there, and a
    /// holder that believes no more must not keep the others waiting.
    fn lapse(&self) {
        let lapsed = self.owners.upgrade().filter(|_| Moment::now() >= self.life.valid_until());
        let paths = lapsed.map(|owners| owners.lose_session(self.number)).unwrap_or_default();
        for path in &paths {
            // Sent when called, or when there is a connection again. A node that stays is removed by the
            // release of its owner.
            drop(self.client.delete(path, None));
        }
        if !paths.is_empty() {
            let (session, locks) = (self.id(), paths.len());
            tracing::error!(backend = "zookeeper", %session, locks, "session not confirmed in time; its locks are lost");
        }
    }

    /// Compares what is granted with what is there, for nodes that somebody else removed.
    async fn look_for_removed(&self) {
        loop {
            let Some(granted) = self.owners.upgrade().map(|owners| owners.granted_in(self.number)) else {
                return;
            };
            // A long list is asked for less often.
            let beats = u32::try_from(1 + granted.len() / 1_000).unwrap_or(u32::MAX);
            let pause = (self.life.timeout() * 15 / 100).saturating_mul(beats);
            if !granted.is_empty() {
                match within(self.life.timeout(), self.client.list_ephemerals(&self.root)).await {
                    Some(Ok(there)) => self.compare(granted, there),
                    Some(Err(zookeeper::Error::Unimplemented)) => std::future::pending().await,
                    _ => {}
                }
            }
            sleep(pause).await;
        }
    }

    fn compare(&self, granted: Vec<(OwnerId, i64)>, there: Vec<String>) {
        if let Some(owners) = self.owners.upgrade() {
            owners.lose_missing(granted, &HashSet::from_iter(there));
        }
    }
}

impl Drop for Keeper {
    /// The link first: a grant that is made meanwhile either sees it or is in the table (I1).
    fn drop(&mut self) {
        self.life.set_link(Link::Over);
        if let Some(owners) = self.owners.upgrade() {
            let locks = owners.lose_session(self.number).len();
            tracing::warn!(backend = "zookeeper", session = %self.id(), locks, "session is over; its locks are lost");
        }
    }
}

/// The output of `request`, unless it takes longer than `limit`.
pub(crate) async fn within<T>(limit: Duration, request: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        answer = request => Some(answer),
        () = sleep(limit) => None,
    }
}
