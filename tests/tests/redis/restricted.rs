//! Proxies, and servers that do not let a client do everything.

use super::*;
use dlock_core::backend::redis::Recipe;
use dlock_tests::{Fake, FakeRedis};

/// How proxies, and old servers, refuse RESP3. The last one repeats what it was given.
const REFUSALS: [&str; 5] = [
    "NOPROTO unsupported protocol version",
    "ERR unknown command `HELLO`, with args beginning with: ",
    "ERR unsupported command 'hello'",
    "NOPERM this user has no permissions to run the 'hello' command",
    "ERR unknown command 'HELLO', with args beginning with: {}",
];

/// A proxy that refuses RESP3 with these words, and the commands of this list as unknown.
async fn proxy(server: &RedisServer, words: &'static str, unknown: &'static [&str]) -> FakeRedis {
    let say = move |command: &[String]| match command[0].as_str() {
        "HELLO" => Fake::error(&words.replace("{}", &command[1..].join(" "))),
        name if unknown.contains(&name) => Fake::error(&format!("ERR unknown command '{name}'")),
        _ => Fake::Pass,
    };
    FakeRedis::before(server.address(), say).await.unwrap()
}

/// As a chain of errors and a log show it.
fn shown(error: &LockError) -> String {
    format!("{error} {error:?} {:?}", std::error::Error::source(error).map(ToString::to_string))
}

/// Without RESP3 the queue's recipes are refused, in words of the server and without the password. The others work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_resp3_is_refused_the_recipes_that_need_none_work() {
    let server = RedisServer::builder().password("marker-secret").start();
    for words in REFUSALS {
        let proxy = proxy(&server, words, &[]).await;
        let url = proxy.url().replace("://", "://:marker-secret@");
        let with = |recipe| RedisBackend::builder().url(&url).recipe(recipe);
        for recipe in [Recipe::Fair, Recipe::Barging] {
            let refused = with(recipe).build().await.unwrap_err();
            assert!(!shown(&refused).contains("marker"), "{refused:?}");
            if words.starts_with("NOPERM") {
                assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
                continue;
            }
            assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
            // The client library takes these words for its own.
            let said = if words.contains('`') { "HELLO" } else { words.split(',').next().unwrap() };
            for part in ["RESP3", "Recipe::Plain", said] {
                assert!(refused.to_string().contains(part), "{part}: {refused}");
            }
        }
        for recipe in [Recipe::Plain, Recipe::Timestamp] {
            let backend = with(recipe).build().await.unwrap_or_else(|error| unreachable!("{words}: {error}"));
            locks_and_releases(&server, backend).await;
        }
    }
}

/// A proxy that knows no `HELLO`, or a port for TLS: the connection ends without a word. It may be a server that ends, too,
/// so what is to be looked at is told, and it is tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_at_the_greeting_is_told_from_one_that_cannot_be_made() {
    let proxy = FakeRedis::start(|_| Fake::End).await.unwrap();
    let (ends, refuses) = (proxy.url(), "redis://127.0.0.1:1".to_owned());
    for (url, is_greeted) in [(ends, true), (refuses, false)] {
        for recipe in [Recipe::Fair, Recipe::Plain] {
            let builder = RedisBackend::builder().url(&url).recipe(recipe).connect_within(Duration::ZERO);
            let refused = builder.build().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
            assert_eq!(
                refused.to_string().contains("HELLO") && refused.to_string().contains("rediss"),
                is_greeted
            );
        }
    }
}

/// Without scripts as well: by transactions, on connections of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plain_recipe_works_over_resp2_without_scripts() {
    let server = RedisServer::start();
    let proxy = proxy(&server, REFUSALS[0], &["EVAL", "EVALSHA", "INFO", "CLIENT", "DELEX", "DELIFEQ"]).await;
    let plain = RedisBackend::builder().url(proxy.url()).recipe(Recipe::Plain);
    locks_and_releases(&server, plain.build().await.unwrap()).await;
    assert!(calls(&server, "watch") > 0, "by transactions");
}

/// A lock is held, waited for, renewed, handed on, and released; its connection dies in between.
async fn locks_and_releases(server: &RedisServer, backend: RedisBackend) {
    let locks = each_for_itself(backend.clone(), BRIEF);
    let guard = locks.lock("order:42").await.unwrap();
    assert!(locks.lock("order:42").try_acquire().await.unwrap().is_none());
    let waiter = tokio::spawn(locks.lock("order:42").acquire());
    dlock_core::sleep_until(Moment::now().after(guard.remaining())).await;
    assert!(guard.is_valid(), "it is renewed");
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    let token = guard.token();
    guard.release().await.unwrap();
    let next = tokio::time::timeout(PATIENCE, waiter).await.unwrap().unwrap().unwrap();
    assert!(next.token() > token);
    next.release().await.unwrap();
    assert_eq!(server.command(&["EXISTS", "order:42"]), "0");
}

