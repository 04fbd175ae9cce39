//! One server, or a cluster: where a request goes.

use super::cluster::Cluster;
use super::connection::Connection;
use super::per_runtime::Route;
use super::request::{CallError, Copies, Reply, Request};
use super::slots::slot;
use crate::backend::redis::failure::is_passing;
use crate::backend::redis::scripts::Script;
use crate::error::LockError;
use crate::time::{Backoff, Moment, sleep};
use redis::{Cmd, FromRedisValue, ServerErrorKind};
use std::sync::Arc;
use std::time::Duration;

/// The servers that keep the locks of one backend value.
pub(crate) enum Servers {
    One(Connection),
    Cluster(Arc<Cluster>),
}

impl Servers {
    /// The connection for the caller's next request. Requests to a cluster always go over the keeper's.
    pub(crate) fn route(&self) -> Route {
        match self {
            Self::One(connection) => connection.route(),
            Self::Cluster(_) => Route::Keeper,
        }
    }

    /// Sends a request to the server that keeps `key`, over the keeper's connection. While the server answers "not
    /// now", it is sent again, for no longer than `limit`.
    pub(crate) async fn call<T: FromRedisValue>(
        &self,
        key: &[u8],
        request: impl Into<Request<'_>>,
        limit: Duration,
    ) -> Result<Reply<T>, CallError> {
        let copies = Copies::default();
        let value = self.call_over(&Route::Keeper, key, request.into(), limit, &copies).await?;
        Ok(Reply { value, repeated: copies.are_many() })
    }

    async fn call_over<T: FromRedisValue>(
        &self,
        route: &Route,
        key: &[u8],
        request: Request<'_>,
        limit: Duration,
        copies: &Copies,
    ) -> Result<T, CallError> {
        let give_up = Moment::now().after(limit);
        let mut pauses = Backoff::new(Duration::from_millis(5), Duration::from_millis(100));
        let mut outcome = self.call_now(route, key, request, copies).await;
        loop {
            match outcome {
                Err(CallError::Redis(cause)) if is_passing(&cause) && Moment::now() < give_up => {
                    Box::pin(sleep(pauses.next_pause())).await;
                }
                outcome => return outcome,
            }
            outcome = self.call_now(route, key, request, copies).await.map_err(CallError::of_second_copy);
        }
    }

    async fn call_now<T: FromRedisValue>(
        &self,
        route: &Route,
        key: &[u8],
        request: Request<'_>,
        copies: &Copies,
    ) -> Result<T, CallError> {
        match self {
            Self::One(connection) => connection.call(route, request, copies).await,
            Self::Cluster(cluster) => Box::pin(cluster.call(slot(key), request, copies)).await,
        }
    }

    /// Runs a script by its hash, and once by its text if the server does not know it.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        route: &Route,
        limit: Duration,
        script: &Script,
        keys: &[&[u8]],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Reply<T>, CallError> {
        let with_arguments = |mut command: Cmd| {
            arguments(&mut command);
            command
        };
        let (lock, copies) = (keys.first().copied().unwrap_or_default(), Copies::default());
        let by_hash = with_arguments(script.by_hash(keys));
        let value = match self.call_over(route, lock, (&by_hash).into(), limit, &copies).await {
            Err(CallError::Redis(cause)) if cause.kind() == ServerErrorKind::NoScript.into() => {
                let by_text = with_arguments(script.by_text(keys));
                let again = Box::pin(self.call_over(route, lock, (&by_text).into(), limit, &copies)).await;
                again.map_err(CallError::of_second_copy)?
            }
            outcome => outcome?,
        };
        Ok(Reply { value, repeated: copies.are_many() })
    }

    /// How long it may take to find the servers and send some requests, with a margin. `limit` is that of a request.
    pub(crate) fn patience(&self, limit: Duration) -> Duration {
        let finding = match self {
            Self::One(connection) => connection.source().patience(),
            Self::Cluster(cluster) => cluster.patience(),
        };
        finding.saturating_add(limit.saturating_mul(8))
    }

    /// Makes sure that the servers can be reached.
    pub(crate) async fn ensure(&self) -> Result<(), LockError> {
        match self {
            Self::One(connection) => connection.ensure().await,
            Self::Cluster(cluster) => cluster.ensure().await,
        }
    }

    /// Whether the server that keeps `key` can tell us of a hand-off of it.
    pub(crate) fn hears(&self, key: &[u8]) -> bool {
        match self {
            Self::One(_) => true,
            Self::Cluster(cluster) => cluster.hears(slot(key)),
        }
    }

    /// Makes sure that it can.
    pub(crate) async fn listen(&self, key: &[u8]) -> Result<(), LockError> {
        match self {
            Self::One(_) => Ok(()),
            Self::Cluster(cluster) => cluster.listen(slot(key)).await,
        }
    }

    /// What the channel of a hand-off of `key` begins with, if it is not the channel of every key.
    pub(crate) fn channel_prefix(&self, key: &[u8]) -> Option<String> {
        match self {
            Self::One(_) => None,
            Self::Cluster(cluster) => Some(cluster.channel_prefix(slot(key))),
        }
    }

    /// A slot of the first server of a walk over all primaries.
    pub(crate) async fn first_primary(&self) -> Result<u16, LockError> {
        match self {
            Self::One(_) => Ok(0),
            Self::Cluster(cluster) => cluster.first_primary().await,
        }
    }

    /// A slot of the next one: of the first whose server has no earlier slot.
    pub(crate) fn next_primary(&self, slot: u16) -> Option<u16> {
        match self {
            Self::One(_) => None,
            Self::Cluster(cluster) => cluster.next_primary(slot),
        }
    }

    /// Sends a request to each server once.
    pub(crate) async fn call_each<T: FromRedisValue>(&self, request: &Cmd) -> Result<Vec<T>, LockError> {
        match self {
            Self::One(connection) => {
                Ok(vec![connection.call(&Route::Keeper, request.into(), &Copies::default()).await?])
            }
            Self::Cluster(cluster) => cluster.call_each(request.into()).await,
        }
    }
}
