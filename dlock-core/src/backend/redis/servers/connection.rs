//! One connection to one server, made anew by itself.

use super::connector::Connector;
use super::request::{CallError, Reply, Request};
use super::sentinel::Sentinels;
use crate::backend::redis::failure::{breaks_connection, classify, met_dead_connection};
use crate::backend::redis::notifications::{Pushes, Receiver};
use crate::backend::redis::scripts::{self, Script};
use crate::backend::single_attempt::{Make, Perishable, SingleAttempt};
use crate::error::LockError;
use crate::time::Backoff;
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

/// Carries requests. One that finds the connection dead has the next one made.
pub(crate) struct Connection {
    source: Arc<Source>,
    attempts: Arc<SingleAttempt<LiveConnection>>,
}

/// A connection that worked when it was last used.
#[derive(Clone)]
struct LiveConnection {
    connection: MultiplexedConnection,
    broken: Arc<AtomicBool>,
}

impl Perishable for LiveConnection {
    fn is_over(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

impl Connection {
    pub(crate) fn new(source: Source, opening: Opening) -> Self {
        let source = Arc::new(source);
        let (to, patience) = (Arc::clone(&source), source.patience());
        let make: Make<LiveConnection> =
            Box::new(move |number| Box::pin(connect_or_warn(Arc::clone(&to), opening.clone(), number)));
        let pauses = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
        Self { source, attempts: SingleAttempt::new(make, patience, pauses) }
    }

    /// Sends one request. A request that met a dead connection is sent once more over a new one: every
    /// request may be carried out twice for one owner (I5).
    pub(crate) async fn call<T: FromRedisValue>(&self, request: Request<'_>) -> Result<Reply<T>, CallError> {
        match self.call_once(request).await {
            Err(CallError::Redis(cause)) if met_dead_connection(&cause) => {
                let value = Box::pin(self.call_once(request)).await.map_err(CallError::of_second_copy)?;
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
        match self.attempts.live() {
            Some(live) => Ok(live),
            None => Box::pin(self.attempts.get()).await,
        }
    }
}

impl Source {
    /// How long an attempt to connect may take, and some more.
    fn patience(&self) -> Duration {
        let (limits, servers) = match self {
            Self::Fixed(connector) => (connector.limits, 1),
            Self::Sentinels(sentinels) => (sentinels.limits(), 1 + sentinels.count()),
        };
        // A connect, and at most four requests, at each server.
        let each = limits.connect.saturating_add(limits.request.saturating_mul(4));
        each.saturating_mul(u32::try_from(servers).unwrap_or(u32::MAX)).saturating_mul(2)
    }
}

async fn connect_or_warn(
    source: Arc<Source>,
    opening: Opening,
    number: u64,
) -> Result<LiveConnection, LockError> {
    let connected = connect(&source, &opening).await;
    match &connected {
        Ok(_) if number > 1 => tracing::info!(backend = "redis", "reconnected"),
        Ok(_) => {}
        Err(error) => tracing::warn!(backend = "redis", %error, "connecting failed"),
    }
    connected
}

/// A new connection that listens before it carries a command, and knows the scripts.
async fn connect(source: &Source, opening: &Opening) -> Result<LiveConnection, LockError> {
    let broken = Arc::new(AtomicBool::new(false));
    let Opening { pushes, listens, scripts } = opening;
    let receiver = Receiver { pushes: Arc::clone(pushes), broken: Arc::clone(&broken) };
    let mut connection = match source {
        Source::Fixed(connector) => connector.connect(Some(receiver)).await?,
        Source::Sentinels(sentinels) => {
            sentinels.connect_to_primary(Some(receiver), sentinels.limits().request).await?
        }
    };
    if *listens {
        connection.subscribe(pushes.inbox.channel()).await.map_err(classify)?;
    }
    scripts::load(&mut connection, scripts).await.map_err(classify)?;
    // A waiter may have missed a push.
    pushes.wake_all();
    Ok(LiveConnection { connection, broken })
}
