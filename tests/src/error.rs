//! What can go wrong in the harness, and the one place where that ends a test.

use std::fmt::Display;
use std::io;

/// Why the harness could not do what a test asked.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// A program or file is not installed; the text says how to install it.
    #[error("{0}")]
    Missing(String),
    /// The operating system or the connection to a server refused.
    #[error("could not {action}: {source}")]
    Io {
        /// What was tried, as in "could not …".
        action: String,
        /// The refusal.
        source: io::Error,
    },
    /// A server ended, or did not get ready in time.
    #[error("{server} {trouble}; the end of its log:\n{log}")]
    NotServing {
        /// The server's name and place.
        server: String,
        /// What it did instead of serving.
        trouble: String,
        /// Whether it found one of its ports taken, so that other ports may do.
        address_in_use: bool,
        /// The last lines it logged.
        log: String,
    },
    /// A client of another language did not do as it was told.
    #[error("{client} {trouble}; what was said:\n{said}\nits log:\n{log}")]
    ForeignClient {
        /// The client's name.
        client: &'static str,
        /// What it did instead.
        trouble: String,
        /// Orders and answers, a line each.
        said: String,
        /// What it logged.
        log: String,
    },
    /// A server answered a command with an error; the text is the server's.
    #[error("{0}")]
    Reply(String),
}

impl HarnessError {
    pub(crate) fn is_address_in_use(&self) -> bool {
        matches!(self, Self::NotServing { address_in_use: true, .. })
    }
}

/// Ends the test, for the things a test cannot go on without.
pub(crate) trait OrFail<T> {
    /// The value; without one, a panic at the caller's line.
    #[track_caller]
    fn or_fail(self) -> T;
}

impl<T> OrFail<T> for Result<T, HarnessError> {
    fn or_fail(self) -> T {
        match self {
            Ok(value) => value,
            Err(error) => fail(&error),
        }
    }
}

/// Names what was tried when the operating system refused it.
pub(crate) trait Doing<T> {
    /// The same result, with an error that reads "could not `action`: …".
    fn doing(self, action: impl Into<String>) -> Result<T, HarnessError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, action: impl Into<String>) -> Result<T, HarnessError> {
        self.map_err(|source| HarnessError::Io { action: action.into(), source })
    }
}

#[track_caller]
#[allow(clippy::panic, reason = "a harness that fails must fail the test loudly; this is the only place")]
pub(crate) fn fail(message: &dyn Display) -> ! {
    panic!("{message}")
}
