//! Readers, writers and permits, as a program uses them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use dlock_core::{
    EmbeddedBackend, ErrorKind, Guarantees, LockError, LockManager, LossReason, Operation, Permit, ReadGuard,
    Semaphore, Share, TestClock, WriteGuard,
};
use futures_util::poll;
use std::future::IntoFuture as _;
use std::pin::pin;
use std::time::Duration;

fn manager() -> LockManager {
    LockManager::builder(EmbeddedBackend::new()).build().unwrap()
}

fn kind<T>(outcome: Result<T, LockError>) -> ErrorKind {
    outcome.map(drop).unwrap_err().kind()
}

#[tokio::test]
async fn a_number_of_permits_that_cannot_be_is_refused_when_it_is_awaited() {
    let locks = manager();
    let three = locks.semaphore("workers", 3);
    let refused = three.permits(0).await.unwrap_err();
    assert_eq!((refused.kind(), refused.operation()), (ErrorKind::InvalidOption, Some(Operation::Acquire)));
    assert!(
        refused.to_string().contains("1 to 3 permits") && refused.to_string().contains("workers"),
        "{refused}"
    );
    assert_eq!(kind(three.permits(4).try_acquire().await), ErrorKind::InvalidOption);
    assert_eq!(kind(three.permits(4).run(async |_| ()).await), ErrorKind::InvalidOption);
    assert_eq!(kind(locks.semaphore("workers", 0).try_acquire().await), ErrorKind::InvalidOption);
    assert_eq!(kind(locks.semaphore("workers", u32::MAX).acquire().await), ErrorKind::InvalidOption);
    assert_eq!(kind(locks.semaphore("", 3).acquire().await), ErrorKind::InvalidKey);
    assert!(locks.semaphore("workers", Semaphore::MAX_PERMITS).acquire().await.is_ok());
    assert!(locks.inspect("workers").await.unwrap().is_free());
}

#[tokio::test]
async fn one_key_is_a_lock_a_readers_key_and_a_semaphore() {
    let locks = manager();
    let workers = locks.semaphore("k", 2);
    let permit = workers.acquire().await.unwrap();
    assert!(locks.lock("k").try_acquire().await.unwrap().is_none());
    assert!(locks.read("k").try_acquire().await.unwrap().is_none());
    assert!(locks.semaphore("k", 3).try_acquire().await.unwrap().is_none(), "another number of permits");
    drop(permit);
    let lock = locks.lock("k").await.unwrap();
    assert!(workers.try_acquire().await.unwrap().is_none());
    drop(lock);
    let reader = locks.read("k").await.unwrap();
    assert!(workers.try_acquire().await.unwrap().is_none());
    drop(reader);
    assert_eq!(workers.permits(2).await.unwrap().permits(), 2);
}

#[tokio::test]
async fn permits_are_available_as_far_as_they_are_not_held() {
    let locks = manager();
    let workers = locks.semaphore("k", 3);
    assert_eq!(workers.available_permits().await.unwrap(), 3);
    let two = workers.permits(2).await.unwrap();
    assert_eq!(workers.available_permits().await.unwrap(), 1);
    assert_eq!(locks.semaphore("k", 9).available_permits().await.unwrap(), 0, "they wait for those of three");
    drop(two);
    let reader = locks.read("k").await.unwrap();
    assert_eq!(workers.available_permits().await.unwrap(), 0);
    drop(reader);
    let _lock = locks.lock("k").await.unwrap();
    assert_eq!(workers.available_permits().await.unwrap(), 0);
    for wrong in [locks.semaphore("k", 0), locks.semaphore("", 1)] {
        let wrong = wrong.available_permits().await.unwrap_err();
        assert_eq!(wrong.operation(), Some(Operation::Inspect), "{wrong}");
    }
}

