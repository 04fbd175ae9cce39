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
