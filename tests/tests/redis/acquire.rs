//! Acquiring: futures that are dropped, answers that are lost, owners that are told apart.

use super::*;
use std::collections::BTreeSet;

/// B01: the future is dropped when the server has granted the lock and the answer is still under way. The
/// release follows at once: of this lease, an hour long, nothing is waited for.
#[tokio::test]
async fn a_grant_whose_future_was_dropped_is_given_back() {
    let server = RedisServer::start();
    let (relay, backend) = relayed(&server, PATIENCE).await;
    let locks = over(backend, LONG);
    relay.hold_answers();
    let acquire = tokio::spawn(locks.lock("order:42").acquire());
    let is_held = || holder(&server, "order:42") != "(nil)";
    wait_until_async("the server has granted it", PATIENCE, async || is_held()).await;
    acquire.abort();
    assert!(acquire.await.unwrap_err().is_cancelled());
    wait_until_async("it is given back", PATIENCE, async || !is_held()).await;
}

/// B01: the same, but for a future dropped before its request has arrived.
#[tokio::test]
async fn a_request_whose_future_was_dropped_before_it_arrived_is_undone() {
    let server = RedisServer::start();
    let (relay, backend) = relayed(&server, PATIENCE).await;
    let (locks, scripts) = (over(backend, LONG), script_calls(&server));
    relay.hold();
    let acquire = tokio::spawn(locks.lock("order:42").acquire());
    wait_until_async("the request has left", PATIENCE, async || relay.kept() > 0).await;
    acquire.abort();
    assert!(acquire.await.unwrap_err().is_cancelled());
    relay.let_go();
    wait_until_async("both have come", PATIENCE, async || script_calls(&server) - scripts == 2).await;
    assert_eq!(holder(&server, "order:42"), "(nil)");
}

/// B02: the answer of a grant is lost with its connection. The request is repeated, and is the same hold: one
/// owner, one token.
#[tokio::test]
async fn a_grant_whose_answer_was_lost_is_the_same_when_it_is_asked_for_again() {
    let server = RedisServer::start();
    let (relay, backend) = relayed(&server, PATIENCE).await;
    let (locks, scripts) = (over(backend, LONG), script_calls(&server));
    relay.hold_answers();
    let acquire = tokio::spawn(locks.lock("order:42").acquire());
    wait_until_async("the answer is on its way", PATIENCE, async || relay.kept_answers() > 0).await;
    let (owner, kept) = (holder(&server, "order:42"), token(&server, "order:42"));
    relay.cut();
    let guard = acquire.await.unwrap().unwrap();
    assert_eq!(script_calls(&server) - scripts, 2, "asked again");
    assert_eq!((holder(&server, "order:42"), guard.token()), (owner, kept));
    assert_eq!(token(&server, "order:42"), kept, "no second token was handed out");
    guard.release().await.unwrap();
    assert_eq!(holder(&server, "order:42"), "(nil)", "one release ends it");
}

/// The first token of the block that the server keeps with the lock of `key`.
fn token(server: &RedisServer, key: &str) -> FencingToken {
    let value = server.command(&["GET", key]);
    let (_owner, number) = value.rsplit_once('|').unwrap();
    FencingToken::new(number.parse::<u64>().unwrap() * 64)
}

/// B06: a grant whose answer took longer than the lease is over. So it is no success, and the lock is asked for
/// again.
#[tokio::test]
async fn a_grant_whose_answer_came_after_its_lease_is_asked_for_again() {
    let server = RedisServer::start();
    let (relay, backend) = relayed(&server, PATIENCE).await;
    let locks = over(backend, Ttl::MIN);
    relay.hold_answers();
    let acquire = tokio::spawn(locks.lock("order:42").acquire());
    wait_until_async("the answer is on its way", PATIENCE, async || relay.kept_answers() > 0).await;
    wait_until_async("the lease is over", PATIENCE, async || holder(&server, "order:42") == "(nil)").await;
    relay.let_go();
    let guard = acquire.await.unwrap().unwrap();
    assert!(guard.is_valid(), "a guard that is over from the beginning protects nothing");
}