/// A request that waits inside its own scope could wait for itself, if not now then as soon as another waits in between.
#[tokio::test]
async fn asking_inside_its_own_scope_is_reentrant() {
    let locks = manager();
    let inside = async || {
        let workers = locks.semaphore("k", 2);
        let writer = kind(locks.write("k").await);
        (writer, kind(locks.read("k").await), kind(workers.acquire().await))
    };
    let refused = (ErrorKind::Reentrant, ErrorKind::Reentrant, ErrorKind::Reentrant);
    assert_eq!(locks.write("k").run(async |_| inside().await).await.unwrap(), refused);
    assert_eq!(locks.read("k").run(async |_| inside().await).await.unwrap(), refused);
    assert_eq!(locks.semaphore("k", 2).acquire().run(async |_| inside().await).await.unwrap(), refused);
}

/// A try waits for nothing.
#[tokio::test]
async fn a_try_inside_its_own_scope_asks_whether_it_fits() {
    let locks = manager();
    let workers = locks.semaphore("k", 2);
    let tried = async |permit: &Permit| {
        assert!(permit.is_valid());
        let second = workers.try_acquire().await.unwrap();
        (second.is_some(), workers.try_acquire().await.unwrap().is_some())
    };
    assert_eq!(workers.acquire().run(tried).await.unwrap(), (true, false));
    let tried = async |_: &ReadGuard| locks.write("r").try_acquire().await.unwrap().is_some();
    assert!(!locks.read("r").run(tried).await.unwrap());
}

#[test]
fn all_can_be_had_by_a_thread_that_blocks() {
    let locks = manager();
    let (one, other) =
        (locks.read("k").blocking_acquire().unwrap(), locks.read("k").blocking_acquire().unwrap());
    other.blocking_release().unwrap();
    one.blocking_release().unwrap();
    let writer: WriteGuard = locks.write("k").blocking_acquire().unwrap();
    writer.blocking_release().unwrap();
    let permit: Permit = locks.semaphore("k", 2).acquire().blocking_acquire().unwrap();
    permit.blocking_release().unwrap();
}

#[tokio::test]
async fn an_inspection_tells_the_shares() {
    let locks = manager();
    let _reader = locks.read("k").label("reading").await.unwrap();
    let mut writer = locks.write("k").label("writing").into_future();
    assert!(poll!(&mut writer).is_pending());
    let mut permits = locks.semaphore("k", 8).permits(3).into_future();
    assert!(poll!(&mut permits).is_pending());
    let seen = locks.inspect("k").await.unwrap();
    let holders: Vec<_> = seen.holders.iter().map(|holder| holder.share).collect();
    let waiters: Vec<_> = seen.waiters.iter().map(|waiter| waiter.share).collect();
    assert_eq!(holders, [Share::READER]);
    assert!(
        matches!(waiters[..], [Share::All, Share::Part { weight, of }] if (weight.get(), of.get()) == (3, 8))
    );
}

#[tokio::test]
async fn a_downgrade_keeps_the_limit_of_the_hold_and_the_label() {
    let clock = TestClock::new();
    let locks = LockManager::builder(EmbeddedBackend::with_clock(clock.clone())).build().unwrap();
    let second = Duration::from_secs(1);
    let writer = locks.write("k").label("both").max_hold(5 * second).await.unwrap();
    let lease = writer.lease();
    clock.advance(4 * second);
    let reader = writer.downgrade().await.unwrap();
    assert_eq!(lease.lost().await, LossReason::Released);
    let seen = locks.inspect("k").await.unwrap();
    assert_eq!(seen.holders[0].label.as_ref().unwrap().as_str(), "both");
    clock.advance(second);
    assert_eq!(reader.lost().await, LossReason::MaxHold);
}

#[tokio::test]
async fn a_downgrade_of_a_lost_lock_says_so() {
    let clock = TestClock::new();
    let locks = LockManager::builder(EmbeddedBackend::with_clock(clock.clone())).build().unwrap();
    let (writer, reader) = (locks.write("w").await.unwrap(), locks.read("r").await.unwrap());
    clock.advance(Duration::from_secs(31));
    let lost = writer.downgrade().await.unwrap_err();
    assert_eq!((lost.kind(), lost.operation()), (ErrorKind::Lost, Some(Operation::Downgrade)));
    let lost = reader.try_upgrade().await.unwrap_err();
    assert_eq!((lost.kind(), lost.operation()), (ErrorKind::Lost, Some(Operation::Upgrade)));
    assert!(lost.to_string().contains("upgrade") && lost.key().is_some(), "{lost}");
}

