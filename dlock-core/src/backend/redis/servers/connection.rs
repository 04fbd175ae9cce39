//! One connection to one server, made anew by itself.

use super::connector::Connector;
use super::request::{CallError, Reply, Request};
use super::sentinel::Sentinels;
use crate::backend::redis::failure::{breaks_connection, classify, met_dead_connection};
use crate::backend::redis::notifications::{Pushes, Receiver};
use crate::backend::redis::scripts::{self, Script};
use crate::error::{ErrorKind, LockError};
use crate::time::{Moment, backoff};
use parking_lot::Mutex;
use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Where the server is.
pub(crate) enum Source {
    Fixed(Box<Connector>),
    /// Where the sentinels say that the primary is, at the time of connecting.
    Sentinels(Box<Sentinels>),
}

/// What a connection does before it carries its first command.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) pushes: Arc<Pushes>,
    /// Whether it hears hand-offs.
    pub(crate) listens: bool,
    pub(crate) scripts: &'static [&'static Script],
}

/// Carries requests. Whoever finds the connection dead makes the next one.
pub(crate) struct Connection {
    source: Source,
    opening: Opening,
    live: Mutex<Option<LiveConnection>>,
    connecting: tokio::sync::Mutex<Pause>,
}

/// A connection that worked when it was last used.
#[derive(Clone)]
struct LiveConnection {
    connection: MultiplexedConnection,
    broken: Arc<AtomicBool>,
}

impl Connection {
    pub(crate) fn new(source: Source, opening: Opening) -> Self {
        Self { source, opening, live: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    /// Sends one request. A request that met a dead connection is sent once more over a new one: every
    /// request may be carried out twice for one owner (I5).
    pub(crate) async fn call<T: FromRedisValue>(&self, request: Request<'_>) -> Result<Reply<T>, CallError> {
        match self.call_once(request).await {
            Err(CallError::Redis(cause)) if met_dead_connection(&cause) => {
                let value = Box::pin(self.call_once(request)).await?;
                Ok(Reply { value, repeated: true })
            }
            outcome => Ok(Reply { value: outcome?, repeated: false }),
        }
    }

    async fn call_once<T: FromRedisValue>(&self, request: Request<'_>) -> Result<T, CallError> {
        let mut live = self.get().await.map_err(CallError::Connect)?;
        request.send(&mut live.connection).await.map_err(|cause| {
            if breaks_connection(&cause) {
                live.broken.store(true, Ordering::Release);
            }
            CallError::Redis(cause)
        })
    }

    /// Makes sure that there is a connection.
    pub(crate) async fn ensure(&self) -> Result<(), LockError> {
        self.get().await.map(drop)
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    async fn get(&self) -> Result<LiveConnection, LockError> {
        match self.working() {
            Some(live) => Ok(live),
            None => Box::pin(self.reconnect()).await,
        }
    }

    fn working(&self) -> Option<LiveConnection> {
        self.live.lock().clone().filter(|live| !live.broken.load(Ordering::Acquire))
    }

    /// One attempt for all who wait for it, none before the pause after the last failure is over.
    async fn reconnect(&self) -> Result<LiveConnection, LockError> {
        let mut pause = self.connecting.lock().await;
        if let Some(live) = self.working() {
            return Ok(live);
        }
        pause.check()?;
        let again = self.live.lock().is_some();
        match self.connect().await {
            Ok(live) => {
                *self.live.lock() = Some(live.clone());
                pause.over();
                if again {
                    tracing::info!(backend = "redis", "reconnected");
                }
                Ok(live)
            }
            Err(error) => {
                tracing::warn!(backend = "redis", %error, "connecting failed");
                pause.begin(error.kind());
                Err(error)
            }
        }
    }

    /// A new connection that listens before it carries a command, and knows the scripts.
    async fn connect(&self) -> Result<LiveConnection, LockError> {
        let broken = Arc::new(AtomicBool::new(false));
        let Opening { pushes, listens, scripts } = &self.opening;
        let receiver = Receiver { pushes: Arc::clone(pushes), broken: Arc::clone(&broken) };
        let mut connection = match &self.source {
            Source::Fixed(connector) => connector.connect(Some(receiver)).await?,
            Source::Sentinels(sentinels) => {
                sentinels.connect_to_primary(Some(receiver), sentinels.limit()).await?
            }
        };
        if *listens {
            connection.subscribe(pushes.inbox.channel()).await.map_err(classify)?;
        }
        scripts::load(&mut connection, scripts).await.map_err(classify)?;
        // Whoever waits may have missed a push.
        pushes.wake_all();
        Ok(LiveConnection { connection, broken })
    }
}

/// The pause after attempts that failed, longer with each.
struct Pause {
    lengths: Box<dyn Iterator<Item = Duration> + Send>,
    until: Moment,
    /// What the last failure was.
    kind: ErrorKind,
}

impl Default for Pause {
    fn default() -> Self {
        let lengths = backoff(Duration::from_millis(20), Duration::from_secs(1));
        Self { lengths: Box::new(lengths), until: Moment::START, kind: ErrorKind::Unavailable }
    }
}

impl Pause {
    fn check(&self) -> Result<(), LockError> {
        if Moment::now() >= self.until {
            return Ok(());
        }
        Err(LockError::new(self.kind, "connecting failed a moment ago; see the log for why"))
    }

    fn begin(&mut self, kind: ErrorKind) {
        self.kind = kind;
        self.until = Moment::now().after(self.lengths.next().unwrap_or_default());
    }

    fn over(&mut self) {
        *self = Self::default();
    }
}
