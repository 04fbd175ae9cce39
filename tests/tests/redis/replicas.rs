//! Grants that replicas must acknowledge.

use super::*;

async fn requiring(server: &RedisServer, replicas: usize) -> RedisBackend {
    let builder = RedisBackend::builder().url(server.url()).require_replicas(replicas);
    builder.request_timeout(Duration::from_secs(1)).build().await.unwrap()
}

fn ask(claim: &Claim, mode: Mode) -> AcquireRequest {
    AcquireRequest::new(claim.clone(), mode)
}

/// B91: a grant counts when exactly as many replicas as required have it; with fewer it is undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_counts_when_as_many_replicas_as_required_have_it() {
    let primary = RedisServer::start();
    let (one, other) = (
        RedisServer::builder().replica_of(&primary).start(),
        RedisServer::builder().replica_of(&primary).start(),
    );
    let backend = requiring(&primary, 2).await;
    let mine = claim("order:42");
    backend.acquire(&ask(&mine, Mode::Try)).await.unwrap();
    for replica in [&one, &other] {
        assert_eq!(replica.command(&["EXISTS", "order:42"]), "1");
    }
    backend.renew(&mine).await.unwrap();
    backend.release(&mine).await.unwrap();
    drop(other);
    let refused = backend.acquire(&ask(&claim("order:43"), Mode::Try)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "one of two is not enough: {refused}");
    assert_eq!(primary.command(&["EXISTS", "order:43"]), "0", "undone");
    requiring(&primary, 1).await.acquire(&ask(&claim("order:43"), Mode::Try)).await.unwrap();
}

/// B91: a lock that is handed off counts only when the replicas have it, and so does a renewal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_handed_off_is_acknowledged_too() {
    let primary = RedisServer::start();
    let relay = Relay::to(primary.address()).await.unwrap();
    let replica = RedisServer::builder().replica_of_address(relay.address()).start();
    let (one, other) = (backend(&primary).await, requiring(&primary, 1).await);
    let (holder, waiting) = (claim("order:42"), claim("order:42"));
    one.acquire(&ask(&holder, Mode::Try)).await.unwrap();
    let waiter = queued(other.clone(), waiting.clone()).await;
    relay.hold_answers();
    one.release(&holder).await.unwrap();
    let owner = || primary.command(&["GET", "order:42"]);
    wait_until_async("the grant is undone", PATIENCE, async || owner() == "(nil)").await;
    assert!(!waiter.is_finished(), "nobody but the primary knows of it");
    relay.let_go();
    tokio::time::timeout(PATIENCE, waiter).await.unwrap().unwrap();
    wait_until_async("the replica has it", PATIENCE, async || {
        replica.command(&["EXISTS", "order:42"]) == "1"
    })
    .await;
    other.renew(&waiting).await.unwrap();
    relay.hold_answers();
    assert_eq!(other.renew(&waiting).await.unwrap_err().kind(), ErrorKind::Unavailable);
    relay.let_go();
}

/// B92: while one grant waits for replicas that do not answer, others are not held up: the wait has a connection
/// of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_replicas_holds_up_no_other_request() {
    let primary = RedisServer::start();
    let builder = RedisBackend::builder().url(primary.url()).require_replicas(1).request_timeout(PATIENCE);
    let backend = builder.build().await.unwrap();
    let blocked = tokio::spawn({
        let backend = backend.clone();
        async move { backend.acquire(&ask(&claim("order:1"), Mode::Try)).await }
    });
    let waits = || primary.command(&["CLIENT", "LIST"]).contains("flags=b ");
    wait_until_async("the grant waits", PATIENCE, async || waits()).await;
    let released = backend.release(&claim("order:2")).await;
    assert_eq!(released.unwrap_err().kind(), ErrorKind::Lost, "answered, while the other waits");
    assert!(!blocked.is_finished());
    blocked.abort();
}

/// B91: a waiter whose grant was undone, because too few replicas had it, keeps its place. The next hand-off to it
/// counts, and no later waiter passes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_whose_grant_was_undone_is_handed_the_lock_later() {
    let primary = RedisServer::start();
    let relay = Relay::to(primary.address()).await.unwrap();
    let _replica = RedisServer::builder().replica_of_address(relay.address()).start();
    let (one, other) = (backend(&primary).await, requiring(&primary, 1).await);
    let (holder, next) = (claim("order:42"), claim("order:42"));
    one.acquire(&ask(&holder, Mode::Try)).await.unwrap();
    let waiter = queued(other.clone(), claim("order:42")).await;
    let second = queued(one.clone(), next.clone()).await;
    relay.hold_answers();
    one.release(&holder).await.unwrap();
    granted(second).await;
    relay.let_go();
    let waits_again = async || waiters(&primary, "order:42") == 1;
    wait_until_async("the waiter is queued again", PATIENCE, waits_again).await;
    let later = queued(one.clone(), claim("order:42")).await;
    one.release(&next).await.unwrap();
    granted(waiter).await;
    assert!(!later.is_finished(), "the later waiter waits still");
    later.abort();
}
