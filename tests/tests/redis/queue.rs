//! Waiters, hand-offs and pushes.

use super::*;

/// A push that is older than the last answer tells of a grant that is long over.
#[tokio::test]
async fn an_old_push_is_not_believed() {
    let server = RedisServer::start();
    let (one, other) = (backend(&server).await, backend(&server).await);
    let (holder, claim) = (claim("order:42"), claim("order:42"));
    let held = one.acquire(&AcquireRequest::new(holder.clone(), Mode::Try)).await.unwrap();
    let waiter = queued(other.clone(), claim.clone()).await;
    let owner = server.command(&["ZRANGE", "dlock:q:p:{order:42}", "0", "0"]);
    let inbox = format!("dlock:i:{}", owner.split('|').nth(1).unwrap());
    let before = script_calls(&server);
    for token in [0, 1, held.token.as_u64()] {
        assert_eq!(server.command(&["PUBLISH", &inbox, &format!("{owner}|{token}")]), "1");
    }
    wait_until_async("the waiter asks instead", PATIENCE, async || script_calls(&server) > before).await;
    assert!(!waiter.is_finished(), "the lock is another's");
    one.release(&holder).await.unwrap();
    tokio::time::timeout(PATIENCE, waiter).await.unwrap().unwrap();
    other.release(&claim).await.unwrap();
}

#[tokio::test]
async fn a_waiter_whose_process_died_is_passed_over() {
    let server = RedisServer::start();
    let (holding, dying, living) = (backend(&server).await, backend(&server).await, backend(&server).await);
    let holder = claim("order:42");
    holding.acquire(&AcquireRequest::new(holder.clone(), Mode::Try)).await.unwrap();
    let dead = queued(dying, claim("order:42")).await;
    let alive = queued(living, claim("order:42")).await;
    dead.abort();
    assert!(dead.await.unwrap_err().is_cancelled());
    wait_until_async("the server has noticed", PATIENCE, async || {
        server.command(&["PUBSUB", "CHANNELS", "dlock:i:*"]).lines().count() == 2
    })
    .await;
    holding.release(&holder).await.unwrap();
    tokio::time::timeout(PATIENCE, alive).await.expect("the living waiter is granted").unwrap();
}

#[tokio::test]
async fn a_lock_deleted_by_hand_is_lost_and_goes_to_the_next_waiter() {
    let server = RedisServer::start();
    let (one, other) = (brief_manager(&server).await, brief_manager(&server).await);
    let guard = one.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(other.lock("order:42").acquire());
    server.command(&["DEL", "order:42"]);
    assert_eq!(lost(&guard).await, LossReason::NotOwner);
    assert!(waiter.await.unwrap().unwrap().token() > guard.token());
}
