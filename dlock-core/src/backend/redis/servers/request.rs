//! What is sent to a server, and its outcome.

use super::timed::TimedConnection;
use crate::backend::redis::failure::classify;
use crate::backend::redis::script_error::told_by_its_code;
use crate::error::LockError;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, ServerError};
use std::sync::atomic::{AtomicBool, Ordering};

/// A command, or several that travel together.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    Command(&'a Cmd),
    /// Each is carried out by itself. The answer is the list of theirs.
    Pipeline(&'a Pipeline),
    /// All are carried out at once, or none. The answer is the list of theirs, or nothing if a watched key changed.
    Transaction(&'a Transaction),
}

/// The commands of a `MULTI`, which all go to one slot.
#[derive(Default)]
pub(crate) struct Transaction(Vec<Cmd>);

impl Transaction {
    pub(crate) fn with(mut self, command: Cmd) -> Self {
        self.0.push(command);
        self
    }

    /// Written out: what the client library calls atomic has no room for an `ASKING` ahead of the `MULTI`, and hides
    /// the answer of an `EXEC` that was refused.
    fn pipeline(&self, asking: Asking) -> Pipeline {
        let mut pipeline = asking.pipeline();
        pipeline.cmd("MULTI").ignore();
        for command in &self.0 {
            pipeline.add_command(command.clone()).ignore();
        }
        pipeline.cmd("EXEC");
        pipeline
    }

    pub(crate) async fn send<T: FromRedisValue>(
        &self,
        connection: &mut TimedConnection,
        asking: Asking,
    ) -> RedisResult<T> {
        let (answer,) = self.pipeline(asking).query_async(connection).await.map_err(decisive)?;
        Ok(answer)
    }
}

/// Whether a node is asked about a slot that is still on its way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    No,
    Yes,
}

impl Asking {
    /// A pipeline whose first command is let through, or whose `MULTI` is, with all that is in it.
    pub(crate) fn pipeline(self) -> Pipeline {
        let mut pipeline = redis::pipe();
        self.precede(&mut pipeline);
        pipeline
    }

    /// Has the next command let through as well.
    pub(crate) fn precede(self, pipeline: &mut Pipeline) {
        if self == Self::Yes {
            pipeline.cmd("ASKING").ignore();
        }
    }
}

impl Request<'_> {
    pub(super) async fn send<T: FromRedisValue>(self, connection: &mut TimedConnection) -> RedisResult<T> {
        let answer = match self {
            Self::Command(command) => connection.query(command).await,
            Self::Pipeline(pipeline) => pipeline.query_async(connection).await.map_err(decisive),
            Self::Transaction(transaction) => transaction.send(connection, Asking::No).await,
        };
        answer.map_err(told_by_its_code)
    }

    /// The same for a node that the slot is still on its way to. `None` for a pipeline: only the one command right
    /// after an `ASKING` is let through.
    pub(super) fn asking(self) -> Option<Pipeline> {
        match self {
            Self::Command(command) => {
                let mut asking = Asking::Yes.pipeline();
                asking.add_command(command.clone());
                Some(asking)
            }
            Self::Transaction(transaction) => Some(transaction.pipeline(Asking::Yes)),
            Self::Pipeline(_) => None,
        }
    }
}

/// The error that says what became of several commands: of a redirection if there is one, else the first. The client
/// library tells where a slot is only for errors of single commands.
pub(super) fn decisive(cause: RedisError) -> RedisError {
    let errors = cause.clone().into_server_errors().unwrap_or_default();
    let redirects = |error: &ServerError| matches!(error.code(), "MOVED" | "ASK");
    let of_commands = || errors.iter().map(|(_, error)| error);
    let decisive = of_commands().find(|error| redirects(error)).or_else(|| of_commands().next());
    decisive.map_or(cause, of_one_command)
}

fn of_one_command(error: &ServerError) -> RedisError {
    let detail = error.details().map(str::to_owned);
    match error.kind() {
        Some(kind) => (kind.into(), "the server refused a command", detail.unwrap_or_default()).into(),
        None => redis::make_extension_error(error.code().to_owned(), detail),
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

impl<'a> From<&'a Transaction> for Request<'a> {
    fn from(transaction: &'a Transaction) -> Self {
        Self::Transaction(transaction)
    }
}

/// Whether a request was sent more than once so far, over whatever connections. An error of the second copy does not end
/// the doubt about the first.
#[derive(Debug, Default)]
pub(super) struct Copies(AtomicBool);

impl Copies {
    /// Is called before another copy is sent.
    pub(super) fn add(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn are_many(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
    Redis(RedisError),
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

#[cfg(test)]
mod tests {
    use super::*;
    use redis::{Value, cmd, parse_redis_value};

    fn server_error(line: &str) -> Value {
        parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
    }

    fn error(answers: &[&str]) -> RedisError {
        let answers = Value::Array(answers.iter().map(|line| server_error(line)).collect());
        decisive(answers.extract_error().unwrap_err())
    }

    #[test]
    fn an_error_of_one_command_stays_what_it_is() {
        let moved = error(&["MOVED 8691 10.0.0.5:7000"]);
        assert_eq!((moved.code(), moved.redirect_node()), (Some("MOVED"), Some(("10.0.0.5:7000", 8_691))));
        assert_eq!(error(&["DLOCKCORRUPT no token"]).code(), Some("DLOCKCORRUPT"));
        assert_eq!(error(&["NOPERM no right"]).kind(), redis::ServerErrorKind::NoPerm.into());
    }

    #[test]
    fn a_transaction_is_written_out_and_asks_ahead_of_all() {
        let transaction = Transaction::default().with(cmd("TIME"));
        let names = |pipeline: &Pipeline| -> Vec<_> {
            let first = |command: &Cmd| command.args_iter().next().map(|arg| format!("{arg:?}"));
            pipeline.cmd_iter().filter_map(first).collect()
        };
        let simple = |name: &str| format!("Simple({:?})", name.as_bytes());
        let expected = ["MULTI", "TIME", "EXEC"].map(simple);
        assert_eq!(names(&transaction.pipeline(Asking::No)), expected);
        let asking = Request::from(&transaction).asking().unwrap();
        assert_eq!(names(&asking), [vec![simple("ASKING")], expected.to_vec()].concat());
        assert!(Request::from(&redis::pipe()).asking().is_none());
    }
}
