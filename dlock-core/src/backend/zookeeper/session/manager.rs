//! The session in use, and the making of the next one.

use super::liveness::Liveness;
use super::monitor::Monitor;
use super::requests::Session;
use crate::backend::single_attempt::{Make, Perishable, SingleAttempt};
use crate::backend::zookeeper::acquisitions::Acquisitions;
use crate::backend::zookeeper::config::settings::Settings;
use crate::backend::zookeeper::failure::classify;
use crate::error::LockError;
use crate::time::{Backoff, Moment, within};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;
use zookeeper::Error;

/// The sessions of one backend value: one at a time.
pub(crate) struct SessionManager(Arc<SingleAttempt<Arc<Session>>>);

impl Perishable for Arc<Session> {
    fn is_over(&self) -> bool {
        Session::is_over(self)
    }
}

impl SessionManager {
    pub(crate) fn new(settings: Arc<Settings>, acquisitions: &Arc<Acquisitions>) -> Self {
        // An attempt may take the limit twice where its runtime is not driven.
        let patience = settings.connect_limit() * 2;
        let acquisitions = Arc::downgrade(acquisitions);
        let make: Make<Arc<Session>> = Box::new(move |number| {
            Box::pin(open_or_warn(Arc::clone(&settings), number, Weak::clone(&acquisitions)))
        });
        let pauses = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        Self(SingleAttempt::new(make, patience, pauses))
    }

    /// The session in use; a new one if there is none, or it is over.
    ///
    /// # Cancel safety
    /// An attempt under way goes on without the caller.
    pub(crate) async fn current(&self) -> Result<Arc<Session>, LockError> {
        self.0.get().await
    }

    /// The session in use, unless it is over.
    pub(crate) fn live(&self) -> Option<Arc<Session>> {
        self.0.live()
    }
}

async fn open_or_warn(
    settings: Arc<Settings>,
    number: u64,
    acquisitions: Weak<Acquisitions>,
) -> Result<Arc<Session>, LockError> {
    open(settings, number, acquisitions)
        .await
        .inspect_err(|error| tracing::warn!(backend = "zookeeper", %error, "no session could be made"))
}

/// Connects, and starts what looks after the session. To be called in the runtime that the session is to live in.
///
/// # Cancel safety
/// Dropping the future gives the connection up.
async fn open(
    settings: Arc<Settings>,
    number: u64,
    acquisitions: Weak<Acquisitions>,
) -> Result<Arc<Session>, LockError> {
    let sent = Moment::now();
    let client = within(settings.connect_limit(), settings.connect()).await.unwrap_or(Err(Error::Timeout));
    let client = client.map_err(classify)?;
    let liveness = Arc::new(Liveness::new(client.session_timeout(), settings.lost_after_percent(), sent));
    let root = settings.root().to_owned();
    let monitor =
        Monitor { number, client: client.clone(), liveness: Arc::clone(&liveness), root, acquisitions };
    let monitor = AbortOnDropHandle::new(tokio::spawn(monitor.run()));
    tracing::info!(backend = "zookeeper", session = %client.session_id(), timeout = ?client.session_timeout(), "session opened");
    Ok(Arc::new(Session::new(number, client, liveness, settings, monitor)))
}
