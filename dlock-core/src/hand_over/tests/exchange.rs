//! What a queue does with a grant that its holder exchanges for another share.

use super::*;
use crate::backend::Share;
use futures_util::poll;
use std::pin::pin;

fn reader(key: &str) -> Claim {
    claim(key).with_share(Share::READER)
}

async fn granted(backend: &dyn Backend, claim: &Claim) -> Grant {
    backend.acquire(&AcquireRequest::new(claim.clone(), Mode::Try)).await.unwrap()
}

async fn exchange(backend: &dyn Backend, held: &Claim, wanted: &Claim) -> Result<Grant, LockError> {
    backend.exchange(held, &AcquireRequest::new(wanted.clone(), Mode::Try)).await
}

fn is_busy<T>(outcome: Result<T, LockError>) -> bool {
    outcome.is_err_and(|error| error.kind() == ErrorKind::Busy)
}

/// Waiters of this process have no place at the backend while one of them holds. After the exchange they ask for one.
#[tokio::test]
async fn the_waiters_behind_a_downgrade_ask_again_in_their_order() {
    let backend = Blocks::over(&EmbeddedBackend::new());
    let local = before(backend.clone(), HandOver::default());
    let (writer, reading, first, second) = (claim("k"), reader("k"), claim("k"), claim("k"));
    let written = granted(&local, &writer).await;
    let waiting = queued(Arc::new(local.clone()), &first).await;
    let behind = queued(Arc::new(local.clone()), &second).await;
    let read = exchange(&local, &writer, &reading).await.unwrap();
    assert!(read.token > written.token);
    assert_eq!(exchange(&local, &writer, &reading).await.unwrap().token, read.token, "asked again");
    assert_eq!(local.renew(&writer).await.unwrap_err().kind(), ErrorKind::Lost);
    local.renew(&reading).await.unwrap();
    assert_eq!(local.release(&writer).await.unwrap_err().kind(), ErrorKind::Lost);
    assert!(!waiting.is_finished() && !behind.is_finished(), "the reader holds");
    local.release(&reading).await.unwrap();
    waiting.await.unwrap();
    assert!(!behind.is_finished());
    local.release(&first).await.unwrap();
    behind.await.unwrap();
    local.release(&second).await.unwrap();
    assert!(is_clean(&local) && backend.inner.is_empty());
}

#[tokio::test]
async fn an_upgrade_that_is_refused_changes_nothing() {
    let backend = Blocks::over(&EmbeddedBackend::new());
    let local = before(backend.clone(), HandOver::default());
    let (one, other, writer) = (reader("k"), reader("k"), claim("k"));
    granted(&local, &one).await;
    granted(&local, &other).await;
    assert!(is_busy(exchange(&local, &one, &writer).await), "it is not alone");
    local.release(&other).await.unwrap();
    let waiter = claim("k");
    let waiting = queued(Arc::new(local.clone()), &waiter).await;
    assert!(is_busy(exchange(&local, &one, &writer).await), "a writer of this process waits");
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(local.release(&waiter).await.unwrap_err().kind(), ErrorKind::Lost);
    let waiting = queued(backend.clone(), &claim("k")).await;
    assert!(is_busy(exchange(&local, &one, &writer).await), "a writer of another process waits");
    waiting.abort();
    local.renew(&one).await.unwrap();
    local.release(&one).await.unwrap();
    assert_eq!(local.release(&writer).await.unwrap_err().kind(), ErrorKind::Lost);
    assert!(is_clean(&local));
}

#[tokio::test]
async fn what_was_upgraded_is_handed_over() {
    let backend = Blocks::over(&EmbeddedBackend::new());
    let local = before(backend.clone(), HandOver::default());
    let (reading, writer, next) = (reader("k"), claim("k"), claim("k"));
    granted(&local, &reading).await;
    exchange(&local, &reading, &writer).await.unwrap();
    let waiting = queued(Arc::new(local.clone()), &next).await;
    let asked = backend.acquires();
    local.release(&writer).await.unwrap();
    waiting.await.unwrap();
    assert_eq!(backend.acquires(), asked, "without a request");
    local.release(&next).await.unwrap();
    assert!(is_clean(&local) && backend.inner.is_empty());
}

/// Carries an exchange out, and then fails or does not answer.
#[derive(Debug)]
struct Unanswered {
    blocks: Arc<Blocks>,
    fails: bool,
}

impl Backend for Unanswered {
    fn name(&self) -> &'static str {
        "unanswered"
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::empty()
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        self.blocks.acquire(request)
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        self.blocks.renew(claim)
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        self.blocks.release(claim)
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async move {
            self.blocks.exchange(held, wanted).await?;
            match self.fails {
                true => Err(LockError::new(ErrorKind::Unavailable, "the answer was lost")),
                false => std::future::pending().await,
            }
        })
    }
}

/// I1, I5: the caller of an exchange without an answer releases both owners. Before that no waiter of the process is handed
/// what may be gone.
#[tokio::test]
async fn an_exchange_without_an_answer_is_undone_by_two_releases() {
    for fails in [true, false] {
        let store = EmbeddedBackend::new();
        let blocks = Blocks::over(&store);
        let local = before(Arc::new(Unanswered { blocks: Arc::clone(&blocks), fails }), HandOver::default());
        let (writer, reading, next) = (claim("k"), reader("k"), claim("k"));
        granted(&local, &writer).await;
        let waiting = queued(Arc::new(local.clone()), &next).await;
        {
            let mut asked = pin!(exchange(&local, &writer, &reading));
            match poll!(asked.as_mut()) {
                std::task::Poll::Ready(answer) => assert!(fails && answer.is_err()),
                std::task::Poll::Pending => assert!(!fails),
            }
        }
        assert_eq!(local.release(&writer).await.unwrap_err().kind(), ErrorKind::Lost, "it was exchanged");
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "a reader holds it");
        local.release(&reading).await.unwrap();
        waiting.await.unwrap();
        local.release(&next).await.unwrap();
        assert!(is_clean(&local) && store.is_empty());
    }
}

#[tokio::test]
async fn an_owner_without_a_grant_has_nothing_to_exchange() {
    let local = before(Blocks::over(&EmbeddedBackend::new()), HandOver::default());
    let lost = exchange(&local, &claim("k"), &reader("k")).await.unwrap_err();
    assert_eq!((lost.kind(), lost.operation()), (ErrorKind::Lost, Some(Operation::Downgrade)));
    assert!(is_clean(&local));
}
