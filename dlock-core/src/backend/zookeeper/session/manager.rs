//! The session in use, and the making of the next one.

use super::liveness::Liveness;
use super::monitor::Monitor;
use super::requests::Session;
use crate::backend::zookeeper::acquisitions::Acquisitions;
use crate::backend::zookeeper::config::settings::Settings;
use crate::backend::zookeeper::failure::classify;
use crate::error::{ErrorKind, LockError};
use crate::time::{Moment, backoff, sleep, within};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use zookeeper::Error;

/// The sessions of one backend value: one at a time. The next one is made when somebody needs it, by one
/// attempt for all who do, and not before a pause after an attempt that failed.
pub(crate) struct SessionManager {
    settings: Arc<Settings>,
    acquisitions: Arc<Acquisitions>,
    slot: Mutex<Slot>,
    settled: Notify,
}

struct Slot {
    state: SlotState,
    /// How many attempts were begun.
    attempts: u64,
    pauses: Pauses,
}

enum SlotState {
    None,
    Connecting { since: Moment },
    Failed { cause: Error, until: Moment },
    Live(Arc<Session>),
}

type Pauses = Box<dyn Iterator<Item = Duration> + Send>;

fn pauses() -> Pauses {
    Box::new(backoff(Duration::from_millis(50), Duration::from_secs(2)))
}

impl SessionManager {
    pub(crate) fn new(settings: Arc<Settings>, acquisitions: Arc<Acquisitions>) -> Arc<Self> {
        let slot = Slot { state: SlotState::None, attempts: 0, pauses: pauses() };
        Arc::new(Self { settings, acquisitions, slot: Mutex::new(slot), settled: Notify::new() })
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
            SlotState::Live(session) if !session.is_over() => Some(Arc::clone(session)),
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
            SlotState::Live(session) if !session.is_over() => return Ok(Some(Arc::clone(session))),
            SlotState::Connecting { since } if now < since.after(self.patience()) => return Ok(None),
            SlotState::Failed { cause, until } if waited || now < *until => {
                return Err(classify(cause.clone()));
            }
            _ => {}
        }
        slot.attempts += 1;
        let attempt = SessionAttempt { sessions: Arc::downgrade(self), number: slot.attempts, outcome: None };
        let before = std::mem::replace(&mut slot.state, SlotState::Connecting { since: now });
        drop(slot);
        drop(before);
        runtime.spawn(attempt.run(Arc::clone(&self.settings), Arc::downgrade(&self.acquisitions)));
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
                SlotState::Live(Arc::new(session))
            }
            Some(Err(cause)) => {
                tracing::warn!(backend = "zookeeper", %cause, "no session could be made");
                let pause = slot.pauses.next().unwrap_or_default();
                SlotState::Failed { cause, until: Moment::now().after(pause) }
            }
            None => SlotState::None,
        };
        drop(slot);
        self.settled.notify_waiters();
    }
}

/// The making of one session. Dropped, it settles: also when its runtime ends before it does.
struct SessionAttempt {
    sessions: Weak<SessionManager>,
    number: u64,
    outcome: Option<Result<Session, Error>>,
}

impl SessionAttempt {
    async fn run(mut self, settings: Arc<Settings>, acquisitions: Weak<Acquisitions>) {
        self.outcome = Some(open(settings, self.number, acquisitions).await);
    }
}

impl Drop for SessionAttempt {
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

/// Connects, and starts what looks after the session. To be called in the runtime that the session is to live in.
///
/// # Cancel safety
/// Dropping the future gives the connection up.
async fn open(
    settings: Arc<Settings>,
    number: u64,
    acquisitions: Weak<Acquisitions>,
) -> Result<Session, Error> {
    let sent = Moment::now();
    let client = within(settings.connect_limit(), settings.connect()).await.unwrap_or(Err(Error::Timeout))?;
    let liveness = Arc::new(Liveness::new(client.session_timeout(), settings.lost_after_percent(), sent));
    let root = settings.root().to_owned();
    let monitor =
        Monitor { number, client: client.clone(), liveness: Arc::clone(&liveness), root, acquisitions };
    let monitor = AbortOnDropHandle::new(tokio::spawn(monitor.run()));
    tracing::info!(backend = "zookeeper", session = %client.session_id(), timeout = ?client.session_timeout(), "session opened");
    Ok(Session::new(number, client, liveness, settings, monitor))
}
