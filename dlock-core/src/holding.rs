//! What an owner has, from its request to its release: the one thing inside every guard.

use crate::acquisition::Acquisition;
use crate::backend::{AcquireRequest, Claim, Grant, Mode, Share, answers};
use crate::error::{ErrorKind, LockError, Operation};
use crate::guarantees::Guarantees;
use crate::keeper::Keeper;
use crate::key::LockKey;
use crate::lease::{Lease, LossReason, OwnerId};
use crate::shared::Shared;
use crate::spans::HoldSpan;
use crate::time::Moment;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Dropped before it is released, its owner leaves in the background.
pub(crate) struct Holding {
    manager: Arc<Shared>,
    lease: Lease,
    /// Whether the backend may have something of this owner.
    to_release: bool,
    span: HoldSpan,
}

impl Holding {
    /// Of a lock that is still to be asked for.
    pub(crate) fn pending(manager: Arc<Shared>, acquisition: Arc<Acquisition>) -> Self {
        Self { manager, lease: Lease::of(acquisition), to_release: false, span: HoldSpan::NONE }
    }

    pub(crate) fn set_to_release(&mut self, to_release: bool) {
        self.to_release = to_release;
    }

    /// Takes the granted lease under renewal. It may be held until `hold_until`.
    pub(crate) fn granted(mut self, grant: &Grant, now: Moment, hold_until: Moment) -> Self {
        self.to_release = true;
        let held = &self.lease.acquisition();
        held.lease().limit_hold(hold_until);
        held.grant(grant);
        held.lease().held_from(now);
        self.manager.renewal.enter(Arc::clone(held), now);
        self.span = HoldSpan::new(&held.claim, &*self.manager.backend, grant.token);
        self
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(crate) fn acquisition(&self) -> &Arc<Acquisition> {
        self.lease.acquisition()
    }

    pub(crate) fn manager(&self) -> &Arc<Shared> {
        &self.manager
    }

    pub(crate) fn key(&self) -> &LockKey {
        self.lease.key()
    }

    /// Ends the lease locally *before* anything is sent: from here on the lease is not valid. Returns why it was lost, if it
    /// was.
    pub(crate) fn give_up(&self, now: Moment) -> Option<LossReason> {
        self.manager.renewal.remove(self.lease.acquisition());
        // A lease whose time passed before it was looked at was lost, whatever its holder does now.
        let lost = self.lease.acquisition().lease().loss(now);
        self.lease.acquisition().end(lost.unwrap_or(LossReason::Released));
        lost
    }

    /// All of the key becomes a part of it.
    ///
    /// Its lease ends before anything is sent, as for a release.
    pub(crate) async fn downgrade(mut self, share: Share) -> Result<Self, LockError> {
        self.check_exchange(Operation::Downgrade)?;
        if let Some(reason) = self.give_up(self.manager.clock.now()) {
            return Err(self.lost_error(reason, Operation::Downgrade));
        }
        let wanted = self.ask_for(share).await.map_err(|error| self.name(error, Operation::Downgrade))?;
        self.to_release = false;
        wanted.unless_closed()
    }

    /// The part becomes all of the key, or stays what it is.
    pub(crate) async fn upgrade(mut self) -> Result<ControlFlow<Self, Self>, LockError> {
        self.check_exchange(Operation::Upgrade)?;
        if let Some(reason) = self.lease.loss() {
            return Err(self.lost_error(reason, Operation::Upgrade));
        }
        // A renewal that is sent after the exchange would find the owner gone.
        self.manager.renewal.remove(self.acquisition());
        match self.ask_for(Share::All).await {
            Ok(wanted) => {
                self.give_up(self.manager.clock.now());
                self.to_release = false;
                Ok(ControlFlow::Break(wanted.unless_closed()?))
            }
            Err(error) if error.kind() == ErrorKind::Busy => {
                self.manager.renewal.enter(Arc::clone(self.acquisition()), self.manager.clock.now());
                Ok(ControlFlow::Continue(self))
            }
            Err(error) => Err(self.name(error, Operation::Upgrade)),
        }
    }

    fn check_exchange(&self, operation: Operation) -> Result<(), LockError> {
        let name = |error| self.name(error, operation);
        answers::promised(&*self.manager.backend, Guarantees::SHARES).map_err(name)?;
        if !self.manager.backend.is_local() {
            Keeper::here().map_err(name)?;
        }
        Ok(())
    }

    /// Exchanges what is held for this share of the same key, under another owner. Dropped, or ended by an error, it leaves the
    /// outcome unknown: then both owners are released.
    async fn ask_for(&self, share: Share) -> Result<Self, LockError> {
        let (manager, held) = (&self.manager, self.acquisition());
        let claim = Claim { owner: OwnerId::local(), share, ..held.claim.clone() };
        let mut wanted = Self::pending(Arc::clone(manager), manager.acquisition(claim.clone()));
        wanted.set_to_release(true);
        let observer = Arc::clone(wanted.acquisition());
        let request = AcquireRequest::of(claim, Mode::Try, Arc::default(), observer);
        match manager.backend.exchange(&held.claim, &request).await {
            Ok(grant) => Ok(wanted.granted(&grant, manager.clock.now(), held.lease().hold_until())),
            Err(error) => {
                // A refusal leaves nothing: the backend's promise.
                wanted.set_to_release(error.kind() != ErrorKind::Busy);
                Err(error)
            }
        }
    }

    /// A manager that was closed meanwhile hands nothing out. It is looked at once the lease is under renewal, where a shutdown
    /// finds it.
    pub(crate) fn unless_closed(self) -> Result<Self, LockError> {
        match self.manager.closed.is_cancelled() {
            true => Err(self.manager.closed_error(self.key())),
            false => Ok(self),
        }
    }

    pub(crate) fn lost_error(&self, reason: LossReason, operation: Operation) -> LockError {
        let detail = format!("{reason}; what was done since may overlap with another owner's work");
        self.name(LockError::new(ErrorKind::Lost, detail), operation)
    }

    pub(crate) fn name(&self, error: LockError, operation: Operation) -> LockError {
        self.manager.named(error.with_operation(operation), self.key())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.to_release && !self.manager.is_forked() {
            let _entered = self.span.enter();
            let now = self.manager.clock.now();
            self.give_up(now);
            self.manager.release_in_background(self.lease.acquisition(), now);
        }
    }
}
