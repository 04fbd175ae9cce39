//! Releasing in the background, where no caller waits for the answer.

use crate::backend::{Backend, Claim};
use crate::error::{ErrorKind, LockError};
use crate::time::{Backoff, Moment, sleep};
use std::sync::Arc;
use std::time::Duration;
use tracing::field::display;

/// The least time that releases are tried for. A lease that is shorter has ended by itself by then. A backend whose
/// locks end with a session says so in the error, and says when the session is over.
const LEAST_EFFORT: Duration = Duration::from_secs(60);

/// Releases until the backend confirms it, says that it cannot be, or what is left is over anyway.
pub(crate) async fn until_gone(backend: Arc<dyn Backend>, claim: Claim) {
    let give_up = Moment::now().after(effort(&*backend, &claim));
    let mut pauses = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    loop {
        let pause = pauses.next_pause();
        let Err(error) = backend.release(&claim).await else { return };
        match next_step(&error, Moment::now().after(pause) >= give_up) {
            NextStep::Gone => return,
            NextStep::Retry => sleep(pause).await,
            NextStep::GiveUp => {
                let (key, namespace) = (&claim.key, backend.namespace().map(display));
                tracing::warn!(%key, namespace, backend = backend.name(), %error, "release failed; the lease will end it");
                return;
            }
        }
    }
}

/// For how long a release that is not confirmed is repeated.
pub(crate) fn effort(backend: &dyn Backend, claim: &Claim) -> Duration {
    LEAST_EFFORT.max(backend.longest_lease(claim))
}

#[derive(Debug, PartialEq, Eq)]
enum NextStep {
    Gone,
    Retry,
    GiveUp,
}

fn next_step(error: &LockError, out_of_time: bool) -> NextStep {
    match error.kind() {
        ErrorKind::Lost => NextStep::Gone,
        kind if kind.is_retryable() && (!out_of_time || error.outlives_the_lease()) => NextStep::Retry,
        _ => NextStep::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again_and_only_in_time() {
        let error = |kind| LockError::new(kind, "");
        assert_eq!(next_step(&error(ErrorKind::Lost), false), NextStep::Gone);
        assert_eq!(next_step(&error(ErrorKind::Unavailable), false), NextStep::Retry);
        assert_eq!(next_step(&error(ErrorKind::Unavailable), true), NextStep::GiveUp);
        assert_eq!(next_step(&error(ErrorKind::Auth), false), NextStep::GiveUp);
        let session_bound = |kind| error(kind).until_told_gone();
        assert_eq!(next_step(&session_bound(ErrorKind::Unavailable), true), NextStep::Retry);
        assert_eq!(next_step(&session_bound(ErrorKind::Lost), true), NextStep::Gone);
        assert_eq!(next_step(&session_bound(ErrorKind::Auth), true), NextStep::GiveUp);
    }
}
