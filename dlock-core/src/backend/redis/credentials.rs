//! Credentials that are fetched at each connect.

use crate::error::{ErrorKind, LockError};
use crate::keeper::Keeper;
use crate::time::{before, sleep};
use futures_util::future::BoxFuture;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tracing::instrument::WithSubscriber as _;

/// A user and a password, as one connection logs in.
///
/// ```
/// use dlock_core::backend::redis::Credentials;
///
/// let credentials = Credentials::new("billing", "a token of 15 minutes");
/// assert!(!format!("{credentials:?}").contains("token"));
/// ```
#[derive(Clone)]
pub struct Credentials {
    pub(super) user: Option<String>,
    pub(super) password: String,
}

impl Credentials {
    /// A user of the server's access list, and the password or token.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: Some(user.into()), password: password.into() }
    }

    /// The password of a server that has no users.
    pub fn password(password: impl Into<String>) -> Self {
        Self { user: None, password: password.into() }
    }
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

type Asked = BoxFuture<'static, Result<Credentials, Box<dyn StdError + Send + Sync>>>;

/// The program's code that gives credentials. It may block, panic or never answer.
#[derive(Clone)]
pub(super) struct CredentialsProvider {
    ask: Arc<dyn Fn() -> Asked + Send + Sync>,
    /// It is asked for one connection at a time, so a call that hangs takes no more than one thread.
    turn: Arc<Semaphore>,
}

impl CredentialsProvider {
    pub(super) fn new<F, E>(provider: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let ask = move || -> Asked {
            let asked = provider();
            Box::pin(async move { asked.await.map_err(Into::into) })
        };
        Self { ask: Arc::new(ask), turn: Arc::new(Semaphore::new(1)) }
    }

    /// Asks it, on a thread of its own, for no longer than `limit`.
    ///
    /// # Errors
    /// Its own, if that is a [`LockError`]; else [`ErrorKind::Unavailable`].
    pub(super) async fn credentials(
        &self,
        keeper: &'static Keeper,
        limit: Duration,
    ) -> Result<Credentials, LockError> {
        let asked = before(sleep(limit), self.ask_in_turn(keeper, limit)).await;
        asked.unwrap_or_else(|| Err(silent(limit)))
    }

    async fn ask_in_turn(&self, keeper: &'static Keeper, limit: Duration) -> Result<Credentials, LockError> {
        // Never closed, so never an error.
        let turn = Arc::clone(&self.turn).acquire_owned().await.ok();
        let asked = ask_for_so_long(Arc::clone(&self.ask), turn, limit).with_current_subscriber();
        match keeper.spawn_blocking(asked).await {
            Ok(Some(answer)) => answer.map_err(failed),
            Ok(None) => Err(silent(limit)),
            Err(panic) => Err(panicked(panic)),
        }
    }
}

async fn ask_for_so_long(
    ask: Arc<dyn Fn() -> Asked + Send + Sync>,
    _turn: Option<OwnedSemaphorePermit>,
    limit: Duration,
) -> Option<Result<Credentials, Box<dyn StdError + Send + Sync>>> {
    before(sleep(limit), async move { ask().await }).await
}

fn failed(cause: Box<dyn StdError + Send + Sync>) -> LockError {
    match cause.downcast::<LockError>() {
        Ok(told) => *told,
        Err(cause) => unavailable("the credentials provider failed; its error says why").with_source(cause),
    }
}

fn silent(limit: Duration) -> LockError {
    unavailable(format!("the credentials provider gave no answer within the connect_timeout of {limit:?}"))
}

fn panicked(panic: JoinError) -> LockError {
    unavailable("the credentials provider panicked").with_source(panic)
}

fn unavailable(detail: impl Into<std::borrow::Cow<'static, str>>) -> LockError {
    LockError::new(ErrorKind::Unavailable, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LONG: Duration = Duration::from_secs(3_600);

    async fn answer<F, E>(
        provider: impl Fn() -> F + Send + Sync + 'static,
        limit: Duration,
    ) -> Result<Credentials, LockError>
    where
        F: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        CredentialsProvider::new(provider).credentials(Keeper::start().unwrap(), limit).await
    }

    fn given() -> Credentials {
        Credentials::new("me", "secret")
    }

    #[tokio::test]
    async fn a_provider_may_use_time_and_its_answer_is_taken() {
        let told = answer(
            || async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok::<_, io::Error>(given())
            },
            LONG,
        )
        .await
        .unwrap();
        assert_eq!((told.user.as_deref(), told.password.as_str()), (Some("me"), "secret"));
        assert!(!format!("{told:?}").contains("secret"));
    }

    #[tokio::test]
    async fn a_provider_that_fails_or_panics_is_unavailable_and_says_why() {
        let failed = answer(|| async { Err(io::Error::other("no token")) }, LONG).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unavailable);
        assert_eq!(failed.source().map(ToString::to_string).as_deref(), Some("no token"));
        let at_once =
            answer(|| -> std::future::Ready<io::Result<Credentials>> { panic!("on purpose") }, LONG);
        assert_eq!(at_once.await.unwrap_err().kind(), ErrorKind::Unavailable);
        let later = answer(panics_later, LONG);
        assert_eq!(later.await.unwrap_err().kind(), ErrorKind::Unavailable);
    }

    async fn panics_later() -> io::Result<Credentials> {
        tokio::task::yield_now().await;
        panic!("on purpose")
    }

    #[tokio::test]
    async fn a_provider_may_say_itself_what_is_wrong() {
        let denied = || async { Err(LockError::new(ErrorKind::Auth, "the role was taken away")) };
        assert_eq!(answer(denied, LONG).await.unwrap_err().kind(), ErrorKind::Auth);
    }

    #[tokio::test]
    async fn a_provider_that_never_answers_is_given_up_and_asked_again_later() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let provider = CredentialsProvider::new(move || {
            let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if first {
                    std::future::pending::<()>().await;
                }
                Ok::<_, io::Error>(given())
            }
        });
        let keeper = Keeper::start().unwrap();
        let silent = provider.credentials(keeper, Duration::from_millis(5)).await.unwrap_err();
        assert_eq!(silent.kind(), ErrorKind::Unavailable);
        provider.credentials(keeper, LONG).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    /// Nothing else hangs with it: the keeper goes on, and no second thread is taken.
    #[tokio::test]
    async fn a_provider_that_blocks_takes_one_thread() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let (held, asked) = (Arc::new(parking_lot::Mutex::new(held)), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&asked);
        let provider = CredentialsProvider::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = held.lock().recv();
            async { Ok::<_, io::Error>(given()) }
        });
        let keeper = Keeper::start().unwrap();
        for _ in 0..3 {
            let silent = provider.credentials(keeper, Duration::from_millis(50)).await.unwrap_err();
            assert_eq!(silent.kind(), ErrorKind::Unavailable);
        }
        assert!(asked.load(Ordering::SeqCst) <= 1);
        keeper.spawn(async {}).await.unwrap();
        drop(hold);
        provider.credentials(keeper, LONG).await.unwrap();
    }
}
