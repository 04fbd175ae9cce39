//! Holders that are asked to let go.

use super::*;
use dlock_core::GuardState;
use dlock_core::backend::zookeeper::Recipe;

/// As `Revoker.attemptRevoke` of Apache Curator does it.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_is_asked_by_a_write_to_its_node_and_keeps_the_lock() {
    let (locks, operator) = (manager(backend().await), Operator::of(shared_zookeeper()));
    let key = LockKey::new(fresh_key("asked")).unwrap();
    let guard = Arc::new(locks.lock(&key).await.unwrap());
    let node = format!("/locks/{key}/{}", operator.queue(&key).remove(0));
    let asked = tokio::spawn({
        let guard = Arc::clone(&guard);
        async move { guard.revoked().await }
    });
    operator.write(&node, b"something else");
    operator.write(&node, b"__REVOKE__");
    soon("the holder is asked", asked).await.unwrap();
    soon("who asks later is told as well", guard.revoked()).await;
    assert_eq!(guard.state(), GuardState::Held, "it keeps the lock");
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    Arc::into_inner(guard).unwrap().release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_present_holder_is_asked_and_no_waiter() {
    for recipe in [Recipe::Sequential, Recipe::Simple] {
        let hosts = shared_zookeeper().hosts();
        let (asking, holding) = (
            at(&hosts).recipe(recipe).build().await.unwrap(),
            at(&hosts).recipe(recipe).build().await.unwrap(),
        );
        let locks = manager(holding);
        let key = LockKey::new(fresh_key("present")).unwrap();
        let guard = locks.lock(&key).await.unwrap();
        let waiting = tokio::spawn(locks.lock(&key).acquire());
        asking.revoke(&key).await.unwrap();
        asking.revoke(&key).await.expect("asking again does no harm");
        soon("the holder is asked", guard.revoked()).await;
        guard.release().await.unwrap();
        let next = soon("the waiter is granted", waiting).await.unwrap().unwrap();
        // It has looked at its node when a request that was sent later is answered.
        tokio::select! {
            biased;
            () = next.revoked() => panic!("{recipe:?}: the request was for the holder before"),
            probe = locks.lock(fresh_key("probe")).acquire() => probe.unwrap().release().await.unwrap(),
        }
        next.release().await.unwrap();
        let nobody = asking.revoke(&key).await.unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::NotHeld, "{nobody}");
        assert_eq!((nobody.operation(), nobody.key()), (Some(Operation::Revoke), Some(&key)));
    }
}

/// The request comes while the holder has no connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_without_connection_is_asked_when_it_is_back() {
    let relay = Relay::to(shared_zookeeper()).await;
    let locks = manager(patient(&relay.hosts()).build().await.unwrap());
    let asking = backend().await;
    let key = LockKey::new(fresh_key("back")).unwrap();
    let guard = locks.lock(&key).await.unwrap();
    relay.close();
    assert_eq!(soon("it is cut off", guard.state_changed(GuardState::Held)).await, GuardState::Suspect);
    asking.revoke(&key).await.unwrap();
    tokio::join!(soon("the holder is asked", guard.revoked()), async { relay.reopen() });
    assert!(guard.is_valid());
    guard.release().await.unwrap();
}

/// I5, I8: what is written over the owner's mark does not hide the node from its owner.
#[tokio::test(flavor = "multi_thread")]
async fn a_simple_lock_that_was_asked_for_is_released_all_the_same() {
    let relay = Relay::to(shared_zookeeper()).await;
    let builder = at(&relay.hosts()).request_timeout(Duration::from_millis(300)).recipe(Recipe::Simple);
    let (backend, operator) = (builder.build().await.unwrap(), Operator::of(shared_zookeeper()));
    for data in [None, Some(b"__REVOKE__")] {
        let claim = claim(&fresh_key("overwritten"));
        let path = format!("/locks/{}", claim.key);
        grant(&backend, &claim).await;
        match data {
            Some(data) => operator.write(&path, data),
            None => backend.revoke(&claim.key).await.unwrap(),
        }
        relay.close();
        assert_eq!(backend.release(&claim).await.unwrap_err().kind(), ErrorKind::Unavailable);
        relay.reopen();
        let _ = release(&backend, &claim).await;
        assert_eq!(operator.czxid(&path), None, "{data:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_does_not_wait_to_be_asked_pays_nothing() {
    let relay = Relay::to(shared_zookeeper()).await;
    let locks = manager(patient(&relay.hosts()).build().await.unwrap());
    locks.lock(fresh_key("warm")).await.unwrap().release().await.unwrap();
    relay.take_requests();
    locks.lock(fresh_key("unasked")).await.unwrap().release().await.unwrap();
    assert!(!relay.take_requests().contains(&op_code::GET_DATA));
}
