//! What is sent to a server, and what comes of it.

use crate::backend::redis::failure::classify;
use crate::error::LockError;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult};

/// A command, or several that travel together.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    Command(&'a Cmd),
    Pipeline(&'a Pipeline),
}

impl Request<'_> {
    pub(super) async fn send<T: FromRedisValue>(
        self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<T> {
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
pub(crate) struct Reply<T> {
    pub(crate) value: T,
    /// Whether it was sent twice. Then the first copy may still be under way.
    pub(crate) repeated: bool,
}

/// Why a call failed.
pub(crate) enum CallError {
    /// No connection could be made, so nothing was sent.
    Connect(LockError),
    /// Something else failed, after the request may have been sent.
    Failed(LockError),
    /// The connection or the server failed the request.
    Redis(redis::RedisError),
}

impl CallError {
    /// The same for a request of which a copy was sent before, whatever came of it.
    pub(super) fn of_second_copy(self) -> Self {
        match self {
            Self::Connect(error) => Self::Failed(error),
            other => other,
        }
    }
}

impl From<CallError> for LockError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Connect(error) => error.unsent(),
            CallError::Failed(error) => error.after_a_request(),
            CallError::Redis(cause) => classify(cause),
        }
    }
}
