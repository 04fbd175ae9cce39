//! The session in use, and the making of the next one.

use super::abilities::Abilities;
use super::liveness::Liveness;
use super::monitor::Monitor;
use super::requests::Session;
use crate::backend::single_attempt::{Make, Perishable, SingleAttempt};
use crate::backend::zookeeper::acquisitions::Acquisitions;
use crate::backend::zookeeper::config::settings::Settings;
use crate::backend::zookeeper::failure::classify;
use crate::error::LockError;
use crate::keeper::{Background, Keeper};
use crate::time::{Backoff, Moment, within};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;
use zookeeper::{Client, Error};

/// The sessions of one backend value: one at a time.
#[derive(Clone)]
pub(crate) struct SessionManager(Arc<SingleAttempt<Arc<Session>>>);

impl Perishable for Arc<Session> {
    fn is_over(&self) -> bool {
        Session::is_over(self)
    }
}

impl SessionManager {
    /// # Errors
    /// As [`Keeper::start`].
    pub(crate) fn new(settings: Arc<Settings>, acquisitions: &Arc<Acquisitions>) -> Result<Self, LockError> {
        // An attempt takes longer than its limit where the keeper is busy.
        let patience = settings.connect_limit() * 2;
        let maker = SessionMaker {
            settings,
            acquisitions: Arc::downgrade(acquisitions),
            abilities: Arc::default(),
            background: Background::new()?,
        };
        let make: Make<Arc<Session>> = Box::new(move |number| Box::pin(maker.clone().open_or_warn(number)));
        let pauses = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        Ok(Self(SingleAttempt::new(make, patience, pauses)))
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

/// What a session is made of.
#[derive(Clone)]
struct SessionMaker {
    settings: Arc<Settings>,
    acquisitions: Weak<Acquisitions>,
    abilities: Arc<Abilities>,
    background: Background,
}

impl SessionMaker {
    async fn open_or_warn(self, number: u64) -> Result<Arc<Session>, LockError> {
        let opened = self.open(number).await;
        if let Err(error) = &opened {
            let (hosts, error) = (self.settings.hosts().to_owned(), error.without_server());
            self.background.detach(async move {
                tracing::warn!(backend = "zookeeper", server = hosts, %error, "no session could be made");
            });
        }
        opened
    }

    /// Connects, and starts the session's monitor. Call it on the keeper: the client's own tasks run there from then
    /// on.
    ///
    /// # Cancel safety
    /// Dropping the future gives the connection up.
    async fn open(&self, number: u64) -> Result<Arc<Session>, LockError> {
        let (keeper, settings, sent) = (Keeper::here()?, &self.settings, Moment::now());
        let client =
            within(settings.connect_limit(), settings.connect()).await.unwrap_or(Err(Error::Timeout));
        let client = client.map_err(|cause| classify(cause).with_server(settings.hosts()))?;
        let liveness = Liveness::new(client.session_timeout(), settings.lost_after_percent(), sent);
        let liveness = Arc::new(liveness);
        let monitor = self.monitor(number, &client, &liveness);
        let monitor = AbortOnDropHandle::new(keeper.spawn(monitor.run()));
        let runs_on = (keeper, self.background.clone());
        let knows = (Arc::clone(settings), Arc::clone(&self.abilities));
        Ok(Arc::new(Session::new(number, client, liveness, knows, runs_on, monitor)))
    }

    fn monitor(&self, number: u64, client: &Client, liveness: &Arc<Liveness>) -> Monitor {
        let (session, timeout) = (client.session_id(), client.session_timeout());
        self.background.detach(async move {
            tracing::info!(backend = "zookeeper", %session, ?timeout, "session opened");
        });
        Monitor {
            number,
            client: client.clone(),
            liveness: Arc::clone(liveness),
            root: self.settings.root().to_owned(),
            abilities: Arc::clone(&self.abilities),
            acquisitions: Weak::clone(&self.acquisitions),
            background: self.background.clone(),
        }
    }
}
