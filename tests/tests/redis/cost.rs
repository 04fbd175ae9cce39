//! What locks cost: counted by the server.

use super::*;

#[tokio::test]
async fn a_free_lock_costs_one_command_and_its_release_another() {
    let server = RedisServer::start();
    let locks = manager(&server).await;
    locks.lock("warm").await.unwrap().release().await.unwrap();
    let (scripts, before) = (script_calls(&server), requests(&server));
    for _ in 0..10 {
        locks.lock("order:42").await.unwrap().release().await.unwrap();
    }
    assert_eq!(script_calls(&server) - scripts, 20, "one script each way");
    assert!(requests(&server) - before >= 20, "the server counts them as well");
}

#[tokio::test]
async fn a_waiter_is_told_and_does_not_poll() {
    let server = RedisServer::start();
    let (one, other) = (backend(&server).await, backend(&server).await);
    let holder = claim("order:42");
    one.acquire(&AcquireRequest::new(holder.clone(), Mode::Try)).await.unwrap();
    let before = script_calls(&server);
    let waiter = queued(other, claim("order:42")).await;
    one.release(&holder).await.unwrap();
    waiter.await.unwrap();
    assert_eq!(script_calls(&server) - before, 2, "one to queue and one to release; the push is the grant");
}

/// What the script of a release asks about subscribers, when it hands the lock to a living waiter: how often for
/// patterns, and how often for the subscribers of one channel.
async fn asked_by_a_hand_off(server: &RedisServer) -> [u64; 2] {
    let (one, other, holding) = (backend(server).await, backend(server).await, claim("order:42"));
    tried(&one, &holding).await.unwrap();
    let waiter = queued(other.clone(), claim("order:42")).await;
    let asked = || ["pubsub|numpat", "pubsub|numsub"].map(|command| calls(server, command));
    let before = asked();
    one.release(&holding).await.unwrap();
    let after = asked();
    granted(waiter).await;
    server.command(&["DEL", "order:42"]);
    std::array::from_fn(|number| after[number] - before[number])
}

/// The script is one command all the same.
#[tokio::test]
async fn a_hand_off_asks_for_subscribers_only_where_a_monitor_is() {
    let server = RedisServer::start();
    assert_eq!(asked_by_a_hand_off(&server).await, [1, 0]);
    let _monitor = monitor(&server);
    assert_eq!(asked_by_a_hand_off(&server).await, [1, 1]);
}
