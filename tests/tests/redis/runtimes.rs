//! Callers in several runtimes, in one that is not driven, and in none.

use super::*;
use dlock_core::backend::redis::Recipe;
use std::future::Future;
use std::pin::Pin;
use tokio::runtime::{Builder, Runtime};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// How many connections dlock has to the server.
fn connections(server: &RedisServer) -> usize {
    // The question has one as well.
    server.command(&["CLIENT", "LIST"]).lines().count() - 1
}

async fn take_turns(locks: &LockManager, key: &str, turns: usize) {
    for _ in 0..turns {
        locks.lock(key).await.unwrap().release().await.unwrap();
    }
}

/// More requests than a runtime needs to send to have a connection of its own.
const MANY_TURNS: usize = 100;

/// Sends requests until there are `number` connections.
pub(crate) async fn busy_until(server: &RedisServer, locks: &LockManager, key: &str, number: usize) {
    wait_until_async("the runtime has a connection of its own", PATIENCE, async || {
        take_turns(locks, key, MANY_TURNS).await;
        connections(server) == number
    })
    .await;
}

#[test]
fn a_busy_runtime_has_a_connection_of_its_own_which_goes_with_it() {
    let (server, first, second) = (RedisServer::start(), current_thread(), current_thread());
    let locks = first.block_on(manager(&server));
    first.block_on(take_turns(&locks, "few", 10));
    assert_eq!(connections(&server), 1, "too few requests to be worth one");
    first.block_on(busy_until(&server, &locks, "first", 2));
    second.block_on(busy_until(&server, &locks, "second", 3));
    drop(first);
    second
        .block_on(wait_until_async("it goes with its runtime", PATIENCE, async || connections(&server) == 2));
    second.block_on(take_turns(&locks, "first", MANY_TURNS));
    assert_eq!(connections(&server), 2);
}

#[test]
fn no_more_runtimes_have_a_connection_than_are_to() {
    for most in [0, 1] {
        let (server, runtimes) = (RedisServer::start(), [current_thread(), current_thread()]);
        let builder = RedisBackend::builder().url(server.url()).caller_connections(most);
        let locks = over(runtimes[0].block_on(builder.build()).unwrap(), LONG);
        if most > 0 {
            runtimes[0].block_on(busy_until(&server, &locks, "busy", 1 + most));
        }
        for runtime in &runtimes {
            runtime.block_on(take_turns(&locks, "busy", MANY_TURNS * 3));
        }
        assert_eq!(connections(&server), 1 + most);
    }
}

/// A connection of a runtime that breaks costs no request: it goes over the keeper's, and later over a new one.
#[test]
fn a_connection_of_a_runtime_that_breaks_costs_no_request() {
    let (server, runtime) = (RedisServer::start(), current_thread());
    let locks = runtime.block_on(manager(&server));
    runtime.block_on(async {
        for kind in ["normal", "pubsub"] {
            busy_until(&server, &locks, "order:42", 2).await;
            server.command(&["CLIENT", "KILL", "TYPE", kind]);
            take_turns(&locks, "order:42", MANY_TURNS).await;
        }
    });
    assert_eq!(server.command(&["EXISTS", "order:42"]), "0");
}

/// A runtime with a connection of its own ends in the midst of requests. Those of another go on, and nothing is left.
#[test]
fn a_runtime_that_ends_in_the_midst_of_requests_fails_none_of_another() {
    let (server, staying) = (RedisServer::start(), current_thread());
    let locks = staying.block_on(manager(&server));
    staying.block_on(busy_until(&server, &locks, "staying", 2));
    for workers in [1, 2] {
        let ending = Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
        ending.block_on(busy_until(&server, &locks, "ending", 3));
        for number in 0..8 {
            let locks = locks.clone();
            ending.spawn(async move {
                loop {
                    take_turns(&locks, &format!("ending:{number}"), 1).await;
                }
            });
        }
        staying.block_on(take_turns(&locks, "staying", 20));
        ending.shutdown_background();
        staying.block_on(async {
            take_turns(&locks, "staying", MANY_TURNS).await;
            for number in 0..8 {
                take_turns(&locks, &format!("ending:{number}"), 1).await;
            }
            wait_until_async("its connection is gone", PATIENCE, async || connections(&server) <= 2).await;
        });
    }
}

