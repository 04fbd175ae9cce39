//! The keeper's connection to one server, made anew by itself, and those of callers' runtimes beside it.

use super::live::{LiveConnection, Opening, Source, connect};
use super::per_runtime::{Route, RuntimeConnections};
use super::request::{CallError, Reply, Request};
use crate::backend::redis::failure::met_dead_connection;
use crate::backend::single_attempt::{Make, SingleAttempt};
use crate::error::LockError;
use crate::keeper::Keeper;
use crate::time::Backoff;
use redis::FromRedisValue;
use std::sync::Arc;
use std::time::Duration;

/// Carries requests. One that finds the connection dead has the next one made.
pub(crate) struct Connection {
    source: Arc<Source>,
    attempts: Arc<SingleAttempt<LiveConnection>>,
    /// `None` if all requests go over the keeper's connection.
    of_runtimes: Option<Arc<RuntimeConnections>>,
}

impl Connection {
    pub(crate) fn new(source: Source, opening: Opening) -> Self {
        let source = Arc::new(source);
        let (to, patience) = (Arc::clone(&source), source.patience());
        let make: Make<LiveConnection> =
            Box::new(move |number| Box::pin(connect_or_warn(Arc::clone(&to), opening.clone(), number)));
        let pauses = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
        Self { source, attempts: SingleAttempt::new(make, patience, pauses), of_runtimes: None }
    }

    /// The same with connections of callers' runtimes, `most` at a time.
    pub(crate) fn with_runtimes(mut self, keeper: &'static Keeper, most: usize) -> Self {
        let source = || Arc::clone(&self.source);
        self.of_runtimes = (most > 0).then(|| RuntimeConnections::new(keeper, source(), most));
        self
    }

    /// Where a request of the caller goes.
    pub(super) fn route(&self) -> Route {
        let of_runtimes = self.of_runtimes.as_ref();
        of_runtimes.map_or(Route::Keeper, |of_runtimes| of_runtimes.route(|| self.attempts.live()))
    }

    /// Sends one request. A request that met a dead connection is sent once more over a new one, and from a runtime's own
    /// connection over the keeper's: every request may be carried out twice for one owner (I5).
    pub(crate) async fn call<T: FromRedisValue>(
        &self,
        route: &Route,
        request: Request<'_>,
    ) -> Result<Reply<T>, CallError> {
        let first = match route {
            Route::Keeper => self.call_once(request).await,
            Route::Own(own) => own.call(request).await.map_err(CallError::Redis),
        };
        match (first, route) {
            (Err(CallError::Redis(cause)), _) if met_dead_connection(&cause) => {
                let value = Box::pin(self.call_again(request, route)).await;
                Ok(Reply { value: value.map_err(CallError::of_second_copy)?, repeated: true })
            }
            (outcome, _) => Ok(Reply { value: outcome?, repeated: false }),
        }
    }

    /// The keeper's connection may have died with the runtime's: that one copy more tells.
    async fn call_again<T: FromRedisValue>(
        &self,
        request: Request<'_>,
        before: &Route,
    ) -> Result<T, CallError> {
        match (self.call_once(request).await, before) {
            (Err(CallError::Redis(cause)), Route::Own(_)) if met_dead_connection(&cause) => {
                self.call_once(request).await
            }
            (outcome, _) => outcome,
        }
    }

    async fn call_once<T: FromRedisValue>(&self, request: Request<'_>) -> Result<T, CallError> {
        let mut live = self.get().await.map_err(CallError::Connect)?;
        live.call(request).await.map_err(CallError::Redis)
    }

    /// Makes sure that there is a connection.
    pub(crate) async fn ensure(&self) -> Result<(), LockError> {
        self.get().await.map(drop)
    }

    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    async fn get(&self) -> Result<LiveConnection, LockError> {
        match self.attempts.live() {
            Some(live) => Ok(live),
            None => Box::pin(self.attempts.get()).await,
        }
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