/// A proxy in front of a server, which answers `INFO` with this; as an error where it begins with a dash.
async fn saying(server: &RedisServer, info: &'static str) -> FakeRedis {
    let say = move |command: &[String]| match (command[0].as_str(), info.strip_prefix('-')) {
        ("HELLO", _) => Fake::error(REFUSALS[0]),
        ("INFO", Some(error)) => Fake::error(error),
        ("INFO", None) => Fake::Answer(format!("${}\r\n{info}\r\n", info.len())),
        _ => Fake::Pass,
    };
    FakeRedis::before(server.address(), say).await.unwrap()
}

/// What a server says of itself may be missing, or wrong. The caller can say that it is what the URL says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_or_something_wrong_of_itself_can_be_used() {
    let server = RedisServer::start();
    for (info, verdict) in [
        ("-ERR unknown command 'INFO'", Ok(())),
        ("-NOPERM this user has no permissions to run the 'info' command", Ok(())),
        ("-ERR command is not allowed", Ok(())),
        ("", Ok(())),
        ("what else there may be", Ok(())),
        ("redis_version:7.2.4\r\nserver_mode:standalone\r\nrole:master\r\n", Ok(())),
        ("redis_version:7.2.4\r\nserver_mode:cluster\r\nrole:master\r\n", Err(ErrorKind::InvalidOption)),
        ("redis_version:7.2.4\r\nredis_mode:cluster\r\n", Err(ErrorKind::InvalidOption)),
        ("redis_version:4.0.9\r\nredis_mode:standalone\r\n", Err(ErrorKind::Unsupported)),
        ("redis_version:7.2.4\r\nrole:slave\r\n", Err(ErrorKind::Unavailable)),
    ] {
        let proxy = saying(&server, info).await;
        let plain = || {
            let builder = RedisBackend::builder().url(proxy.url()).recipe(Recipe::Plain);
            builder.connect_within(Duration::ZERO)
        };
        let built = plain().build().await.map(drop);
        assert_eq!(built.map_err(|error| error.kind()), verdict, "{info}");
        let mine = claim("order:42");
        let trusting =
            plain().trust_url(true).build().await.unwrap_or_else(|error| unreachable!("{info}: {error}"));
        tried(&trusting, &mine).await.unwrap();
        trusting.release(&mine).await.unwrap();
    }
}

/// What a server says instead of serving is in the error: at build, and when a connection is to be made later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_too_many_clients_is_unavailable_and_says_why() {
    let words = "ERR max number of clients reached";
    let full = FakeRedis::start(move |_| Fake::error(words)).await.unwrap();
    for recipe in [Recipe::Fair, Recipe::Plain] {
        let builder = RedisBackend::builder().url(full.url()).recipe(recipe).connect_within(Duration::ZERO);
        let refused = builder.build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

/// The same with a real server, which is used again once it takes clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_clients_again_is_used_again() {
    let server = RedisServer::start();
    let (backend, mine) = (backend(&server).await, claim("order:42"));
    let mut admin = server.connect();
    let mut ask = |command: &[&str]| {
        admin.send(&[command]).unwrap();
        admin.receive().unwrap()
    };
    ask(&["CONFIG", "SET", "maxclients", "1"]);
    ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let refused = tried(&backend, &mine).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    ask(&["CONFIG", "SET", "maxclients", "100"]);
    let again = async || tried(&backend, &mine).await.is_ok();
    wait_until_async("it is used again", PATIENCE, again).await;
}

/// Behind a proxy that refuses keys of different slots in one call, and is taken for one server: a node of a cluster that has
/// all slots does so too. Each slot then has a counter of its own.
#[tokio::test]
async fn where_keys_of_different_slots_are_refused_each_slot_has_a_counter() {
    let server = RedisServer::builder().config("cluster-enabled yes").start();
    server.serve_all_slots();
    wait_until_async("the cluster is up", PATIENCE, async || {
        server.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
    })
    .await;
    let builder = || RedisBackend::builder().url(server.url()).trust_url(true);
    let (locks, other) =
        (over(builder().build().await.unwrap(), LONG), over(builder().build().await.unwrap(), LONG));
    let all = (0..40).map(|number| locks.lock(format!("order:{number}")).acquire());
    let guards = futures_util::future::join_all(all).await;
    let first = guards[7].as_ref().unwrap().token();
    drop(guards);
    locks.shutdown().await.unwrap();
    let guard = other.lock("order:7").await.unwrap();
    assert!(guard.token() > first);
    let waiter = tokio::spawn(other.lock("order:7").acquire());
    guard.release().await.unwrap();
    assert!(waiter.await.unwrap().unwrap().token() > first);
    assert_eq!(server.command(&["EXISTS", "dlock:f"]), "0");
    assert!(server.command(&["KEYS", "dlock:f:{*}"]).lines().count() > 1, "one for each slot in use");
}
