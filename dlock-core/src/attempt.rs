//! One acquisition from its first request to its guard: the deadline of the wait, and undoing what an unfinished
//! request may leave.

use crate::backend::answers;
use crate::backend::{AcquireRequest, BackendFuture, Claim, Grant, Mode, Share};
use crate::error::{BusyDetails, ErrorKind, LockError, Operation};
use crate::guarantees::Guarantees;
use crate::holding::Holding;
use crate::keeper::Keeper;
use crate::key::LockKey;
use crate::label::Label;
use crate::lease::{MaxHold, OwnerId, Ttl};
use crate::other_number;
use crate::scope;
use crate::shared::Shared;
use crate::spans::AcquireSpan;
use crate::time::Moment;
use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// How long the look at the holder may take at the end of a wait: a round trip to servers that are far away.
const LONGEST_LOOK: Duration = Duration::from_millis(200);

/// A request that waits.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Result<Holding, LockError>> + Send>>;

/// What a request asks for. The key is as its caller gave it: a wrong one, or a wrong label, is told when the request is
/// awaited.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) manager: Arc<Shared>,
    pub(crate) key: Result<LockKey, LockError>,
    pub(crate) ttl: Option<Ttl>,
    pub(crate) wait: Option<Duration>,
    pub(crate) label: Option<Label>,
    pub(crate) max_hold: Option<MaxHold>,
}

impl Wanted {
    /// The request fails with `error` when it is awaited, unless its key is wrong already.
    pub(crate) fn refuse(&mut self, error: LockError) {
        if let Ok(key) = &self.key {
            let error = self.manager.named(error, key);
            self.key = Err(error);
        }
    }
}

/// Dropped before it is settled, its owner leaves in the background (I4): the guard is there from the start.
pub(crate) struct Attempt {
    guard: Holding,
    wait: Duration,
    max_hold: MaxHold,
    span: AcquireSpan,
}

impl Attempt {
    pub(crate) fn prepare(wanted: Wanted, share: Share) -> Result<Self, LockError> {
        let Wanted { manager, key, ttl, wait, label, max_hold } = wanted;
        let key = key.map_err(|error| error.with_operation(Operation::Acquire))?;
        let name = |error: LockError| manager.named(error.with_operation(Operation::Acquire), &key);
        let (ttl, max_hold) = (ttl.unwrap_or(manager.ttl), max_hold.unwrap_or(manager.max_hold));
        if !share.is_all() {
            answers::promised(&*manager.backend, Guarantees::SHARES).map_err(name)?;
        }
        if !manager.backend.is_local() {
            Keeper::here().map_err(name)?;
        }
        // What a backend outside of this process is asked with has an owner of its own, which no other process has.
        let label = label.or_else(|| manager.label.clone());
        let claim = Claim { owner: OwnerId::local(), ttl, key: key.clone(), label, share };
        let (wait, span) = (wait.unwrap_or(manager.wait), AcquireSpan::new(&claim, &*manager.backend));
        let acquisition = manager.acquisition(claim);
        Ok(Self { guard: Holding::pending(manager, acquisition), wait, max_hold, span })
    }

    /// What there is to say without waiting: a refusal, or the grant of a backend inside this process. Most locks
    /// are free.
    pub(crate) fn at_once(self) -> ControlFlow<Result<Holding, LockError>, Self> {
        if let Err(error) = self.admit() {
            return ControlFlow::Break(Err(self.failed(error)));
        }
        let (manager, claim) = (self.guard.manager(), &self.guard.acquisition().claim);
        let now = manager.clock.now();
        match self.span.within(|| manager.backend.acquire_at_once(claim, now)) {
            Some(grant) => ControlFlow::Break(self.granted(&grant, now)),
            None => ControlFlow::Continue(self),
        }
    }

    fn admit(&self) -> Result<(), LockError> {
        let manager = self.guard.manager();
        if manager.closed.is_cancelled() {
            return Err(manager.closed_error(self.guard.key()));
        }
        // A try for a part waits for nothing, not for its caller either: the backend says whether it fits.
        match self.wait.is_zero() && !self.guard.acquisition().claim.share.is_all() {
            true => Ok(()),
            false => scope::check(manager, self.guard.key()),
        }
    }

