//! What an acquire is waiting for.

use crate::error::{ErrorKind, LockError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// What an acquire is waiting for, so that a caller whose wait ends learns why.
#[derive(Debug, Default)]
pub struct Progress(Mutex<WaitState>);

#[derive(Debug, Default)]
enum WaitState {
    #[default]
    Unanswered,
    Queued,
    /// It was queued, and asks once more. There is no answer yet.
    QueuedBefore,
    Failing(LockError),
    /// The wait of another request, which asks for this one too.
    As(Arc<Progress>),
}

impl Progress {
    /// The backend answered that the key is another owner's.
    pub fn queued(&self) {
        *self.0.lock() = WaitState::Queued;
    }

    /// Whether the backend's last word was [`queued`](Progress::queued).
    #[must_use]
    pub fn is_queued(&self) -> bool {
        match &*self.0.lock() {
            WaitState::As(other) => other.is_queued(),
            standing => matches!(standing, WaitState::Queued),
        }
    }

    /// What it waits for once it asks again. Until there is an answer, a wait that ends reports the last one.
    pub(crate) fn asked_again(&self) -> Self {
        let state = if self.was_queued() { WaitState::QueuedBefore } else { WaitState::Unanswered };
        Self(Mutex::new(state))
    }

    fn was_queued(&self) -> bool {
        match &*self.0.lock() {
            WaitState::As(other) => other.was_queued(),
            state => matches!(state, WaitState::Queued | WaitState::QueuedBefore),
        }
    }

    /// From here on this waits for what `other` waits for.
    pub(crate) fn follow(&self, other: &Arc<Self>) {
        if std::ptr::eq(self, &**other) {
            return;
        }
        *self.0.lock() = WaitState::As(Arc::clone(other));
    }

    /// The backend cannot be reached for the moment.
    pub fn failing(&self, cause: LockError) {
        *self.0.lock() = WaitState::Failing(cause);
    }

    /// How long to wait before the request is repeated after `error`, which is noted.
    ///
    /// # Errors
    /// `error` itself, if repeating cannot help.
    #[cfg(any(feature = "redis", feature = "zookeeper"))]
    pub(crate) fn ask_again(
        &self,
        error: LockError,
        pauses: &mut crate::time::Backoff,
    ) -> Result<Duration, LockError> {
        if !error.kind().is_retryable() {
            return Err(error);
        }
        self.failing(error);
        Ok(pauses.next_pause())
    }

    /// The error of a wait that ended after `waited`, in words without key and operation.
    pub(crate) fn verdict(&self, waited: Duration) -> LockError {
        match &*self.0.lock() {
            WaitState::As(other) => other.verdict(waited),
            WaitState::Queued | WaitState::QueuedBefore => LockError::new(
                ErrorKind::Busy,
                format!("another owner held it for all of {waited:?}; try again later or wait longer"),
            ),
            WaitState::Unanswered => LockError::new(
                ErrorKind::Unavailable,
                format!("no answer within the wait of {waited:?}; try again later or wait longer"),
            ),
            WaitState::Failing(cause) => cause.clone().after_waiting(waited),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_ends_says_what_it_waited_for() {
        let wait = Duration::from_secs(2);
        let progress = Progress::default();
        assert_eq!(progress.verdict(wait).kind(), ErrorKind::Unavailable);
        progress.queued();
        assert_eq!(progress.verdict(wait).kind(), ErrorKind::Busy);
        assert!(!progress.asked_again().is_queued(), "there is no answer yet");
        assert_eq!(progress.asked_again().asked_again().verdict(wait).kind(), ErrorKind::Busy);
        assert_eq!(Progress::default().asked_again().verdict(wait).kind(), ErrorKind::Unavailable);
        progress.failing(LockError::new(ErrorKind::Unavailable, "refused").with_server("a:1"));
        let failing = progress.verdict(wait);
        assert_eq!((failing.kind(), failing.server()), (ErrorKind::Unavailable, Some("a:1")));
        let text = failing.to_string();
        assert!(text.contains("refused") && text.contains("2s"), "{text}");
    }
}
