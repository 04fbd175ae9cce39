//! What the public types promise by their bounds.

use dlock_core::backend::{AcquireRequest, Claim, Grant, LossSignal};
use dlock_core::{
    AcquireFuture, EmbeddedBackend, ErrorKind, FencingToken, Lease, LockError, LockGuard, LockKey, LockList,
    LockManager, LockManagerBuilder, LockRequest, LockScope, Moment, OwnerId, Ttl,
};
use futures_util::TryStreamExt as _;
use std::fmt::Debug;
use std::time::Duration;

fn is_shared<T: Debug + Send + Sync + 'static>() {}
fn is_sent<T: Debug + Send + 'static>() {}

#[test]
fn public_types_can_be_shown_and_sent() {
    is_shared::<LockManager>();
    is_shared::<LockManagerBuilder>();
    is_shared::<LockRequest>();
    is_shared::<LockGuard>();
    is_shared::<LockList>();
    is_shared::<Lease>();
    is_shared::<LockScope>();
    is_shared::<LockError>();
    is_shared::<LockKey>();
    is_shared::<(FencingToken, Moment, OwnerId, Ttl)>();
    is_shared::<(AcquireRequest, Claim, Grant, LossSignal)>();
    is_shared::<EmbeddedBackend>();
    is_sent::<AcquireFuture>();
}

/// Says whether a type can be cloned: where it can, the method of the type itself is taken, and elsewhere the trait's.
struct Asked<T>(std::marker::PhantomData<T>);

impl<T: Clone> Asked<T> {
    #[allow(clippy::unused_self, reason = "found by its receiver")]
    fn is_clone(&self) -> bool {
        true
    }
}

trait Otherwise {
    fn is_clone(&self) -> bool {
        false
    }
}

impl<T> Otherwise for Asked<T> {}

/// Each clone's drop would free the lock of the others.
#[test]
fn a_guard_cannot_be_cloned() {
    assert!(!Asked::<LockGuard>(std::marker::PhantomData).is_clone());
    assert!(Asked::<Lease>(std::marker::PhantomData).is_clone(), "the control");
}

#[tokio::test]
async fn futures_can_be_sent() {
    fn sent<T: Send>(future: T) -> T {
        future
    }
    let locks = sent(LockManager::connect("memory:")).await.unwrap();
    let guard = sent(locks.lock("k").acquire()).await.unwrap();
    sent(guard.run(async {})).await.unwrap();
    assert!(sent(locks.lock("k").try_acquire()).await.unwrap().is_none());
    sent(guard.release()).await.unwrap();
    sent(locks.shutdown()).await.unwrap();
}

#[test]
fn a_free_lock_in_the_process_is_acquired_at_once_outside_of_a_runtime() {
    let locks = LockManager::builder(EmbeddedBackend::new()).build().unwrap();
    let guard = futures_util::FutureExt::now_or_never(locks.lock("k").acquire());
    assert!(guard.expect("no waiting").unwrap().is_valid());
}

#[tokio::test]
async fn a_closure_runs_under_its_lock_on_any_thread() {
    let locks = LockManager::connect("memory:").await.unwrap();
    let (inner, text) = (locks.clone(), "order".to_owned());
    let task = tokio::spawn(async move {
        let borrowed = &text;
        let run = inner.lock("k").wait(Duration::from_secs(30));
        run.run(async |guard| {
            tokio::task::yield_now().await;
            assert!(guard.is_valid() && inner.lock("k").try_acquire().await.unwrap().is_none());
            borrowed.len()
        })
        .await
    });
    assert_eq!(task.await.unwrap().unwrap(), 5);
    assert!(locks.lock("k").try_acquire().await.unwrap().is_some(), "released");
}

#[tokio::test]
async fn a_wait_in_vain_for_a_guard_of_this_process_says_so() {
    let locks = LockManager::connect("memory:").await.unwrap();
    let guard = locks.lock("k").await.unwrap();
    let brief = Duration::from_millis(5);
    let refused = locks.lock("k").wait(brief).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert!(refused.to_string().contains("a guard in this process has held it for"), "{refused}");
    guard.release().await.unwrap();

    let other = EmbeddedBackend::new();
    let (locks, elsewhere) = (LockManager::builder(other.clone()), LockManager::builder(other));
    let (locks, elsewhere) = (locks.build().unwrap(), elsewhere.build().unwrap());
    let _guard = elsewhere.lock("k").await.unwrap();
    let refused = locks.lock("k").wait(brief).await.unwrap_err();
    assert!(!refused.to_string().contains("this process"), "the control: {refused}");
}

async fn keys(list: LockList) -> Result<Vec<String>, LockError> {
    let pages: Vec<_> = list.into_stream().try_collect().await?;
    Ok(pages.into_iter().flatten().map(|lock| lock.key.to_string()).collect())
}

/// The table in memory knows no namespaces: there the key `shop:` begins as all keys of `shop:` do.
#[tokio::test]
async fn a_list_of_a_namespace_leaves_out_the_key_that_is_named_as_it() {
    let backend = EmbeddedBackend::new();
    let all = LockManager::builder(backend.clone()).build().unwrap();
    let shop = LockManager::builder(backend).namespace("shop:").build().unwrap();
    let _held = (all.lock("shop:").await.unwrap(), shop.lock("a").await.unwrap());
    assert_eq!(keys(shop.list("")).await.unwrap(), ["a"]);
    assert_eq!(keys(all.list("sh")).await.unwrap(), ["shop:", "shop:a"]);
}
