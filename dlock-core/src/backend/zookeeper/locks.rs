//! What the clones of one backend value share.

use super::acquisitions::Acquisitions;
use super::config::settings::Settings;
use super::failure;
use super::path;
use super::recipe::order;
use super::session::manager::SessionManager;
use super::session::preflight;
use crate::backend::start::Start;
use crate::error::LockError;
use crate::key::{LockKey, Namespace};
use crate::lease::OwnerId;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The backend's name in errors and traces.
pub(super) const NAME: &str = "zookeeper";

/// What the clones of one backend value share.
pub(super) struct ZooKeeperLocks {
    pub(super) settings: Arc<Settings>,
    pub(super) acquisitions: Arc<Acquisitions>,
    pub(super) sessions: SessionManager,
    pub(super) start: Arc<Start>,
    namespace: Option<Namespace>,
    /// The node below which each key has its directory: the root, or in it that of the namespace.
    base: String,
    met_strangers: AtomicBool,
    /// The keys that were warned about, since half of their numbers are used.
    half_used: Mutex<HashSet<LockKey>>,
}

impl ZooKeeperLocks {
    pub(super) fn new(
        settings: Arc<Settings>,
        acquisitions: Arc<Acquisitions>,
        sessions: SessionManager,
    ) -> Self {
        let start = Arc::new(start(&settings, &sessions));
        let (namespace, half_used) = (settings.namespace().cloned(), Mutex::default());
        let (base, met_strangers) = (base(&settings, namespace.as_ref()), AtomicBool::new(false));
        Self { settings, acquisitions, sessions, start, namespace, base, met_strangers, half_used }
    }

    /// The same in a namespace: with the same session, and a directory of its own in the root.
    ///
    /// # Errors
    /// As [`Namespace::within`].
    pub(super) fn namespaced(&self, inner: &Namespace) -> Result<Self, LockError> {
        let namespace = Some(match &self.namespace {
            Some(outer) => outer.within(inner)?,
            None => inner.clone(),
        });
        let (settings, start) = (Arc::clone(&self.settings), Arc::clone(&self.start));
        let (acquisitions, sessions) = (Arc::clone(&self.acquisitions), self.sessions.clone());
        let (base, met_strangers) = (base(&settings, namespace.as_ref()), AtomicBool::new(false));
        let half_used = Mutex::default();
        Ok(Self { settings, acquisitions, sessions, start, namespace, base, met_strangers, half_used })
    }

    pub(super) fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Checks that a key is not too long.
    ///
    /// # Errors
    /// As [`Namespace::join`].
    pub(super) fn check(&self, key: &LockKey) -> Result<(), LockError> {
        self.namespace.as_ref().map_or(Ok(()), |namespace| namespace.check_length(key))
    }

    /// The name, up to its number, of the nodes of `owner`.
    pub(super) fn prefix(&self, owner: OwnerId) -> String {
        self.settings.dialect().prefix(owner)
    }

    /// The directory of `key`. Within one base no directory lies in another, so no lock is taken for another lock's
    /// contender.
    pub(super) fn dir(&self, key: &LockKey) -> String {
        path::join(&self.base, &path::segment(key.as_bytes()))
    }

    /// Warns once for each key that its directory will run out of numbers.
    pub(super) fn note_half_used(&self, key: &LockKey) {
        if self.half_used.lock().insert(key.clone()) {
            tracing::warn!(
                backend = NAME,
                %key,
                "more than half of the 2^31 numbers of the key's directory are given out; before they end, stop all use \
                 of the key and remove the directory"
            );
        }
    }

    /// Warns once that the queue of a lock has nodes in it that Curator would wait for.
    pub(super) fn note_strangers(&self, children: &[String]) {
        if order::has_strangers(children) && !self.met_strangers.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                backend = NAME,
                "a lock's directory holds nodes that no known client makes for locks; dlock ignores them, but Curator \
                 waits for those that it sorts before its own"
            );
        }
    }
}

/// Opens the session and checks that the account may use the root.
fn base(settings: &Settings, namespace: Option<&Namespace>) -> String {
    match namespace {
        Some(namespace) => path::join(settings.root(), &path::segment(namespace.as_str().as_bytes())),
        None => settings.root().to_owned(),
    }
}

fn start(settings: &Arc<Settings>, sessions: &SessionManager) -> Start {
    let (settings, sessions) = (Arc::clone(settings), sessions.clone());
    // Checking the servers takes a few answers, and as many reconnects if they drop connections.
    let patience = settings.connect_limit().saturating_mul(2).saturating_add(settings.request_timeout() * 16);
    Start::new(patience, move || {
        let (settings, sessions) = (Arc::clone(&settings), sessions.clone());
        async move {
            let session = sessions.current().await?;
            session.check_access(settings.root()).await.map_err(failure::classify)?;
            let containers = !settings.dialect().keeps_directories();
            preflight::check(&session, settings.recipe(), containers).await
        }
    })
}
