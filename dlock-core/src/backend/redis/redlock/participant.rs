//! What one owner has at one server, and which of its requests are under way there.

use super::fifo::{Fifo, FifoTurn};
use super::node::RedlockServer;
use super::votes::Vote;
use crate::backend::redis::caller::Caller;
use crate::backend::redis::keys::Keys;
use crate::backend::redis::number::GrantNumber;
use crate::error::{ErrorKind, LockError};
use crate::lease::Ttl;
use crate::time::{Backoff, Moment, sleep};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What is the same at every server.
pub(super) struct Terms {
    pub(super) keys: Keys,
    pub(super) owner: String,
    pub(super) ttl: Ttl,
    /// The token of the grant.
    pub(super) token: Mutex<Option<GrantNumber>>,
    /// Since when the owner leaves, for good: from then on nothing takes the lock for it.
    pub(super) leaving: OnceLock<Moment>,
}

impl Terms {
    fn caller(&self) -> Caller<'_> {
        Caller { keys: &self.keys, owner: &self.owner, ttl_ms: self.ttl.as_millis() }
    }
}

/// One owner at one server. Its requests go there one after the other, so that a release comes after what it
/// undoes (I4).
pub(super) struct Participant {
    node: Arc<RedlockServer>,
    terms: Arc<Terms>,
    turns: Fifo,
    /// Whether the owner may have the lock here.
    may_hold: AtomicBool,
    /// Whether a request may still be carried out, long after it was sent (I5).
    in_doubt: AtomicBool,
    /// The answer to the release for good.
    left: OnceLock<bool>,
    /// Whether a task goes on leaving.
    kept: AtomicBool,
}

/// Which servers an owner leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaveFrom {
    /// Each says whether it had the lock.
    All,
    /// Those that surely gave it nothing are not asked.
    WhereItMayHold,
}

impl Participant {
    pub(super) fn new(node: Arc<RedlockServer>, terms: Arc<Terms>) -> Self {
        let flag = || AtomicBool::new(false);
        let (turns, left) = (Fifo::default(), OnceLock::new());
        Self { node, terms, turns, may_hold: flag(), in_doubt: flag(), left, kept: flag() }
    }

    fn at_server(&self, error: LockError) -> LockError {
        error.with_server(&self.node.address)
    }

    /// The place of the next request.
    pub(super) fn turn(&self) -> FifoTurn {
        self.turns.next()
    }

    /// Takes the lock here, under a token.
    pub(super) async fn propose(&self, mut turn: FifoTurn, token: GrantNumber) -> Result<Vote, LockError> {
        turn.come().await;
        self.node.ensure().await?;
        if self.terms.leaving.get().is_some() {
            return Err(LockError::new(ErrorKind::Lost, "the acquisition was already given up"));
        }
        let Terms { keys, owner, ttl, .. } = &*self.terms;
        self.may_hold.store(true, Ordering::Release);
        let doubt_before = self.in_doubt.swap(true, Ordering::AcqRel);
        let reply = self.node.propose(keys, owner, ttl.as_millis(), token).await;
        let reply = reply.map_err(|error| self.at_server(error))?;
        let doubt = doubt_before || reply.repeated;
        self.in_doubt.store(doubt, Ordering::Release);
        if matches!(reply.value, Vote::Held(_)) {
            self.may_hold.store(doubt, Ordering::Release);
        }
        Ok(reply.value)
    }

    /// Renews the lease here. Whether the owner has it.
    pub(super) async fn renew(&self) -> Result<bool, LockError> {
        self.node.calls.renew(self.terms.caller()).await.map_err(|error| self.at_server(error))
    }

    /// Gives back what an attempt may have got here. The owner will ask again.
    pub(super) async fn withdraw(&self, mut turn: FifoTurn) -> Result<(), LockError> {
        turn.come().await;
        if self.may_hold.load(Ordering::Acquire) {
            self.release(0).await?;
        }
        Ok(())
    }

    /// Makes the owner leave for good. Whether it had the lock here. A request that may come late is refused
    /// from then on.
    pub(super) async fn leave(&self, mut turn: FifoTurn, which: LeaveFrom) -> Result<bool, LockError> {
        turn.come().await;
        if which == LeaveFrom::WhereItMayHold && !self.may_hold.load(Ordering::Acquire) {
            return Ok(false);
        }
        if let Some(had_it) = self.left.get() {
            return Ok(*had_it);
        }
        let in_doubt = self.in_doubt.load(Ordering::Acquire);
        let late_ms = if in_doubt { self.terms.ttl.as_millis() } else { 0 };
        let had_it = self.release(late_ms).await?;
        self.may_hold.store(false, Ordering::Release);
        Ok(*self.left.get_or_init(|| had_it))
    }

    /// Repeats the release until the server confirms it, or the lease is over. A server that was never sent anything
    /// has nothing to confirm.
    pub(super) async fn keep_leaving(&self) {
        if self.kept.swap(true, Ordering::AcqRel) {
            return;
        }
        let patience = LEAST_EFFORT.max(self.terms.ttl.as_duration());
        let give_up = Moment::now().after(patience);
        let mut pauses = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            if !self.may_hold.load(Ordering::Acquire) || Moment::now() >= give_up {
                return;
            }
            sleep(pauses.next_pause()).await;
            let turn = self.turn();
            match self.leave(turn, LeaveFrom::WhereItMayHold).await {
                Err(error) if error.kind().is_retryable() => {}
                _ => return,
            }
        }
    }

    async fn release(&self, late_ms: u64) -> Result<bool, LockError> {
        let released = self.node.calls.release(self.terms.caller(), late_ms).await;
        let had_it = released.map_err(|error| self.at_server(error))?.value;
        self.may_hold.store(self.in_doubt.load(Ordering::Acquire), Ordering::Release);
        Ok(had_it)
    }
}

/// A request that the network kept for so long may still be undone.
const LEAST_EFFORT: Duration = Duration::from_secs(60);