/// A runtime is kept, and no longer driven: it holds up no request, not even one that is sent in its context.
#[test]
fn a_runtime_that_is_only_kept_holds_up_no_request() {
    let (server, kept, driven) = (RedisServer::start(), current_thread(), current_thread());
    let builder = RedisBackend::builder().url(server.url()).request_timeout(BRIEF);
    let locks = over(kept.block_on(builder.build()).unwrap(), LONG);
    kept.block_on(busy_until(&server, &locks, "order:42", 2));
    driven.block_on(take_turns(&locks, "order:42", MANY_TURNS));
    let _in_its_context = kept.enter();
    let guard = pollster::block_on(locks.lock("order:43").acquire()).unwrap();
    pollster::block_on(guard.release()).unwrap();
    pollster::block_on(take_turns(&locks, "order:43", MANY_TURNS));
    driven.block_on(take_turns(&locks, "order:42", MANY_TURNS));
}

/// Building, acquiring, waiting, holding and releasing, with each recipe, where there is no runtime at all.
#[test]
fn requests_need_no_runtime() {
    for recipe in [Recipe::Fair, Recipe::Barging, Recipe::Plain, Recipe::Timestamp] {
        let server = RedisServer::start();
        let build = RedisBackend::builder().url(server.url()).recipe(recipe).build();
        let locks = over(pollster::block_on(build).unwrap(), BRIEF);
        let guard = pollster::block_on(locks.lock("order:42").acquire()).unwrap();
        let waiting = locks.clone();
        let waiter = std::thread::spawn(move || pollster::block_on(waiting.lock("order:42").acquire()));
        let held = dlock_core::sleep_until(Moment::now().after(guard.remaining()));
        pollster::block_on(held);
        assert!(guard.is_valid(), "{recipe:?}: the keeper renews it");
        pollster::block_on(guard.release()).unwrap();
        drop(waiter.join().unwrap().unwrap());
        pollster::block_on(locks.shutdown()).unwrap();
        assert_eq!(server.command(&["EXISTS", "order:42"]), "0", "{recipe:?}");
    }
}

/// A runtime that can do no IO, and has no timers, sends its requests over the keeper's connection.
#[test]
fn a_runtime_without_io_is_served() {
    let (server, bare) = (RedisServer::start(), Builder::new_current_thread().build().unwrap());
    let locks = bare.block_on(manager(&server));
    bare.block_on(take_turns(&locks, "order:42", MANY_TURNS * 3));
    assert_eq!(connections(&server), 1);
}

/// A backend behind a relay, in a runtime that has a connection of its own by now.
async fn with_own_connection(server: &RedisServer) -> (Relay, RedisBackend) {
    let (relay, backend) = relayed(server, PATIENCE).await;
    let locks = over(backend.clone(), LONG);
    busy_until(server, &locks, "busy", 2).await;
    (relay, backend)
}

type Asking = Pin<Box<dyn Future<Output = Result<Grant, LockError>> + Send>>;

/// A request of `claim` that has come as far as the relay, and no further.
async fn asking(relay: &Relay, backend: &RedisBackend, claim: &Claim) -> Asking {
    relay.hold_newest();
    let (backend, request) = (backend.clone(), AcquireRequest::new(claim.clone(), Mode::Wait));
    let mut asking: Asking = Box::pin(async move { backend.acquire(&request).await });
    assert!(futures_util::poll!(&mut asking).is_pending());
    wait_until_async("the request is at the relay", PATIENCE, async || relay.kept() > 0).await;
    asking
}

/// Releases where the keeper's connection is used.
async fn release_over_the_keepers(backend: &RedisBackend, claim: &Claim) -> Result<(), LockError> {
    let (backend, claim) = (backend.clone(), claim.clone());
    let (outcome, told) = tokio::sync::oneshot::channel();
    // In a thread that is not in the context of the runtime.
    std::thread::spawn(move || outcome.send(pollster::block_on(backend.release(&claim))));
    told.await.unwrap()
}

fn marks(server: &RedisServer, key: &str) -> String {
    server.command(&["ZCARD", &format!("dlock:n:p:{{{key}}}")])
}

