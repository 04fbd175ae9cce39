//! Answers that every backend gives in the same words.

use crate::error::{ErrorKind, LockError};

/// The answer to a try for a lock that is not free.
pub(crate) fn busy() -> LockError {
    LockError::new(ErrorKind::Busy, "another owner has it or waits for it; try again later or wait")
}

/// The answer of a backend that panicked.
pub(crate) fn panicked() -> LockError {
    LockError::new(ErrorKind::Unavailable, "the backend panicked; the panic's own message says where")
}
