//! Answers that every backend gives in the same words.

use super::contract::{Backend, BackendFuture};
use super::grant::Grant;
use crate::error::{ErrorKind, LockError};
use crate::guarantees::Guarantees;

/// The answer to a try for a lock that is not free.
pub(crate) fn busy() -> LockError {
    LockError::new(ErrorKind::Busy, "another owner has it or waits for it; try again later or wait")
}

/// The answer of a backend that panicked.
pub(crate) fn panicked() -> LockError {
    LockError::new(ErrorKind::Unavailable, "the backend panicked; the panic's own message says where")
}

/// # Errors
/// `Unsupported` if `backend` does not promise all of these.
pub(crate) fn promised(backend: &dyn Backend, required: Guarantees) -> Result<(), LockError> {
    match required - backend.guarantees() {
        missing if missing.is_empty() => Ok(()),
        missing => Err(LockError::missing(missing, backend.name())),
    }
}

/// What a backend without [`Guarantees::SHARES`] answers to [`Backend::exchange`].
pub fn without_shares<'a>(backend: &'static str) -> BackendFuture<'a, Grant> {
    Box::pin(std::future::ready(Err(LockError::missing(Guarantees::SHARES, backend))))
}
