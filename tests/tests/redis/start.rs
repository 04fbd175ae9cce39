//! Servers that are not there when a service starts, and how connections call themselves.

use super::*;
use dlock_core::{RedisBackendBuilder, RedlockBackend};
use dlock_tests::{Fake, FakeRedis, RedisKind};
use std::thread;

/// A server with data that it takes its time to load, down for now.
fn down_with_data() -> RedisServer {
    let mut server = RedisServer::builder()
        .config("appendonly yes")
        .config("key-load-delay 10000")
        .config("loading-process-events-interval-bytes 1024")
        .start();
    for number in 0..100 {
        server.command(&["SET", &format!("data:{number}"), &"x".repeat(100)]);
    }
    server.kill();
    server
}

/// Starts `server` beside what the test does.
fn starting(mut server: RedisServer) -> thread::JoinHandle<RedisServer> {
    thread::spawn(move || {
        server.restart();
        server
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_waits_for_a_server_that_is_down_and_then_loads() {
    let server = down_with_data();
    let builder = RedisBackend::builder().url(server.url()).connect_within(PATIENCE);
    let building = tokio::spawn(builder.build());
    let server = starting(server);
    let locks = over(building.await.unwrap().unwrap(), LONG);
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    server.join().unwrap();
}

/// Behind sentinels, which name a primary that is started again, too: when a backend is built, and in service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_loads_is_waited_for_behind_sentinels() {
    let server = down_with_data();
    let port = server.port().to_string();
    let sentinel = FakeRedis::start(move |command| match command[0].as_str() {
        "HELLO" => Fake::error("NOPROTO no such protocol"),
        "SENTINEL" => Fake::list(&["127.0.0.1", &port]),
        _ => Fake::Pass,
    });
    let sentinel = sentinel.await.unwrap();
    let url = format!("redis+sentinel://{}/main?connect_within=30s", sentinel.address());
    let connecting = tokio::spawn(async move { LockManager::connect(&url).await });
    let server = starting(server);
    let locks = connecting.await.unwrap().unwrap();
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    let mut server = server.join().unwrap();
    server.kill();
    let waiting = tokio::spawn(locks.lock("order:42").acquire());
    let server = starting(server);
    waiting.await.unwrap().unwrap().release().await.unwrap();
    server.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_by_a_url_waits_as_well() {
    let server = down_with_data();
    let url = format!("{}?connect_within=30s", server.url());
    let connecting = tokio::spawn(async move { LockManager::connect(&url).await });
    let server = starting(server);
    drop(connecting.await.unwrap().unwrap().lock("order:42").await.unwrap());
    server.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_is_waited_for() {
    let mut servers = [(); 3].map(|()| RedisServer::start());
    servers[0].kill();
    servers[1].kill();
    let builder = RedlockBackend::builder().servers(servers.iter().map(RedisServer::url));
    let building = tokio::spawn(builder.connect_within(PATIENCE).build());
    let [first, _second, _third] = servers;
    let server = starting(first);
    let locks = over(building.await.unwrap().unwrap(), LONG);
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    server.join().unwrap();
}

/// What does not pass by itself is told at once, however long a build may wait.
#[tokio::test]
async fn a_wrong_password_is_not_waited_out() {
    let server = RedisServer::builder().password("marker-secret").start();
    let builder = RedisBackend::builder().url(server.url()).connect_within(Duration::MAX);
    assert_eq!(builder.build().await.unwrap_err().kind(), ErrorKind::Auth);
}

fn lazy(server: &RedisServer) -> RedisBackendBuilder {
    RedisBackend::builder().url(server.url()).lazy()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lazy_backend_connects_at_the_first_lock() {
    let mut server = RedisServer::start();
    server.kill();
    let locks = over(lazy(&server).build().await.unwrap(), LONG);
    let refused = locks.lock("order:42").try_acquire().await.unwrap_err();
    assert_eq!((refused.kind(), refused.backend()), (ErrorKind::Unavailable, Some("redis")), "{refused}");
    let waiting = tokio::spawn(locks.lock("order:42").acquire());
    let server = starting(server);
    waiting.await.unwrap().unwrap().release().await.unwrap();
    server.join().unwrap();
}

#[tokio::test]
async fn a_lazy_backend_that_is_not_used_sends_nothing() {
    let server = RedisServer::start();
    let before = requests(&server);
    drop(lazy(&server).build().await.unwrap());
    assert_eq!(requests(&server) - before, 1, "the question itself");
}

/// The checks of a build are those of the first lock.
#[tokio::test]
async fn a_lazy_backend_tells_what_a_build_would_have_told() {
    let server = RedisServer::builder()
        .config("user dlock on >secret ~* &* +@all -zadd")
        .config("user default on nopass ~* &* +@all")
        .start();
    let url = server.url().replace("://", "://dlock:secret@");
    let locks = over(RedisBackend::builder().url(format!("{url}?lazy=true")).build().await.unwrap(), LONG);
    for _ in 0..2 {
        let refused = locks.lock("order:42").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
        assert!(refused.to_string().contains("ZADD"), "{refused}");
    }
    server.command(&["ACL", "SETUSER", "dlock", "+zadd"]);
    let serves = async || locks.lock("order:42").await.is_ok();
    wait_until_async("the account is looked at again", PATIENCE, serves).await;
}

/// A first lock that is given up leaves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_lock_that_is_dropped_leaves_nothing() {
    let mut server = RedisServer::start();
    server.pause();
    let locks = over(lazy(&server).build().await.unwrap(), LONG);
    let dropped = tokio::time::timeout(BRIEF, locks.lock("order:42").acquire()).await;
    assert!(dropped.is_err(), "it waits for the server");
    server.resume();
    let other = manager(&server).await;
    other.lock("order:42").await.unwrap().release().await.unwrap();
    locks.shutdown().await.unwrap();
    assert_eq!(server.command(&["KEYS", "order:*"]), "");
}

/// S21: servers before 7.2 know names, and no libraries.
#[tokio::test]
async fn connections_call_themselves() {
    for kind in RedisKind::ALL {
        let server = RedisServer::builder().kind(kind).start();
        let locks = manager(&server).await;
        locks.lock("order:42").await.unwrap().release().await.unwrap();
        let clients = server.command(&["CLIENT", "LIST"]);
        let pid = format!(":{} ", std::process::id());
        let own: Vec<_> = clients.lines().filter(|line| line.contains(" name=dlock:")).collect();
        assert!(!own.is_empty() && own.iter().all(|line| line.contains(&pid)), "{kind:?}: {clients}");
        if matches!(kind, RedisKind::Redis82 | RedisKind::Valkey91) {
            assert!(own.iter().all(|line| line.contains(" lib-name=dlock ")), "{kind:?}: {clients}");
        }
    }
}

#[tokio::test]
async fn a_server_that_gives_no_names_serves_all_the_same() {
    let server = RedisServer::builder()
        .config("user dlock on >secret ~* &* +@all -client")
        .config("user default on nopass ~* &* +@all")
        .start();
    let url = server.url().replace("://", "://dlock:secret@");
    let locks = over(RedisBackend::builder().url(url).build().await.unwrap(), LONG);
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    assert!(!server.command(&["CLIENT", "LIST"]).contains("name=dlock:"));
}
