//! Where requests go: one server, the primary that sentinels name, or the nodes of a cluster.

mod address;
mod cluster;
mod connection;
mod connector;
mod exclusive;
mod listener;
mod sentinel;
mod slots;

use super::failure::{classify, is_passing};
use crate::error::LockError;
use crate::time::{Moment, backoff, sleep};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult};
use std::time::Duration;

pub(super) use address::ServersUrl;
pub(super) use cluster::Cluster;
pub(super) use connection::{Connection, Opening, Source};
pub(super) use connector::{Connector, Limits};
pub(super) use exclusive::{Exclusive, Job};
pub(super) use sentinel::Sentinels;
pub(super) use slots::{hash_tag, slot, tag_in_slot};

/// The servers that keep the locks of one backend value.
pub(super) enum Servers {
    One(Connection),
    Cluster(Box<Cluster>),
}

impl Servers {
    /// Sends a request to the server that keeps `key`, and again while that server answers that it cannot for
    /// the moment, for no longer than `limit`.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        key: &[u8],
        request: impl Into<Request<'_>>,
        limit: Duration,
    ) -> Result<Reply<T>, CallError> {
        let (request, give_up) = (request.into(), Moment::now().after(limit));
        let mut pauses = backoff(Duration::from_millis(5), Duration::from_millis(100));
        loop {
            match self.call_now(key, request).await {
                Err(CallError::Redis(cause)) if is_passing(&cause) && Moment::now() < give_up => {
                    Box::pin(sleep(pauses.next().unwrap_or_default())).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn call_now<T: FromRedisValue>(
        &self,
        key: &[u8],
        request: Request<'_>,
    ) -> Result<Reply<T>, CallError> {
        match self {
            Self::One(connection) => connection.call(request).await,
            Self::Cluster(cluster) => Box::pin(cluster.call(slot(key), request)).await,
        }
    }

    /// Makes sure that the servers can be reached.
    pub(super) async fn ensure(&self) -> Result<(), LockError> {
        match self {
            Self::One(connection) => connection.ensure().await,
            Self::Cluster(cluster) => cluster.ensure().await,
        }
    }

    /// Whether the server that keeps `key` can tell us of a hand-off of it.
    pub(super) fn hears(&self, key: &[u8]) -> bool {
        match self {
            Self::One(_) => true,
            Self::Cluster(cluster) => cluster.hears(slot(key)),
        }
    }

    /// Makes sure that it can.
    pub(super) async fn listen(&self, key: &[u8]) -> Result<(), LockError> {
        match self {
            Self::One(_) => Ok(()),
            Self::Cluster(cluster) => cluster.listen(slot(key)).await,
        }
    }

    /// What the channel of a hand-off of `key` begins with, if it is not the channel of every key.
    pub(super) fn channel_prefix(&self, key: &[u8]) -> Option<String> {
        match self {
            Self::One(_) => None,
            Self::Cluster(_) => Some(listener::channel_prefix(slot(key))),
        }
    }

    /// Sends a request to each server once.
    pub(super) async fn call_each<T: FromRedisValue>(&self, request: &Cmd) -> Result<Vec<T>, LockError> {
        match self {
            Self::One(connection) => Ok(vec![connection.call(request.into()).await?.value]),
            Self::Cluster(cluster) => cluster.call_each(request.into()).await,
        }
    }
}

/// A command, or several that travel together.
#[derive(Clone, Copy)]
pub(super) enum Request<'a> {
    Command(&'a Cmd),
    Pipeline(&'a Pipeline),
}

impl Request<'_> {
    async fn send<T: FromRedisValue>(self, connection: &mut MultiplexedConnection) -> RedisResult<T> {
        match self {
            Self::Command(command) => command.query_async(connection).await,
            Self::Pipeline(pipeline) => pipeline.query_async(connection).await,
        }
    }
}

impl<'a> From<&'a Cmd> for Request<'a> {
    fn from(command: &'a Cmd) -> Self {
        Self::Command(command)
    }
}

impl<'a> From<&'a Pipeline> for Request<'a> {
    fn from(pipeline: &'a Pipeline) -> Self {
        Self::Pipeline(pipeline)
    }
}

/// The answer to a request.
pub(super) struct Reply<T> {
    pub(super) value: T,
    /// Whether it was sent twice. Then the first copy may still be under way.
    pub(super) repeated: bool,
}

/// Why a call failed.
pub(super) enum CallError {
    /// No connection could be made.
    Connect(LockError),
    /// The connection or the server failed the request.
    Redis(redis::RedisError),
}

impl From<CallError> for LockError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Connect(error) => error,
            CallError::Redis(cause) => classify(cause),
        }
    }
}