    /// Asks the backend, for no longer than the wait and the manager's life.
    ///
    /// In one block, which has everything once: an `async fn` keeps what it is given beside what it works on.
    pub(crate) fn wait(mut self) -> Waiting {
        Box::pin(async move {
            self.guard.set_to_release(true);
            let outcome = {
                let (request, manager) = (self.request(), self.guard.manager());
                // It was seen to be here when the request was prepared.
                let keeper = if manager.backend.is_local() { None } else { Keeper::started() };
                let mut asked = manager.backend.acquire(&request);
                let (look, mut notice) = (self.last_look(), other_number::notice(manager, &request));
                tokio::select! {
                    biased;
                    outcome = poll_fn(|context| self.span.within(|| asked.as_mut().poll(context))) => outcome,
                    () = manager.closed.cancelled() => Err(manager.closed_error(self.guard.key())),
                    never = poll_fn(|context| match &mut notice {
                        Some(notice) => notice.as_mut().poll(context),
                        None => Poll::Pending,
                    }) => match never {},
                    () = manager.clock.sleep(self.wait.saturating_sub(look), keeper), if request.mode == Mode::Wait => {
                        // In a box: only a wait that ends pays for the room.
                        Box::pin(self.end_waiting(&request, asked, look)).await
                    }
                }
            };
            match outcome {
                Ok(grant) => {
                    let now = self.guard.manager().clock.now();
                    self.granted(&grant, now)
                }
                Err(error) => Err(self.failed(error)),
            }
        })
    }

    /// How long before the end of the wait this request looks at the holder. A backend inside the process answers at once.
    fn last_look(&self) -> Duration {
        if self.guard.manager().backend.is_local() { Duration::ZERO } else { LONGEST_LOOK.min(self.wait / 4) }
    }

    /// The last part of a wait. The request looks at the holder once meanwhile, so no answer to a waiter has to carry that.
    async fn end_waiting(
        &self,
        request: &AcquireRequest,
        mut asked: BackendFuture<'_, Grant>,
        left: Duration,
    ) -> Result<Grant, LockError> {
        let manager = self.guard.manager();
        tokio::select! {
            biased;
            outcome = poll_fn(|context| self.span.within(|| asked.as_mut().poll(context))) => outcome,
            () = manager.closed.cancelled() => Err(manager.closed_error(self.guard.key())),
            error = self.verdict(request, left) => Err(error),
        }
    }

    /// The error of a wait of which this is left, with what is seen of the lock by then.
    async fn verdict(&self, request: &AcquireRequest, left: Duration) -> LockError {
        let manager = self.guard.manager();
        let mut end = pin!(manager.clock.sleep(left, None));
        let seen = tokio::select! {
            biased;
            seen = self.look(request) => seen,
            () = &mut end => return request.progress.verdict(self.wait),
        };
        end.await;
        let error = request.progress.verdict(self.wait);
        match seen {
            Some(seen) if error.kind() == ErrorKind::Busy => error.with_busy_details(seen),
            _ => error,
        }
    }

    /// Who holds the lock, and where this request stands. What cannot be seen is left out of the error.
    async fn look(&self, request: &AcquireRequest) -> Option<BusyDetails> {
        if !request.progress.is_queued() {
            return None;
        }
        let admin = self.guard.manager().backend.admin()?;
        let seen = admin.inspect(&request.claim.key, Some(&request.claim)).await.ok()?;
        let holder = seen.holders.into_iter().next().unwrap_or_default();
        Some(BusyDetails { label: holder.label, held_for: holder.held_for, place: seen.place })
    }

    fn request(&self) -> AcquireRequest {
        let acquisition = self.guard.acquisition();
        let mode = if self.wait.is_zero() { Mode::Try } else { Mode::Wait };
        AcquireRequest::of(acquisition.claim.clone(), mode, Arc::default(), acquisition.clone())
    }

    /// The guard, unless the manager was closed meanwhile: then what was granted goes back. It is looked at once the
    /// lease is under renewal, where a shutdown finds it.
    fn granted(self, grant: &Grant, now: Moment) -> Result<Holding, LockError> {
        let guard = self.guard.granted(grant, now, self.max_hold.until(now));
        if guard.manager().closed.is_cancelled() {
            self.span.failed(ErrorKind::Closed);
            return Err(guard.manager().closed_error(guard.key()));
        }
        self.span.granted(grant.token);
        Ok(guard)
    }

    fn failed(mut self, error: LockError) -> LockError {
        let error = self.naming_own_holder(error);
        self.span.failed(error.kind());
        if self.wait.is_zero() && (error.kind() == ErrorKind::Busy || error.leaves_nothing()) {
            // A try that was refused leaves nothing, nor does one that was never sent: the backend's promise.
            self.guard.set_to_release(false);
        }
        self.guard.name(error, Operation::Acquire)
    }
}

impl Attempt {
    /// Names the guard of this manager that the wait was for. Such a wait is usually a mistake, and the key alone does
    /// not show it. A try does not count: its caller expects to be refused.
    fn naming_own_holder(&self, error: LockError) -> LockError {
        if error.kind() != ErrorKind::Busy || self.wait.is_zero() {
            return error;
        }
        match self.guard.manager().renewal.held_for(self.guard.key()) {
            Some(age) => error.adding(&format!(
                "; a guard in this process has held it for {age:?}: if it is one of the same task, release it first"
            )),
            None => error,
        }
    }
}
