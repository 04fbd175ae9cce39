//! Making an owner leave, in the background, when nobody waits for the answer.

use crate::backend::{Backend, Claim};
use crate::error::{ErrorKind, LockError};
use crate::time::{Moment, backoff, sleep};
use std::sync::Arc;
use std::time::Duration;

/// The least time that releases are tried for. A lease that is shorter has ended by itself by then; a
/// session-bound one ends with its session.
const LEAST_EFFORT: Duration = Duration::from_secs(60);

/// Releases until the backend confirms it, says that it cannot be, or the lease is over anyway.
pub(crate) async fn until_gone(backend: Arc<dyn Backend>, claim: Claim) {
    let give_up = Moment::now().after(LEAST_EFFORT.max(claim.ttl.as_duration()));
    for pause in backoff(Duration::from_millis(50), Duration::from_secs(5)) {
        let Err(error) = backend.release(&claim).await else { return };
        match verdict(&error, Moment::now().after(pause) >= give_up) {
            Verdict::Gone => return,
            Verdict::Retry => sleep(pause).await,
            Verdict::GiveUp => {
                let key = &claim.key;
                tracing::warn!(%key, backend = backend.name(), %error, "release failed; the lease will end it");
                return;
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Gone,
    Retry,
    GiveUp,
}

fn verdict(error: &LockError, out_of_time: bool) -> Verdict {
    match error.kind() {
        ErrorKind::Lost => Verdict::Gone,
        kind if kind.is_retryable() && !out_of_time => Verdict::Retry,
        _ => Verdict::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again_and_only_in_time() {
        let error = |kind| LockError::new(kind, "");
        assert_eq!(verdict(&error(ErrorKind::Lost), false), Verdict::Gone);
        assert_eq!(verdict(&error(ErrorKind::Unavailable), false), Verdict::Retry);
        assert_eq!(verdict(&error(ErrorKind::Unavailable), true), Verdict::GiveUp);
        assert_eq!(verdict(&error(ErrorKind::Auth), false), Verdict::GiveUp);
    }
}