/// B09: tasks of one manager are owners of their own. A guard that is over can neither release nor renew what
/// another task of the same process has got since. A release that only knows the key would: the control.
#[tokio::test]
async fn a_stale_guard_does_not_touch_the_next_one_of_its_own_process() {
    for checks_owner in [true, false] {
        let server = RedisServer::start();
        let locks = brief_manager(&server).await;
        let stale = locks.lock("order:42").await.unwrap();
        server.command(&["DEL", "order:42"]);
        let next = locks.lock("order:42").ttl(LONG).await.unwrap();
        assert_eq!(lost(&stale).await, LossReason::NotOwner, "not renewed by the next one's lease");
        let owner = holder(&server, "order:42");
        match checks_owner {
            true => assert_eq!(stale.release().await.unwrap_err().kind(), ErrorKind::Lost),
            false => drop(server.command(&["DEL", "order:42"])),
        }
        assert_eq!(holder(&server, "order:42") == owner, checks_owner);
        assert!(next.is_valid());
    }
}

/// Deletes the key if its value begins with ours.
const COMPARE_THE_BEGINNING: &str = "local value = redis.call('GET', KEYS[1])
    if string.sub(value, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
    return redis.call('DEL', KEYS[1])";

/// B10: an owner is the whole value but for the number. One that begins with it, or that it begins with, is another's: not renewed,
/// not released, not granted again. A comparison of the beginning takes the longer one for its own: the control.
#[tokio::test]
async fn an_owner_is_compared_as_a_whole() {
    let server = RedisServer::start();
    let (backend, mine) = (backend(&server).await, claim("order:42"));
    tried(&backend, &mine).await.unwrap();
    let owner = holder(&server, "order:42");
    let bare = owner.strip_suffix('|').unwrap();
    let longer = format!("{bare}0|7");
    let shorter = format!("{}|7", bare.strip_suffix('0').unwrap());
    for alike in [&longer, &shorter] {
        server.command(&["SET", "order:42", alike, "PX", "60000"]);
        assert_eq!(backend.renew(&mine).await.unwrap_err().kind(), ErrorKind::Lost);
        assert_eq!(backend.release(&mine).await.unwrap_err().kind(), ErrorKind::Lost);
        assert_eq!(tried(&backend, &mine).await.unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!(&server.command(&["GET", "order:42"]), alike);
    }
    server.command(&["SET", "order:42", &longer]);
    assert_eq!(server.command(&["EVAL", COMPARE_THE_BEGINNING, "1", "order:42", bare]), "1", "the control");
}

/// B11: a wait that ends says that the lock was another's, and had a place in the queue; a wait of zero is a
/// try, and has none.
#[tokio::test]
async fn a_wait_waits_and_a_wait_of_zero_tries() {
    let server = RedisServer::start();
    let (one, other) = (manager(&server).await, manager(&server).await);
    let guard = one.lock("order:42").await.unwrap();
    let added = calls(&server, "zadd");
    let tried = other.lock("order:42").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!((tried.kind(), calls(&server, "zadd") - added), (ErrorKind::Busy, 0));
    let waited = other.lock("order:42").wait(Duration::from_millis(100)).acquire().await.unwrap_err();
    assert_eq!((waited.kind(), calls(&server, "zadd") - added), (ErrorKind::Busy, 1));
    other.shutdown().await.unwrap();
    assert_eq!(waiters(&server, "order:42"), 0);
    guard.release().await.unwrap();
}

/// B13: on one connection, every answer goes to its own request, whatever the server sends unasked in between:
/// each of many locks at once gets the token that the server keeps for its key, and not its neighbour's, which
/// is the control.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_go_to_their_own_requests_among_pushes() {
    const LOCKS: usize = 200;
    let server = RedisServer::start();
    let locks = manager(&server).await;
    let inbox = server.command(&["PUBSUB", "CHANNELS", "dlock:i:*"]);
    let noise: Vec<_> =
        (0..LOCKS).map(|number| ["PUBLISH".into(), inbox.clone(), number.to_string()]).collect();
    let mut noisy = server.connect();
    let tasks: Vec<_> =
        (0..LOCKS).map(|at| tokio::spawn(locks.lock(format!("order:{at}")).acquire())).collect();
    noisy.send(&noise).unwrap();
    let mut tokens = Vec::new();
    for task in tasks {
        let guard = tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
        tokens.push((token(&server, &guard.key().to_string()), guard));
    }
    assert!(noise.iter().all(|_| noisy.receive().unwrap() == "1"), "every push had its listener");
    assert!(tokens.iter().all(|(kept, guard)| *kept == guard.token()));
    let different: BTreeSet<_> = tokens.iter().map(|(kept, _)| *kept).collect();
    assert!(different.len() > 1, "tokens tell the answers of different calls apart");
}
