//! What a guard knows of its session: held, suspect, lost.

use super::*;
use dlock_core::GuardState;
use dlock_core::testing::Tap;

/// A manager whose leases are not renewed while a test runs: what a guard learns, its session told it.
fn unrenewed(backend: ZooKeeperBackend) -> LockManager {
    LockManager::builder(backend).ttl(Ttl::MAX).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_is_suspect_while_the_connection_is_lost_and_held_again_after() {
    let relay = Relay::to(shared_zookeeper()).await;
    let locks = unrenewed(patient(&relay.hosts()).build().await.unwrap());
    let [one, other] =
        [locks.lock(fresh_key("one")).await.unwrap(), locks.lock(fresh_key("other")).await.unwrap()];
    for _ in 0..2 {
        relay.close();
        for guard in [&one, &other] {
            let state = soon("the guard is suspect", guard.state_changed(GuardState::Held)).await;
            assert_eq!(state, GuardState::Suspect);
            assert!(guard.is_valid());
        }
        relay.reopen();
        for guard in [&one, &other] {
            let state = soon("the guard is held again", guard.state_changed(GuardState::Suspect)).await;
            assert_eq!(state, GuardState::Held);
        }
    }
    one.release().await.unwrap();
    other.release().await.unwrap();
}

/// S11, S17, Z1: and Lost is for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_stays_cut_off_is_suspect_then_lost_and_stays_so() {
    let relay = Relay::to(shared_zookeeper()).await;
    let locks = unrenewed(at(&relay.hosts()).build().await.unwrap());
    let guard = locks.lock(fresh_key("cut off")).await.unwrap();
    relay.close();
    assert_eq!(soon("it is suspect", guard.state_changed(GuardState::Held)).await, GuardState::Suspect);
    let lost = soon("it is lost", guard.state_changed(GuardState::Suspect)).await;
    assert!(matches!(lost, GuardState::Lost(reason) if is_end_of_session(reason)), "{lost:?}");
    relay.reopen();
    let probe = soon("the backend works again", locks.lock(fresh_key("probe")).acquire()).await.unwrap();
    assert_eq!(probe.state(), GuardState::Held);
    assert!(matches!(guard.state(), GuardState::Lost(_)));
}

/// The connection stands, and no answer comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_is_suspect_while_the_server_stands_still() {
    let mut server = ZooKeeperServer::start();
    let locks =
        unrenewed(patient(&server.hosts()).session_timeout(Duration::from_secs(20)).build().await.unwrap());
    let guard = locks.lock("k").await.unwrap();
    server.pause();
    assert_eq!(soon("it is suspect", guard.state_changed(GuardState::Held)).await, GuardState::Suspect);
    server.resume();
    assert_eq!(soon("it is held", guard.state_changed(GuardState::Suspect)).await, GuardState::Held);
    guard.release().await.unwrap();
}

/// A renewal sends nothing while the last heartbeat is young enough, and so is no word of the servers'.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_from_memory_does_not_hide_a_lost_connection() {
    let relay = Relay::to(shared_zookeeper()).await;
    let backend = at(&relay.hosts()).session_timeout(Duration::from_secs(15)).build().await.unwrap();
    let tap = Tap::new(Arc::new(backend));
    let locks = LockManager::builder(Arc::clone(&tap)).ttl(Ttl::MIN).build().unwrap();
    let guard = locks.lock(fresh_key("often renewed")).await.unwrap();
    relay.close();
    assert_eq!(soon("it is suspect", guard.state_changed(GuardState::Held)).await, GuardState::Suspect);
    let before = tap.renewals();
    until("there was a renewal", async || tap.renewals() > before).await;
    assert_eq!(guard.state(), GuardState::Suspect);
    relay.reopen();
    assert_eq!(soon("it is held", guard.state_changed(GuardState::Suspect)).await, GuardState::Held);
}