/// I4: a release overtakes its acquire, which travels over another connection and whose future is not polled, or is
/// dropped. The acquire comes to nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_overtakes_its_acquire_takes_it_back() {
    for is_dropped in [false, true] {
        let server = RedisServer::start();
        let (relay, backend) = with_own_connection(&server).await;
        let mine = claim("order:42");
        let mut asking = Some(asking(&relay, &backend, &mine).await);
        let before = script_calls(&server);
        asking.take_if(|_| is_dropped);
        let released = release_over_the_keepers(&backend, &mine).await;
        assert_eq!(released.unwrap_err().kind(), ErrorKind::Lost, "it had no lock yet");
        assert_eq!((script_calls(&server) - before, marks(&server, "order:42").as_str()), (1, "1"));
        relay.let_go();
        wait_until_async("the acquire has come", PATIENCE, async || script_calls(&server) - before >= 2)
            .await;
        assert_eq!(server.command(&["EXISTS", "order:42"]), "0", "is_dropped: {is_dropped}");
        if let Some(asking) = asking {
            assert_eq!(asking.await.unwrap_err().kind(), ErrorKind::Lost);
        }
    }
}

/// I4: the same where the mark of the release is gone when the acquire comes. The lock is taken, and given back as soon
/// as the answer is taken note of. The control is the lock that is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acquire_that_comes_after_the_mark_is_taken_back_when_it_is_answered() {
    let server = RedisServer::start();
    let (relay, backend) = with_own_connection(&server).await;
    let mine = claim("order:42");
    let asking = asking(&relay, &backend, &mine).await;
    release_over_the_keepers(&backend, &mine).await.unwrap_err();
    server.command(&["DEL", "dlock:n:p:{order:42}"]);
    relay.let_go();
    wait_until_async("it takes the lock", PATIENCE, async || server.command(&["EXISTS", "order:42"]) == "1")
        .await;
    assert_eq!(asking.await.unwrap_err().kind(), ErrorKind::Lost, "its owner has left");
    wait_until_async("it goes back", PATIENCE, async || server.command(&["EXISTS", "order:42"]) == "0").await;
}

/// A waiter in one runtime is handed the lock by a holder in another, over and over.
#[test]
fn runtimes_hand_the_lock_to_each_other() {
    let (server, one, other) = (RedisServer::start(), current_thread(), current_thread());
    let backend = one.block_on(backend(&server));
    let locks = each_for_itself(backend, LONG);
    for runtime in [&one, &other] {
        runtime.block_on(take_turns(&locks, "warm", MANY_TURNS));
    }
    std::thread::scope(|scope| {
        for runtime in [&one, &other] {
            scope.spawn(|| runtime.block_on(take_turns(&locks, "order:42", MANY_TURNS)));
        }
    });
    assert_eq!(server.command(&["EXISTS", "order:42"]), "0");
}

/// How many connections hear the hand-offs of each process.
fn hearing(server: &RedisServer) -> Vec<String> {
    let channels = server.command(&["PUBSUB", "CHANNELS", "dlock:i:*"]);
    let count = |channel| server.command(&["PUBSUB", "NUMSUB", channel]).lines().skip(1).collect();
    channels.lines().map(count).collect()
}

/// The connection of a runtime hears hand-offs, so that none of them takes a detour over the keeper's thread.
#[test]
fn a_connection_of_a_runtime_hears_hand_offs() {
    let (server, runtime) = (RedisServer::start(), current_thread());
    let locks = runtime.block_on(manager(&server));
    assert_eq!(hearing(&server), ["1"]);
    runtime.block_on(busy_until(&server, &locks, "busy", 2));
    assert_eq!(hearing(&server), ["2"]);
}

/// A runtime whose connection would hear a hand-off is only kept. The keeper's connection hears it too, and the next
/// waiter of the process gets the lock.
#[test]
fn a_hand_off_to_a_runtime_that_is_not_driven_goes_on_to_the_next_waiter() {
    let (server, kept, driven) = (RedisServer::start(), current_thread(), current_thread());
    let locks = kept.block_on(manager(&server));
    kept.block_on(busy_until(&server, &locks, "busy", 2));
    let holder = driven.block_on(async { manager(&server).await.lock("order:42").await.unwrap() });
    let mut late = Box::pin(locks.lock("order:42").acquire());
    kept.block_on(async {
        assert!(futures_util::poll!(&mut late).is_pending());
        wait_until_async("it waits", PATIENCE, async || {
            server.command(&["ZCARD", "dlock:w:p:{order:42}"]) == "1"
        })
        .await;
    });
    let next = driven.block_on(async {
        let mut next = Box::pin(locks.lock("order:42").acquire());
        assert!(futures_util::poll!(&mut next).is_pending());
        holder.release().await.unwrap();
        next.await.unwrap()
    });
    assert!(next.is_valid());
    drop((late, next));
}
