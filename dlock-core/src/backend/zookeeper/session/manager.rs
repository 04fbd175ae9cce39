//! The session in use, and the making of the next one.

use super::requests::Session;
use crate::backend::zookeeper::acquisitions::Owners;
use crate::backend::zookeeper::config::settings::Settings;
use crate::backend::zookeeper::failure::classify;
use crate::error::{ErrorKind, LockError};
use crate::time::{Moment, backoff, sleep};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use zookeeper::Error;

/// The sessions of one backend value: one at a time. The next one is made when somebody needs it, by one
/// attempt for all who do, and not before a pause after an attempt that failed.
pub(crate) struct Sessions {
    settings: Arc<Settings>,
    owners: Arc<Owners>,
    slot: Mutex<Slot>,
    settled: Notify,
}

struct Slot {
    state: State,
    /// How many attempts were begun.
    attempts: u64,
    pauses: Pauses,
}

enum State {
    None,
    Connecting { since: Moment },
    Failed { cause: Error, until: Moment },
    Live(Arc<Session>),
}

type Pauses = Box<dyn Iterator<Item = Duration> + Send>;

fn pauses() -> Pauses {
    Box::new(backoff(Duration::from_millis(50), Duration::from_secs(2)))
}

impl Sessions {
    pub(crate) fn new(settings: Arc<Settings>, owners: Arc<Owners>) -> Arc<Self> {
        let slot = Slot { state: State::None, attempts: 0, pauses: pauses() };
        Arc::new(Self { settings, owners, slot: Mutex::new(slot), settled: Notify::new() })
    }

    /// The session in use; a new one if there is none, or it is over.
    ///
    /// # Cancel safety
    /// An attempt under way goes on without the caller.
    pub(crate) async fn current(self: &Arc<Self>) -> Result<Arc<Session>, LockError> {
        let mut waited = false;
        loop {
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            if let Some(session) = self.look(waited)? {
                return Ok(session);
            }
            tokio::select! {
                () = settled => waited = true,
                () = sleep(self.patience()) => {}
            }
        }
    }

    /// The session in use, unless it is over.
    pub(crate) fn live(&self) -> Option<Arc<Session>> {
        match &self.slot.lock().state {
            State::Live(session) if !session.is_over() => Some(Arc::clone(session)),
            _ => None,
        }
    }

    /// The session, or `None` while one is being made. Who waited for an attempt gets what came of it.
    fn look(self: &Arc<Self>, waited: bool) -> Result<Option<Arc<Session>>, LockError> {
        if let Some(session) = self.live() {
            return Ok(Some(session));
        }
        let runtime = Handle::try_current().map_err(no_runtime)?;
        let now = Moment::now();
        let mut slot = self.slot.lock();
        match &slot.state {
            State::Live(session) if !session.is_over() => return Ok(Some(Arc::clone(session))),
            State::Connecting { since } if now < since.after(self.patience()) => return Ok(None),
            State::Failed { cause, until } if waited || now < *until => return Err(classify(cause.clone())),
            _ => {}
        }
        slot.attempts += 1;
        let attempt = Attempt { sessions: Arc::downgrade(self), number: slot.attempts, outcome: None };
        let before = std::mem::replace(&mut slot.state, State::Connecting { since: now });
        drop(slot);
        drop(before);
        runtime.spawn(attempt.run(Arc::clone(&self.settings), Arc::downgrade(&self.owners)));
        Ok(None)
    }

    /// How long an attempt is waited for: longer than it can take, save in a runtime that nobody runs.
    fn patience(&self) -> Duration {
        self.settings.connect_limit() * 2
    }

    fn settle(&self, number: u64, outcome: Option<Result<Session, Error>>) {
        let mut slot = self.slot.lock();
        if slot.attempts != number {
            return;
        }
        slot.state = match outcome {
            Some(Ok(session)) => {
                slot.pauses = pauses();
                State::Live(Arc::new(session))
            }
            Some(Err(cause)) => {
                tracing::warn!(backend = "zookeeper", %cause, "no session could be made");
                let pause = slot.pauses.next().unwrap_or_default();
                State::Failed { cause, until: Moment::now().after(pause) }
            }
            None => State::None,
        };
        drop(slot);
        self.settled.notify_waiters();
    }
}

/// The making of one session. Dropped, it settles: also when its runtime ends before it does.
struct Attempt {
    sessions: Weak<Sessions>,
    number: u64,
    outcome: Option<Result<Session, Error>>,
}

impl Attempt {
    async fn run(mut self, settings: Arc<Settings>, owners: Weak<Owners>) {
        self.outcome = Some(Session::open(settings, self.number, owners).await);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(sessions) = self.sessions.upgrade() {
            sessions.settle(self.number, self.outcome.take());
        }
    }
}

fn no_runtime(cause: tokio::runtime::TryCurrentError) -> LockError {
    LockError::new(ErrorKind::NotConfigured, "no Tokio runtime here to connect in; await locks inside one")
        .with_source(cause)
}
