//! What a manager does for one acquisition: it asks, holds, renews, and releases until that is confirmed.

use crate::backend::{AcquireRequest, Claim, Grant, Mode, Share};
use crate::error::{ErrorKind, LockError};
use crate::guard::{Guard, Ledger};
use crate::key::LockKey;
use crate::layers::Shell;
use crate::lease::{FencingToken, Ttl};
use shuttle::future::yield_now;
use std::sync::Arc;
use std::time::Duration;

/// One acquisition in a process.
#[derive(Debug)]
pub struct Owner {
    process: Arc<dyn Shell>,
    ledger: Arc<Ledger>,
    claim: Claim,
    /// What it knows of its lock.
    pub guard: Arc<Guard>,
}

impl Owner {
    /// An owner that has asked for nothing yet.
    ///
    /// # Errors
    /// If there is no randomness to have.
    pub fn new(process: &Arc<dyn Shell>, ledger: &Arc<Ledger>, ttl: Duration) -> Result<Self, LockError> {
        let claim = Claim::new(LockKey::new("k")?, Ttl::new(ttl)?)?;
        Ok(Self { process: Arc::clone(process), ledger: Arc::clone(ledger), claim, guard: Arc::default() })
    }

    /// Another acquisition of the same lock, in the same process.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn again(&self) -> Result<Self, LockError> {
        Self::new(&self.process, &self.ledger, self.claim.ttl.as_duration())
    }

    /// Asks for the lock. Whatever came of it, save a refusal, and whatever the future has left when it is dropped, is for
    /// [`leave`](Self::leave) to undo.
    pub async fn ask(&self, mode: Mode) -> Asked {
        let request = AcquireRequest::of(self.claim.clone(), mode, Arc::default(), self.guard.clone());
        match self.process.acquire(&request).await {
            Ok(grant) => self.granted(&grant),
            Err(error) if mode == Mode::Try && error.kind() == ErrorKind::Busy => Asked::Refused,
            Err(_) => Asked::Failed,
        }
    }

    fn granted(&self, grant: &Grant) -> Asked {
        self.guard.extend(grant.valid_until);
        self.ledger.enter(grant.token, &self.guard);
        Asked::Granted(grant.token)
    }

    /// Gives what it has up for a part, which `next` then has. Whatever came of it, both are to [`leave`](Self::leave).
    pub async fn exchange_for(&self, next: &Self) -> Asked {
        self.guard.end();
        let request = AcquireRequest::of(next.claim.clone(), Mode::Try, Arc::default(), next.guard.clone());
        match self.process.exchange(&self.claim, &request).await {
            Ok(grant) => next.granted(&grant),
            Err(_) => Asked::Failed,
        }
    }

    /// The same with a part of the lock.
    #[must_use]
    pub fn of_a_part(self) -> Self {
        Self { claim: self.claim.with_share(Share::READER), ..self }
    }

    /// Renews the lease.
    pub async fn renew(&self) {
        match self.process.renew(&self.claim).await {
            Ok(valid_until) if self.guard.is_valid() => self.guard.extend(valid_until),
            Err(error) if error.kind() == ErrorKind::Lost => self.guard.end(),
            _ => {}
        }
    }

    /// Leaves, whatever became of its requests.
    pub async fn leave(&self) {
        self.guard.end();
        while self.process.release(&self.claim).await.is_err_and(|error| error.kind() != ErrorKind::Lost) {
            yield_now().await;
        }
    }
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It has the lock.
    Granted(FencingToken),
    /// It only tried, and has left nothing.
    Refused,
    /// It is not known what it has left.
    Failed,
}
