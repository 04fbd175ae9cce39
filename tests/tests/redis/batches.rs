//! Many requests at once: in how few calls they are made, and that what happens to one of them happens to it alone.

use super::runtimes::busy_until;
use super::*;
use futures_util::future::join_all;
use std::collections::BTreeSet;

const MANY: usize = 60;

fn keys() -> impl Iterator<Item = String> {
    (0..MANY).map(|number| format!("order:{number}"))
}

async fn acquire_all(locks: &LockManager) -> Vec<Result<LockGuard, LockError>> {
    join_all(keys().map(|key| locks.lock(key).acquire())).await
}

async fn all_granted(locks: &LockManager) -> Vec<LockGuard> {
    acquire_all(locks).await.into_iter().map(Result::unwrap).collect()
}

async fn release_all(guards: Vec<LockGuard>) {
    join_all(guards.into_iter().map(LockGuard::release)).await.into_iter().for_each(Result::unwrap);
}

fn held(server: &RedisServer) -> usize {
    keys().filter(|key| server.command(&["EXISTS", key]) == "1").count()
}

async fn nothing_is_held(server: &RedisServer) {
    wait_until_async("nothing is held", PATIENCE, async || held(server) == 0).await;
}

/// Sixteen go alone at most, the rest together. Each has the token that the server keeps with its lock.
#[tokio::test]
async fn many_requests_are_made_in_few_calls() {
    let server = RedisServer::start();
    let locks = manager(&server).await;
    // Over a connection of this runtime, whose one thread does one thing after the other.
    busy_until(&server, &locks, "busy", 2).await;
    let before = script_calls(&server);
    let guards = all_granted(&locks).await;
    assert!(script_calls(&server) - before <= 17);
    let tokens: BTreeSet<_> = guards.iter().map(LockGuard::token).collect();
    assert!(tokens.len() <= 17, "one number for all grants of a call");
    for guard in &guards {
        let value = server.command(&["GET", &guard.key().to_string()]);
        let number: u64 = value.rsplit_once('|').unwrap().1.parse().unwrap();
        assert_eq!(number * 64, guard.token().as_u64());
    }
    release_all(guards).await;
    assert!(script_calls(&server) - before <= 34);
    assert_eq!(held(&server), 0);
}

/// Renewals that come due together are made together.
#[tokio::test]
async fn renewals_are_made_in_few_calls() {
    let server = RedisServer::start();
    let locks = brief_manager(&server).await;
    let guards = all_granted(&locks).await;
    let (before, renewed) = (script_calls(&server), calls(&server, "pexpire"));
    wait_until_async("all were renewed ten times", PATIENCE, async || {
        calls(&server, "pexpire") - renewed > 10 * MANY as u64
    })
    .await;
    let (made, renewed) = (script_calls(&server) - before, calls(&server, "pexpire") - renewed);
    assert!(made * 2 < renewed, "{made} calls for {renewed} renewals");
    assert!(guards.iter().all(LockGuard::is_valid));
}

/// A held lock among many free ones is waited for, with a place in its queue, and handed over.
#[tokio::test]
async fn a_held_lock_among_free_ones_is_waited_for() {
    let server = RedisServer::start();
    let (locks, other) = (manager(&server).await, manager(&server).await);
    let theirs = other.lock("order:42").await.unwrap();
    let all = tokio::spawn(async move { all_granted(&locks).await });
    wait_until_async("it is waited for", PATIENCE, async || waiters(&server, "order:42") == 1).await;
    assert_eq!(held(&server), MANY);
    theirs.release().await.unwrap();
    release_all(tokio::time::timeout(PATIENCE, all).await.unwrap().unwrap()).await;
    assert_eq!(held(&server), 0);
}

/// A key that the account may not use, and one that another program uses, are refused to the requests that ask for
/// them, and to no other in the same call.
#[tokio::test]
async fn what_is_wrong_with_one_key_is_told_for_it_alone() {
    let server = RedisServer::start();
    let locks = manager(&server).await;
    server.command(&["HSET", "order:9", "field", "1"]);
    server.command(&["ACL", "SETUSER", "default", "resetkeys", "~order:*", "~dlock:*"]);
    let all = keys().chain([String::from("secret:1")]).map(|key| locks.lock(key).acquire());
    let mut outcomes = join_all(all).await;
    assert_eq!(outcomes.pop().unwrap().unwrap_err().kind(), ErrorKind::Auth);
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(guard) => assert!(guard.is_valid() && number != 9),
            Err(error) => assert_eq!((number, error.kind()), (9, ErrorKind::Corrupt), "{error}"),
        }
    }
    let late = join_all(keys().map(|key| locks.lock(format!("secret:{key}")).try_acquire())).await;
    assert!(late.iter().all(|outcome| outcome.as_ref().unwrap_err().kind() == ErrorKind::Auth));
}

/// Given up while they wait to be sent, and while they are under way: nothing is left.
#[tokio::test]
async fn requests_given_up_leave_nothing() {
    let server = RedisServer::start();
    let (relay, backend) = relayed(&server, PATIENCE).await;
    let locks = over(backend, LONG);
    let before = script_calls(&server);
    for polls in [1, 2] {
        relay.hold();
        let mut all = Box::pin(acquire_all(&locks));
        for _ in 0..polls {
            assert!(futures_util::poll!(&mut all).is_pending());
            tokio::task::yield_now().await;
        }
        wait_until_async("the first are at the relay", PATIENCE, async || relay.kept() > 0).await;
        drop(all);
        relay.let_go();
        nothing_is_held(&server).await;
    }
    locks.shutdown().await.unwrap();
    nothing_is_held(&server).await;
    assert!(script_calls(&server) > before, "something was asked");
}

/// The connection is lost with a call of many under way, before the server has it or after: everybody is granted the
/// lock in the end, once.
#[tokio::test]
async fn a_connection_lost_under_many_requests_costs_no_owner_the_lock() {
    let server = RedisServer::start();
    let (relay, backend) = relayed(&server, PATIENCE).await;
    let locks = over(backend, LONG);
    for before_the_server in [true, false] {
        if before_the_server {
            relay.hold();
        } else {
            relay.hold_answers();
        }
        let waiting = locks.clone();
        let all = tokio::spawn(async move { all_granted(&waiting).await });
        wait_until_async("they are under way", PATIENCE, async || {
            if before_the_server { relay.kept() > 0 } else { held(&server) == MANY }
        })
        .await;
        relay.cut();
        if before_the_server {
            relay.let_go();
        } else {
            relay.let_answers_go();
        }
        let guards = tokio::time::timeout(PATIENCE, all).await.unwrap().unwrap();
        assert!(guards.iter().all(LockGuard::is_valid));
        release_all(guards).await;
        nothing_is_held(&server).await;
    }
}

/// A runtime ends with requests of many tasks under way and waiting. They leave nothing, and another runtime goes on
/// with the same backend.
#[test]
fn a_runtime_that_ends_takes_no_request_of_another_with_it() {
    let mut server = RedisServer::start();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let locks = first.block_on(manager(&server));
    let waiting = locks.clone();
    server.pause();
    first.block_on(async move {
        let all = tokio::spawn(async move { acquire_all(&waiting).await.len() });
        tokio::task::yield_now().await;
        assert!(!all.is_finished());
    });
    drop(first);
    server.resume();
    second.block_on(async {
        nothing_is_held(&server).await;
        let other = over(backend(&server).await, LONG);
        release_all(all_granted(&locks).await).await;
        release_all(all_granted(&other).await).await;
    });
    assert_eq!(held(&server), 0);
}
