//! Locks that are taken away: by whom they are opened, and when.

use super::*;
use dlock_tests::RedisCluster;

async fn token_of(locks: &LockManager) -> FencingToken {
    locks.inspect("order:42").await.unwrap().holders[0].token.unwrap()
}

/// The holder's lease lasts an hour: only its own word opens the lock.
#[tokio::test]
async fn a_holder_that_hears_of_it_ends_its_guard_and_opens_the_lock() {
    let server = RedisServer::start();
    let (one, other, operator) = (manager(&server).await, manager(&server).await, manager(&server).await);
    for try_it in [false, true] {
        let held = match try_it {
            true => one.lock("order:42").try_acquire().await.unwrap().unwrap(),
            false => one.lock("order:42").await.unwrap(),
        };
        let waiting = tokio::spawn(other.lock("order:42").acquire());
        wait_until_async("it waits", PATIENCE, async || waiters(&server, "order:42") == 1).await;
        let forced = operator.admin().force_release("order:42", token_of(&operator).await).await.unwrap();
        assert!(forced.fence > held.token() && forced.closed_for > LONG / 2);
        let next = waiting.await.unwrap().unwrap();
        assert!(!held.is_valid(), "its guard was over before the lock was opened");
        assert_eq!(lost(&held).await, LossReason::TakenAway);
        assert!(next.token() > forced.fence);
        drop(held);
        assert!(next.is_valid());
        next.release().await.unwrap();
    }
    assert_eq!(server.command(&["KEYS", "*"]), "dlock:f", "nothing stays behind");
}

/// A holder that no listener speaks for, as a backend whose messages get lost: its leaving opens the lock, and nothing before.
#[tokio::test]
async fn a_holder_that_does_not_hear_of_it_keeps_the_lock_closed_until_it_leaves() {
    let server = RedisServer::start();
    let (deaf, other, operator) = (backend(&server).await, backend(&server).await, manager(&server).await);
    let mine = claim("order:42");
    tried(&deaf, &mine).await.unwrap();
    let waiter = queued(other.clone(), claim("order:42")).await;
    operator.admin().force_release("order:42", token_of(&operator).await).await.unwrap();
    assert_eq!(deaf.renew(&mine).await.unwrap_err().kind(), ErrorKind::Lost);
    assert!(operator.lock("order:42").try_acquire().await.unwrap().is_none());
    let seen = operator.inspect("order:42").await.unwrap();
    assert!(seen.holders[0].is_taken_away && seen.waiters.len() == 1, "{seen:?}");
    assert!(!waiter.is_finished());
    assert_eq!(deaf.release(&mine).await.unwrap_err().kind(), ErrorKind::Lost);
    granted(waiter).await;
}

/// One that is dead costs what is left of its lease.
#[tokio::test]
async fn a_dead_holder_s_lock_opens_when_its_lease_is_over() {
    let server = RedisServer::start();
    let (dead, other, operator) = (backend(&server).await, backend(&server).await, manager(&server).await);
    let mine = claim_for("order:42", BRIEF);
    let grant = tried(&dead, &mine).await.unwrap();
    let forced = operator.admin().force_release("order:42", grant.token).await.unwrap();
    assert!(forced.closed_for <= BRIEF && left_ms(&server, "order:42") <= 600);
    let next = other.acquire(&AcquireRequest::new(claim("order:42"), Mode::Wait)).await.unwrap();
    assert!(grant.valid_until <= Moment::now(), "the lease is over");
    assert!(next.token > forced.fence);
}

/// A token of the block that goes round in the holder's process is the holder's.
#[tokio::test]
async fn any_token_of_the_holder_s_block_takes_the_lock_away() {
    let server = RedisServer::start();
    let (one, operator) = (manager(&server).await, manager(&server).await);
    let first = one.lock("order:42").await.unwrap();
    let second = tokio::spawn(one.lock("order:42").acquire());
    let before = first.token();
    first.release().await.unwrap();
    let second = second.await.unwrap().unwrap();
    let forced = operator.admin().force_release("order:42", second.token()).await.unwrap();
    assert!(second.token() >= before && forced.fence > second.token());
    assert_eq!(lost(&second).await, LossReason::TakenAway);
    operator.lock("order:42").await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn what_is_closed_can_be_opened_by_its_new_token() {
    let server = RedisServer::start();
    let (deaf, operator) = (backend(&server).await, manager(&server).await);
    let mine = claim("order:42");
    let grant = tried(&deaf, &mine).await.unwrap();
    let forced = operator.admin().force_release("order:42", grant.token).await.unwrap();
    let again = operator.admin().force_release("order:42", grant.token).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotHeld, "its token is another one now");
    operator.admin().force_release_now("order:42", forced.fence).await.unwrap();
    assert!(operator.lock("order:42").try_acquire().await.unwrap().is_some());
    assert_eq!(deaf.release(&mine).await.unwrap_err().kind(), ErrorKind::Lost);
}

#[tokio::test]
async fn a_foreign_lock_is_not_taken_away() {
    let server = RedisServer::start();
    let locks = manager(&server).await;
    server.command(&["SET", "order:42", "someone else", "PX", "60000"]);
    for error in [
        locks.admin().force_release("order:42", FencingToken::new(7)).await.unwrap_err(),
        locks.admin().force_release_now("order:42", FencingToken::new(7)).await.unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.operation()),
            (ErrorKind::Unsupported, Some(Operation::ForceRelease))
        );
        assert!(error.to_string().contains("another library") && error.server().is_some(), "{error}");
    }
    assert_eq!(server.command(&["GET", "order:42"]), "someone else");
}

#[tokio::test]
async fn a_floor_under_the_tokens_is_not_part_of_what_the_server_compares() {
    let server = RedisServer::start();
    let lifted =
        LockManager::builder(backend(&server).await).token_floor(1 << 61).wait(PATIENCE).build().unwrap();
    let held = lifted.lock("order:42").await.unwrap();
    let seen = lifted.inspect("order:42").await.unwrap();
    assert!(seen.holders[0].has_token(held.token()));
    let wrong = FencingToken::new(held.token().as_u64() - (1 << 61));
    assert_eq!(lifted.admin().force_release("order:42", wrong).await.unwrap_err().kind(), ErrorKind::NotHeld);
    let forced = lifted.admin().force_release("order:42", held.token()).await.unwrap();
    assert!(forced.fence > held.token());
    assert!(lifted.lock("order:42").await.unwrap().token() > forced.fence);
}

/// In a cluster a process hears what concerns a slot once it has waited in it. Before, its next renewal tells it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_in_a_cluster_hears_of_it_where_it_has_waited() {
    let cluster = RedisCluster::start();
    let backend = || async { RedisBackend::builder().url(cluster.url()).build().await.unwrap() };
    let (one, other) = (over(backend().await, LONG), over(backend().await, LONG));
    let first = one.lock("order:42").await.unwrap();
    let waiting = tokio::spawn(other.lock("order:42").acquire());
    let is_waiting = async || !one.inspect("order:42").await.unwrap().waiters.is_empty();
    wait_until_async("it waits", PATIENCE, is_waiting).await;
    first.release().await.unwrap();
    let held = waiting.await.unwrap().unwrap();
    let forced = one.admin().force_release("order:42", held.token()).await.unwrap();
    assert_eq!(lost(&held).await, LossReason::TakenAway);
    let next = one.lock("order:42").await.unwrap();
    assert!(next.token() > forced.fence);
    one.admin().force_release_now("order:42", next.token()).await.unwrap();
    assert!(other.lock("order:42").await.unwrap().is_valid());
}
