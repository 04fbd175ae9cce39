//! A connection on which every request has a limit.
//!
//! The client library's own limit is a timer of the caller's runtime, which may have no timers. These limits are the
//! keeper's timers.

use crate::keeper::Keeper;
use crate::time::{KeeperTimer, before};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// A connection of the client library, and its task if the library does not look after that.
pub(super) type Opened = (MultiplexedConnection, Option<Arc<AbortOnDropHandle<()>>>);

/// A connection to one server. Its requests need no runtime of the caller.
#[derive(Clone)]
pub(crate) struct TimedConnection {
    connection: MultiplexedConnection,
    keeper: &'static Keeper,
    /// How long the server may take for an answer.
    limit: Duration,
    /// Ends with the last clone. `None` if the client library sees to that.
    _task: Option<Arc<AbortOnDropHandle<()>>>,
}

impl TimedConnection {
    pub(super) fn new((connection, task): Opened, keeper: &'static Keeper, limit: Duration) -> Self {
        Self { connection, keeper, limit, _task: task }
    }

    /// How long the server may take for an answer.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// The answer to one command. The client library does not send a command whose caller is gone before the task of the
    /// connection takes it.
    pub(super) async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        command.query_async(self).await
    }

    pub(super) async fn subscribe(&mut self, channel: &str) -> RedisResult<()> {
        in_time(self.keeper, self.limit, self.connection.subscribe(channel)).await
    }
}

impl ConnectionLike for TimedConnection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(in_time(self.keeper, self.limit, self.connection.send_packed_command(command)))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(in_time(
            self.keeper,
            self.limit,
            self.connection.send_packed_commands(pipeline, offset, count),
        ))
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

/// The outcome within `limit`. After that it is the error that the client library has for its own limit.
pub(super) async fn in_time<T>(
    keeper: &'static Keeper,
    limit: Duration,
    request: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    before(KeeperTimer::new(keeper, limit), request).await.unwrap_or_else(|| Err(timed_out()))
}

pub(super) fn timed_out() -> RedisError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::redis::failure::{breaks_connection, classify, met_dead_connection};
    use crate::error::ErrorKind;

    #[test]
    fn a_request_that_takes_too_long_breaks_its_connection_and_is_not_sent_again() {
        let cause = timed_out();
        assert!(cause.is_timeout() && breaks_connection(&cause));
        assert!(!met_dead_connection(&cause), "it may have been carried out");
        assert_eq!(classify(cause).kind(), ErrorKind::Unavailable);
    }
}
