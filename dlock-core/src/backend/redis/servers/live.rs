//! Making one connection to one server.

use super::connector::Connector;
use super::heartbeat::Heartbeat;
use super::request::{Request, decisive};
use super::sentinel::Sentinels;
use super::timed::TimedConnection;
use crate::backend::redis::failure::{breaks_connection, classify};
use crate::backend::redis::notifications::{Broken, Pushes, Receiver};
use crate::backend::redis::scripts::{self, Script};
use crate::backend::single_attempt::Perishable;
use crate::error::LockError;
use crate::keeper::Keeper;
use crate::time::Moment;
use redis::{FromRedisValue, RedisResult};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
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
    /// Takes what the server sends unasked. `None` if the connection is for commands alone.
    pub(crate) pushes: Option<Arc<Pushes>>,
    /// Whether it hears hand-offs.
    pub(crate) listens: bool,
    pub(crate) scripts: &'static [&'static Script],
    /// Whether the keeper's connection, which this one stands beside, has failed. `None` for the keeper's own.
    pub(crate) beside: Option<Broken>,
}

impl Opening {
    /// For a connection of the keeper that carries commands, and receives no pushes.
    #[cfg(test)]
    pub(super) const COMMANDS: Self = Self { pushes: None, listens: false, scripts: &[], beside: None };

    /// For a connection of a caller's runtime beside one of the keeper, which has taught the server the scripts.
    pub(super) fn beside(&self, keepers: &Broken) -> Self {
        Self { scripts: &[], beside: Some(Arc::clone(keepers)), ..self.clone() }
    }
}

/// A connection that worked when it was last used.
#[derive(Clone)]
pub(super) struct LiveConnection {
    connection: TimedConnection,
    life: Arc<ConnectionLife>,
}

struct ConnectionLife {
    broken: Broken,
    answered: LastAnswer,
    /// Ends with the connection.
    heartbeat: OnceLock<Heartbeat>,
}

/// When a request was answered last. Pings do not count: a connection can be forgotten right after one.
struct LastAnswer(AtomicU64);

impl LastAnswer {
    fn now() -> Self {
        Self(AtomicU64::new(Moment::now().as_nanos()))
    }

    fn note(&self, answered: Moment) {
        self.0.store(answered.as_nanos(), Ordering::Relaxed);
    }

    fn age(&self) -> Duration {
        Moment::now().since(Moment::from_nanos(self.0.load(Ordering::Relaxed)))
    }
}

/// After this long without an answer, a balancer or a firewall may have forgotten the connection. Then requests get lost on
/// the way, without an error.
pub(super) const IDLE: Duration = Duration::from_secs(60);

impl Perishable for LiveConnection {
    fn is_over(&self) -> bool {
        self.life.broken.load(Ordering::Acquire)
    }
}

impl LiveConnection {
    fn new(connection: TimedConnection, broken: Broken) -> Self {
        let life = ConnectionLife { broken, answered: LastAnswer::now(), heartbeat: OnceLock::new() };
        Self { connection, life: Arc::new(life) }
    }

    pub(super) async fn call<T: FromRedisValue>(&mut self, request: Request<'_>) -> RedisResult<T> {
        let outcome = request.send(&mut self.connection).await;
        match &outcome {
            Err(cause) if breaks_connection(cause) => self.give_up(),
            _ => self.life.answered.note(Moment::now()),
        }
        outcome
    }

    /// Makes the keeper find out when the server can no longer be reached.
    fn look_after(&self, pushes: &Arc<Pushes>) -> Result<(), LockError> {
        let heartbeat = Heartbeat::start(Keeper::here()?, &self.connection, self.broken(), pushes);
        let _ = self.life.heartbeat.set(heartbeat);
        Ok(())
    }

    /// Has the next request go over a new connection.
    pub(super) fn give_up(&self) {
        self.life.broken.store(true, Ordering::Release);
    }

    /// Whether the server has not answered for so long that the connection may lead nowhere.
    pub(super) fn has_idled(&self) -> bool {
        self.life.answered.age() > IDLE
    }

    /// How long the server may take for an answer.
    pub(super) fn limit(&self) -> Duration {
        self.connection.limit()
    }

    pub(super) fn broken(&self) -> &Broken {
        &self.life.broken
    }

    /// Makes the last answer as old as that.
    #[cfg(test)]
    pub(super) fn idle_for(&self, span: Duration) {
        self.life.answered.note(Moment::now().before(span));
    }
}

impl Source {
    /// What to call the server, or those that know where it is.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Fixed(connector) => connector.server(),
            Self::Sentinels(sentinels) => sentinels.name(),
        }
    }

    /// How long an attempt to connect may take, and some more.
    pub(super) fn patience(&self) -> Duration {
        let (limits, servers) = match self {
            Self::Fixed(connector) => (connector.limits, 1),
            Self::Sentinels(sentinels) => (sentinels.limits(), 1 + sentinels.count()),
        };
        // A connect, and at most four requests, at each server.
        let each = limits.connect.saturating_add(limits.request.saturating_mul(4));
        each.saturating_mul(u32::try_from(servers).unwrap_or(u32::MAX)).saturating_mul(2)
    }
}

/// A new connection that listens before it carries a command, and knows the scripts. Its task is one of the runtime that
/// this is called in.
pub(super) async fn connect(source: &Source, opening: &Opening) -> Result<LiveConnection, LockError> {
    let Opening { pushes, listens, scripts, beside } = opening;
    let receiver = |broken: &Broken| {
        Some(Receiver { pushes: pushes.clone(), broken: Arc::clone(broken), beside: beside.clone() })
    };
    let (mut connection, broken) = match source {
        Source::Fixed(connector) => {
            let broken = Broken::default();
            (connector.connect(receiver(&broken)).await?, broken)
        }
        Source::Sentinels(sentinels) => {
            sentinels.connect_to_primary(receiver, sentinels.limits().request).await?
        }
    };
    if let (Some(pushes), true) = (pushes, listens) {
        connection.subscribe(&pushes.naming.channel(pushes.inbox)).await.map_err(classify)?;
    }
    scripts::load(&mut connection, scripts).await.map_err(|cause| classify(decisive(cause)))?;
    let live = LiveConnection::new(connection, broken);
    if let (Some(pushes), None) = (pushes, beside) {
        // A waiter may have missed a push.
        pushes.wake_all();
        if *listens {
            live.look_after(pushes)?;
        }
    }
    Ok(live)
}
