//! Connections of the runtimes that callers run in.
//!
//! A request over the keeper's connection wakes the keeper, and the keeper wakes the caller: two changes of threads. So a
//! runtime that sends many requests has a connection of its own, which is made and driven by its own tasks. It ends with
//! its runtime, with the keeper's connection, and when it is idle.
//!
//! It also hears hand-offs, for the same reason. The keeper's connection hears them too: a runtime may not be driven.

use super::admission::{Admission, Look, RouteChoice};
use super::live::{LiveConnection, Opening, Source, connect};
use crate::backend::redis::notifications::Broken;
use crate::backend::single_attempt::Perishable;
use crate::error::LockError;
use crate::keeper::Keeper;
use crate::time::sleep;
use parking_lot::Mutex;
use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::runtime::{Handle, Id};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The connections of callers' runtimes to one server.
pub(super) struct RuntimeConnections {
    keeper: &'static Keeper,
    source: Arc<Source>,
    /// How the keeper's connections are opened.
    opening: Opening,
    admission: Mutex<Admission<Id, Arc<RuntimeConnection>>>,
}

/// The connection of one runtime.
pub(crate) struct RuntimeConnection {
    live: LiveConnection,
    /// Whether the keeper's connection has failed that existed when this one was made. Only that one hears hand-offs
    /// for waiters whose runtime is not driven, so without it no waiter may be queued.
    deaf: Broken,
    runtime: Handle,
    /// Whether it was used since the last look.
    used: AtomicBool,
    /// What its user keeps beside it.
    companion: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// Ends the task that stands for the runtime's life.
    _over: DropGuard,
}

/// Where a request goes.
#[derive(Clone)]
pub(crate) enum Route {
    Keeper,
    Own(Arc<RuntimeConnection>),
}

/// A connection that was not used for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

impl Route {
    /// Has the runtime of the connection do `work`.
    ///
    /// # Errors
    /// As [`Keeper::here`].
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<(), LockError> {
        match self {
            Self::Keeper => drop(Keeper::here()?.spawn(work)),
            Self::Own(own) => drop(own.runtime.spawn(work)),
        }
        Ok(())
    }
}

impl Perishable for Arc<RuntimeConnection> {
    fn is_over(&self) -> bool {
        self.live.is_over() || self.deaf.load(Ordering::Acquire)
    }
}

impl RuntimeConnection {
    pub(super) fn live(&self) -> &LiveConnection {
        &self.live
    }

    /// What is kept beside the connection and ends with it. The first call makes it. All calls ask for the same type.
    pub(crate) fn companion<T: Send + Sync + 'static>(&self, make: impl Fn() -> Arc<T>) -> Arc<T> {
        let kept = self.companion.get_or_init(|| make());
        Arc::clone(kept).downcast().unwrap_or_else(|_| make())
    }

    /// Notes that it is used. It says so already most of the time, and a write would take it from the other processors.
    fn note_use(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }
}

impl RuntimeConnections {
    /// At most `most` connections.
    pub(super) fn new(
        keeper: &'static Keeper,
        source: &Arc<Source>,
        opening: &Opening,
        most: usize,
    ) -> Arc<Self> {
        let (source, opening) = (Arc::clone(source), opening.clone());
        Arc::new(Self { keeper, source, opening, admission: Mutex::new(Admission::new(most)) })
    }

    /// Where a request of the caller goes. `keepers` is the keeper's connection, if there is one.
    pub(super) fn route(self: &Arc<Self>, keepers: impl FnOnce() -> Option<LiveConnection>) -> Route {
        let Ok(runtime) = Handle::try_current() else { return Route::Keeper };
        if self.keeper.has(&runtime) {
            return Route::Keeper;
        }
        let choice = self.admission.lock().choose(runtime.id());
        match choice {
            RouteChoice::Own(own) => {
                own.note_use();
                return Route::Own(own);
            }
            RouteChoice::KeeperAndMake(attempt) => self.make(&runtime, attempt, keepers()),
            RouteChoice::Keeper | RouteChoice::KeeperInsteadOf(_) => {}
        }
        Route::Keeper
    }

    fn make(self: &Arc<Self>, runtime: &Handle, attempt: u64, keepers: Option<LiveConnection>) {
        let place = RuntimePlace { of: Arc::downgrade(self), runtime: runtime.id(), attempt };
        let Some(keepers) = keepers else { return drop(place.vacate()) };
        let (source, deaf) = (Arc::clone(&self.source), Arc::clone(keepers.broken()));
        let opening = self.opening.beside(&deaf);
        self.keeper.spawn(place.clone().look_after());
        // If the runtime has ended, the task is dropped here.
        runtime.spawn(Tenant(place).live(source, opening, runtime.clone(), deaf));
    }
}

/// A place among the connections, which an attempt has.
#[derive(Clone)]
struct RuntimePlace {
    of: Weak<RuntimeConnections>,
    runtime: Id,
    attempt: u64,
}

impl RuntimePlace {
    /// Has the place taken by a connection. It is dropped if that comes too late.
    fn settle(&self, connection: Arc<RuntimeConnection>) {
        let Some(of) = self.of.upgrade() else { return };
        let too_late = of.admission.lock().made(self.runtime, self.attempt, connection);
        drop(too_late);
    }

    /// Gives the place up. The connection that had it.
    fn vacate(&self) -> Option<Arc<RuntimeConnection>> {
        let of = self.of.upgrade()?;
        of.admission.lock().over(self.runtime, self.attempt)
    }

    fn refuse(&self) {
        if let Some(of) = self.of.upgrade() {
            of.admission.lock().refuse(self.runtime, self.attempt);
        }
    }

    /// Gives the place up once the connection is of no use. On the keeper, as the runtime may not be driven.
    async fn look_after(self) {
        loop {
            sleep(IDLE).await;
            let Some(of) = self.of.upgrade() else { return };
            let is_used = |own: &Arc<RuntimeConnection>| own.used.swap(false, Ordering::Relaxed);
            let look = of.admission.lock().look(self.runtime, self.attempt, is_used);
            if let Look::Over(_) = look {
                return;
            }
        }
    }
}

/// The task of a runtime that makes its connection, and stands for the runtime's life from then on.
struct Tenant(RuntimePlace);

impl Tenant {
    async fn live(self, source: Arc<Source>, opening: Opening, runtime: Handle, deaf: Broken) {
        let live = match connect(&source, &opening).await {
            Ok(live) => live,
            Err(error) => {
                let (server, error) = (error.server(), error.without_server());
                return tracing::debug!(
                    backend = "redis",
                    server,
                    %error,
                    "a connection for a caller's runtime failed; its requests use the shared one"
                );
            }
        };
        let over = CancellationToken::new();
        let (used, companion, _over) = (AtomicBool::new(true), OnceLock::new(), over.clone().drop_guard());
        self.0.settle(Arc::new(RuntimeConnection { live, deaf, runtime, used, companion, _over }));
        over.cancelled().await;
    }
}

/// The connection failed or is over, the runtime ended, or it cannot have one: without IO the attempt panics.
impl Drop for Tenant {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return self.0.refuse();
        }
        if let Some(connection) = self.0.vacate() {
            connection.live.give_up();
        }
    }
}
