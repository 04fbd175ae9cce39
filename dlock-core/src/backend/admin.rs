//! What every backend says of locks that are looked at, or taken away, from outside.

use super::contract::{Admin, Backend};
use crate::error::{ErrorKind, LockError};

/// The error of a lock that is to be taken away from a holder that does not have it.
pub(crate) fn not_held_under_it() -> LockError {
    LockError::new(ErrorKind::NotHeld, "no holder of the lock has this token; look again who holds it")
}

/// What `backend` can do beside keeping locks.
///
/// # Errors
/// [`ErrorKind::Unsupported`] if that is nothing.
pub(crate) fn of(backend: &dyn Backend) -> Result<&dyn Admin, LockError> {
    backend.admin().ok_or_else(|| {
        let detail = "the backend does not say who holds its locks; look with the tools of its servers";
        LockError::new(ErrorKind::Unsupported, detail)
    })
}
