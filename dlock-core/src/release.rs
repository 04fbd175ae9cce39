//! Making an owner leave, in the background, when nobody waits for the answer.

use crate::backend::{Backend, Claim};
use crate::error::{ErrorKind, LockError};
use crate::time::{Moment, backoff, sleep};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::Handle;

/// The least time that releases are tried for. A lease that is shorter has ended by itself by then; a
/// session-bound one ends with its session.
const LEAST_EFFORT: Duration = Duration::from_secs(60);

/// Releases without waiting, and says whether that was all there is to do. A backend outside of this process has
/// to be waited for; one inside can answer at once, which spares a task. Never outside of a runtime, since a
/// backend's release may want one where a drop may not (I9).
pub(crate) fn at_once(backend: &dyn Backend, claim: &Claim) -> bool {
    if !backend.is_local() || Handle::try_current().is_err() {
        return false;
    }
    match backend.release(claim).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => true,
        Poll::Ready(Err(error)) => verdict(&error, false) == Verdict::Gone,
        // What it has begun is repeated by the task that waits for it.
        Poll::Pending => false,
    }
}

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

    fn held(backend: &crate::EmbeddedBackend) -> Claim {
        use crate::backend::{AcquireRequest, Mode};
        let claim = Claim::new(crate::LockKey::new("k").unwrap(), crate::Ttl::default()).unwrap();
        let request = AcquireRequest::new(claim.clone(), Mode::Try);
        let mut acquire = backend.acquire(&request);
        assert!(acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        claim
    }

    #[tokio::test]
    async fn a_backend_inside_the_process_is_not_waited_for() {
        let backend = crate::EmbeddedBackend::new();
        let claim = held(&backend);
        assert!(at_once(&backend, &claim));
        assert!(backend.is_empty());
        assert!(at_once(&backend, &claim), "there is nothing left to do");
    }

    #[test]
    fn outside_of_a_runtime_nothing_is_polled() {
        let backend = crate::EmbeddedBackend::new();
        let claim = held(&backend);
        assert!(!at_once(&backend, &claim));
        assert!(!backend.is_empty());
    }

    #[test]
    fn only_what_may_pass_is_tried_again_and_only_in_time() {
        let error = |kind| LockError::new(kind, "");
        assert_eq!(verdict(&error(ErrorKind::Lost), false), Verdict::Gone);
        assert_eq!(verdict(&error(ErrorKind::Unavailable), false), Verdict::Retry);
        assert_eq!(verdict(&error(ErrorKind::Unavailable), true), Verdict::GiveUp);
        assert_eq!(verdict(&error(ErrorKind::Auth), false), Verdict::GiveUp);
    }
}
