//! Why there is no key.

use dlock_core::{ErrorKind, LockError};
use http::request::Parts;
use std::borrow::Cow;
use std::fmt;

/// Why there is no key for a request.
#[derive(Debug)]
pub struct KeyError {
    pub(crate) fault: Fault,
    pub(crate) detail: Cow<'static, str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Client,
    Wiring,
}

impl KeyError {
    /// The request's fault: answered 400. `detail` goes into the log at level debug, not into the answer.
    #[must_use]
    pub fn client(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { fault: Fault::Client, detail: detail.into() }
    }

    /// The program's fault, such as a layer in the wrong place: answered 500. `detail` goes into the log as
    /// a warning, not into the answer.
    #[must_use]
    pub fn wiring(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { fault: Fault::Wiring, detail: detail.into() }
    }

    /// A fault of the program with the route that it is at, if the router tells.
    pub(crate) fn at_route(self, parts: &Parts) -> Self {
        match route(parts) {
            Some(route) if self.fault == Fault::Wiring => {
                Self { detail: format!("{} (route {route})", self.detail).into(), ..self }
            }
            _ => self,
        }
    }

    /// Whether the request, and not the program, is at fault.
    #[must_use]
    pub fn is_client_fault(&self) -> bool {
        self.fault == Fault::Client
    }
}

#[cfg(feature = "axum")]
fn route(parts: &Parts) -> Option<&str> {
    parts.extensions.get::<::axum::extract::MatchedPath>().map(::axum::extract::MatchedPath::as_str)
}

#[cfg(not(feature = "axum"))]
fn route(_: &Parts) -> Option<&str> {
    None
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for KeyError {}

/// An invalid key is the client's fault: it is made of what the client sent. Anything else is the program's.
impl From<LockError> for KeyError {
    fn from(error: LockError) -> Self {
        let fault = if error.kind() == ErrorKind::InvalidKey { Fault::Client } else { Fault::Wiring };
        Self { fault, detail: error.to_string().into() }
    }
}
