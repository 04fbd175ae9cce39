//! Making one connection to one server.

use super::connector::Connector;
use super::request::Request;
use super::sentinel::Sentinels;
use super::timed::TimedConnection;
use crate::backend::redis::failure::{breaks_connection, classify};
use crate::backend::redis::notifications::{Broken, Pushes, Receiver};
use crate::backend::redis::scripts::{self, Script};
use crate::backend::single_attempt::Perishable;
use crate::error::LockError;
use redis::{FromRedisValue, RedisResult};
use std::sync::Arc;
use std::sync::atomic::Ordering;
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
    /// Where what the server sends unasked goes. `None` if the connection is for commands alone.
    pub(crate) pushes: Option<Arc<Pushes>>,
    /// Whether it hears hand-offs.
    pub(crate) listens: bool,
    pub(crate) scripts: &'static [&'static Script],
}

impl Opening {
    /// For a connection beside one that hears what the server sends, and has taught it the scripts.
    pub(super) const COMMANDS: Self = Self { pushes: None, listens: false, scripts: &[] };
}

/// A connection that worked when it was last used.
#[derive(Clone)]
pub(super) struct LiveConnection {
    connection: TimedConnection,
    broken: Broken,
}

impl Perishable for LiveConnection {
    fn is_over(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

impl LiveConnection {
    pub(super) async fn call<T: FromRedisValue>(&mut self, request: Request<'_>) -> RedisResult<T> {
        request.send(&mut self.connection).await.inspect_err(|cause| {
            if breaks_connection(cause) {
                self.broken.store(true, Ordering::Release);
            }
        })
    }

    pub(super) fn broken(&self) -> &Broken {
        &self.broken
    }
}

impl Source {
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
    let Opening { pushes, listens, scripts } = opening;
    let receiver = |broken: &Broken| Some(Receiver { pushes: pushes.clone(), broken: Arc::clone(broken) });
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
    scripts::load(&mut connection, scripts).await.map_err(classify)?;
    // A waiter may have missed a push.
    pushes.iter().for_each(|pushes| pushes.wake_all());
    Ok(LiveConnection { connection, broken })
}
