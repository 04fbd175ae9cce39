//! The first check of the servers: when a backend is built, or at its first lock.

use super::request::{AcquireRequest, Mode};
use super::single_attempt::{Make, Perishable, SingleAttempt};
use crate::error::{ErrorKind, LockError};
use crate::time::{Backoff, Moment, sleep};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Connecting, and the checks before the first request. Once they have passed, they are never repeated.
pub(crate) struct Start {
    has_passed: AtomicBool,
    attempts: Arc<SingleAttempt<Passed>>,
}

#[derive(Clone)]
struct Passed;

impl Perishable for Passed {
    fn is_over(&self) -> bool {
        false
    }
}

/// When a backend connects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartOptions {
    /// How long `build` waits for servers that are not there yet.
    pub(crate) connect_within: Duration,
    /// Whether it is the first lock that connects.
    pub(crate) is_lazy: bool,
}

impl Default for StartOptions {
    fn default() -> Self {
        Self { connect_within: Duration::from_secs(5), is_lazy: false }
    }
}

impl Start {
    /// `look` is one attempt, which takes no longer than `patience`.
    pub(crate) fn new<F>(patience: Duration, look: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), LockError>> + Send + 'static,
    {
        let make: Make<Passed> = Box::new(move |_| {
            let looking = look();
            Box::pin(async move { looking.await.map(|()| Passed) })
        });
        let attempts = SingleAttempt::new(make, patience, pauses());
        Self { has_passed: AtomicBool::new(false), attempts }
    }

    /// What `build` waits for.
    ///
    /// # Errors
    /// What is wrong with the servers or the account, and [`ErrorKind::Unavailable`] if they do not serve in time.
    pub(crate) async fn at_build(&self, options: StartOptions) -> Result<(), LockError> {
        if options.is_lazy {
            return Ok(());
        }
        let (give_up, mut pauses) = (Moment::now().after(options.connect_within), pauses());
        loop {
            let error = match self.pass().await {
                Err(error) if error.kind() == ErrorKind::Unavailable => error,
                outcome => return outcome,
            };
            let pause = pauses.next_pause();
            if Moment::now().after(pause) > give_up {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    /// Waits until a request may be sent.
    ///
    /// # Errors
    /// As [`at_build`](Self::at_build), but a request that waits waits for the servers, too.
    pub(crate) async fn before(&self, request: &AcquireRequest) -> Result<(), LockError> {
        match self.has_passed.load(Ordering::Acquire) {
            true => Ok(()),
            false => Box::pin(self.waited_for_by(request)).await,
        }
    }

    async fn waited_for_by(&self, request: &AcquireRequest) -> Result<(), LockError> {
        let mut pauses = pauses();
        loop {
            let pause = match (self.pass().await, request.mode) {
                (Ok(()), _) => return Ok(()),
                (Err(error), Mode::Try) => return Err(error.unsent()),
                (Err(error), Mode::Wait) => request.progress.ask_again(error.unsent(), &mut pauses)?,
            };
            sleep(pause).await;
        }
    }

    /// One attempt for all that wait for it.
    async fn pass(&self) -> Result<(), LockError> {
        self.attempts.get().await?;
        self.has_passed.store(true, Ordering::Release);
        Ok(())
    }
}

fn pauses() -> Backoff {
    Backoff::new(Duration::from_millis(20), Duration::from_millis(500))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Claim;
    use crate::key::LockKey;
    use crate::lease::Ttl;
    use std::sync::atomic::AtomicUsize;

    /// Fails with `kind` before it passes.
    fn passing_after(failures: usize, kind: ErrorKind) -> (Start, Arc<AtomicUsize>) {
        let looks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&looks);
        let start = Start::new(Duration::from_secs(60), move || {
            let look = counted.fetch_add(1, Ordering::SeqCst);
            async move { if look < failures { Err(LockError::new(kind, "not yet")) } else { Ok(()) } }
        });
        (start, looks)
    }

    fn request(mode: Mode) -> AcquireRequest {
        let claim = Claim::new(LockKey::new("k").unwrap(), Ttl::default()).unwrap();
        AcquireRequest::new(claim, mode)
    }

    const WAITING: StartOptions = StartOptions { connect_within: Duration::from_secs(3_600), is_lazy: false };

    #[tokio::test]
    async fn servers_that_are_not_there_yet_are_waited_for() {
        let (start, looks) = passing_after(2, ErrorKind::Unavailable);
        start.at_build(WAITING).await.unwrap();
        assert_eq!(looks.load(Ordering::SeqCst), 3);
        start.before(&request(Mode::Try)).await.unwrap();
        assert_eq!(looks.load(Ordering::SeqCst), 3, "it is over for good");
    }

    #[tokio::test]
    async fn what_does_not_pass_is_not_waited_for() {
        let (start, looks) = passing_after(usize::MAX, ErrorKind::Auth);
        assert_eq!(start.at_build(WAITING).await.unwrap_err().kind(), ErrorKind::Auth);
        assert_eq!(looks.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn without_time_there_is_one_look() {
        let (start, looks) = passing_after(1, ErrorKind::Unavailable);
        let options = StartOptions { connect_within: Duration::ZERO, is_lazy: false };
        assert_eq!(start.at_build(options).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(looks.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_lazy_start_is_the_first_requests() {
        let (start, looks) = passing_after(1, ErrorKind::Unavailable);
        start.at_build(StartOptions { is_lazy: true, ..WAITING }).await.unwrap();
        assert_eq!(looks.load(Ordering::SeqCst), 0);
        let failed = start.before(&request(Mode::Try)).await.unwrap_err();
        assert!(failed.leaves_nothing());
        start.before(&request(Mode::Wait)).await.unwrap();
        assert_eq!(looks.load(Ordering::SeqCst), 2);
    }
}