/// The reader that is not upgraded is renewed on.
#[tokio::test]
async fn a_reader_that_is_not_upgraded_goes_on() {
    let clock = TestClock::new();
    let backend = EmbeddedBackend::with_clock(clock.clone());
    let locks = LockManager::builder(backend).build().unwrap();
    let (one, other) = (locks.read("k").await.unwrap(), locks.read("k").await.unwrap());
    let (before, token) = (one.lease(), one.token());
    let one = one.try_upgrade().await.unwrap().unwrap_err();
    assert_eq!(one.token(), token);
    for _ in 0..4 {
        clock.advance(Duration::from_secs(20));
        while one.remaining() < Duration::from_secs(15) || other.remaining() < Duration::from_secs(15) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    drop(other);
    let writer = one.try_upgrade().await.unwrap().unwrap();
    assert!(writer.token() > token && !before.is_valid());
    writer.release().await.unwrap();
}

#[tokio::test]
async fn a_closed_manager_exchanges_nothing() {
    let locks = manager();
    let (writer, reader) = (locks.write("w").await.unwrap(), locks.read("r").await.unwrap());
    locks.close();
    assert_eq!(kind(writer.downgrade().await), ErrorKind::Closed);
    assert_eq!(kind(reader.try_upgrade().await), ErrorKind::Closed);
    let another = locks.inspect("w").await;
    assert!(another.is_ok_and(|seen| seen.is_free()), "it was released");
}

#[tokio::test]
async fn a_semaphore_outlives_its_handle_and_shows_what_it_is() {
    let workers = manager().semaphore("workers", 3);
    assert_eq!(workers.size(), 3);
    let permit = workers.clone().permits(2).await.unwrap();
    assert!(format!("{permit:?}").starts_with("Permit {"), "{permit:?}");
    assert!(format!("{workers:?}").contains("workers"), "{workers:?}");
    drop(permit);
    let mut all = pin!(workers.permits(3).into_future());
    assert!(poll!(all.as_mut()).is_ready());
}

#[tokio::test]
async fn a_backend_without_shares_says_what_helps() {
    let needs = Guarantees::SHARES;
    assert!(manager().guarantees().contains(needs));
    let plain = dlock_core::testing::Tap::new(std::sync::Arc::new(without::Shares));
    let locks = LockManager::builder(plain).build().unwrap();
    for refused in [
        locks.read("k").await.map(drop),
        locks.semaphore("k", 2).acquire().await.map(drop),
        locks.lock("k").await.unwrap().downgrade().await.map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.missing_guarantees()),
            (ErrorKind::Unsupported, needs),
            "{refused}"
        );
        assert!(refused.to_string().contains("Recipe::"), "{refused}");
    }
}

mod without {
    use dlock_core::backend::{AcquireRequest, BackendFuture, Claim, Grant, without_shares};
    use dlock_core::{Backend, FencingToken, Guarantees, LockError, Moment};
    use std::future::ready;

    /// Grants everything, but no shares.
    #[derive(Debug)]
    pub(super) struct Shares;

    impl Backend for Shares {
        fn name(&self) -> &'static str {
            "without shares"
        }

        fn guarantees(&self) -> Guarantees {
            Guarantees::empty()
        }

        fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
            let valid_until = request.claim.ttl.valid_until(Moment::now());
            Box::pin(ready(Ok(Grant::new(FencingToken::new(1), valid_until))))
        }

        fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
            Box::pin(ready(Ok(claim.ttl.valid_until(Moment::now()))))
        }

        fn release<'a>(&'a self, _: &'a Claim) -> BackendFuture<'a, ()> {
            Box::pin(ready(Ok::<_, LockError>(())))
        }

        fn exchange<'a>(&'a self, _: &'a Claim, _: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
            without_shares(self.name())
        }
    }
}
