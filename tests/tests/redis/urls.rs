//! What a URL can say.

use super::*;
use dlock_tests::{RedisCluster, RedisKind, RedisSentinel};

/// A server that also listens at a socket, and the path of that.
fn with_socket(more: &[&str]) -> (RedisServer, String) {
    let builder = RedisServer::builder().config("unixsocket redis.sock");
    let server = more.iter().fold(builder, |builder, line| builder.config(line)).start();
    let path = server.directory().join("redis.sock").display().to_string();
    (server, path)
}

/// Under one URL a lock is held that is then busy under the other.
async fn are_of_one_server(one: &str, other: &str) {
    let [one, other] = [LockManager::connect(one).await.unwrap(), LockManager::connect(other).await.unwrap()];
    let (guard, key) = (one.lock("order:42").await.unwrap(), "order:42");
    assert!(other.lock(key).try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_socket_of_this_machine_is_a_server() {
    let (server, path) = with_socket(&[]);
    for scheme in ["unix", "redis+unix", "valkey+unix", "UNIX"] {
        are_of_one_server(&server.url(), &format!("{scheme}://{path}")).await;
    }
    let backend = RedisBackend::builder().url(format!("unix://{path}")).build().await.unwrap();
    assert!(format!("{backend:?}").contains("redis.sock"), "{backend:?}");
}

#[tokio::test]
async fn a_socket_has_a_login_and_databases() {
    let (server, path) = with_socket(&["user dlock on >marker%secret ~* &* +@all"]);
    let url = format!("unix://dlock:marker%25secret@{path}?db=3");
    let locks = LockManager::connect(&url).await.unwrap();
    let _guard = locks.lock("order:42").await.unwrap();
    assert!(server.command(&["INFO", "keyspace"]).contains("db3:keys="));
    assert!(server.command(&["CLIENT", "LIST"]).contains("user=dlock"));
    let wrong = LockManager::connect(&format!("unix://dlock:marker@{path}")).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Auth, "{wrong}");
    assert!(!format!("{wrong:?}").contains("marker"), "{wrong:?}");
}

#[tokio::test]
async fn a_scheme_is_valkeys_too_and_in_any_case() {
    let url = shared_redis().url();
    for scheme in ["valkey://", "Redis://", "VALKEY://"] {
        let key = fresh_key("scheme");
        let locks = LockManager::connect(&url.replace("redis://", scheme)).await.unwrap();
        locks.lock(key.as_str()).await.unwrap().release().await.unwrap();
    }
}

#[tokio::test]
async fn a_database_is_named_once() {
    let server = RedisServer::start();
    let locks = LockManager::connect(&format!("{}?db=3", server.url())).await.unwrap();
    let _guard = locks.lock("order:42").await.unwrap();
    assert!(server.command(&["INFO", "keyspace"]).contains("db3:keys="));
    for (url, kind) in [("/2?db=3", ErrorKind::InvalidOption), ("/99", ErrorKind::InvalidOption)] {
        let refused = LockManager::connect(&(server.url() + url)).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
    }
}

/// S21: a cluster of Valkey 9 has the databases that it is configured to have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_has_databases_where_the_server_allows_it() {
    let cluster = RedisCluster::builder().kind(RedisKind::Valkey91).config("cluster-databases 4").start();
    let at = async |database| {
        let backend = RedisBackend::builder().url(format!("{}/{database}", cluster.url())).build().await;
        over(backend.unwrap(), LONG)
    };
    let (one, other, outside) = (at(3).await, at(3).await, at(0).await);
    let guard = one.lock("order:42").await.unwrap();
    outside.lock("order:42").await.unwrap().release().await.unwrap();
    let waiter = tokio::spawn(other.lock("order:42").acquire());
    guard.release().await.unwrap();
    waiter.await.unwrap().unwrap().release().await.unwrap();
    let refused = RedisBackend::builder().url(format!("{}/9", cluster.url())).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sentinels_password_can_be_in_the_url() {
    let sentinel =
        RedisSentinel::builder().password("marker-secret").sentinel_password("marker&other").start();
    let url = sentinel.url().replace("://", "://:marker-secret@");
    let locks = LockManager::connect(&format!("{url}?sentinel_password=marker%26other")).await.unwrap();
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    let refused = LockManager::connect(&format!("{url}?sentinel_password=marker")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    assert!(!format!("{locks:?} {refused:?}").contains("marker"), "{refused:?}");
}

/// A service that is configured by a URL sets what is not in it, and what it sets wins.
#[tokio::test]
async fn what_a_builder_sets_wins_over_the_url() {
    let (server, key) = (RedisServer::start(), "order:42".to_owned());
    let url = format!("{}?ttl=1h&wait=0s&quarantine=2h&caller_connections=0", server.url());
    let from_url = LockManager::connect(&url).await.unwrap();
    let held = over(backend(&server).await, LONG).lock(key.as_str()).await.unwrap();
    assert_eq!(from_url.lock(key.as_str()).await.unwrap_err().kind(), ErrorKind::Unavailable, "a quarantine");
    held.release().await.unwrap();
    let builder = LockManager::builder_from_url(&format!("{}?ttl=1h", server.url())).await.unwrap();
    let set = builder.ttl(BRIEF).hand_over(HandOver::OFF).build().unwrap();
    let guard = set.lock(key.as_str()).await.unwrap();
    assert!(left_ms(&server, &key) <= 600, "the ttl of the builder");
    guard.release().await.unwrap();
}

#[tokio::test]
async fn the_last_call_of_a_backends_builder_wins() {
    let url = shared_redis().url();
    let wrong = format!("{url}?request_timeout=0s");
    let refused = RedisBackend::builder().request_timeout(BRIEF).url(&wrong).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
    RedisBackend::builder().url(&wrong).request_timeout(BRIEF).build().await.unwrap();
}

#[tokio::test]
async fn an_option_that_is_not_known_is_refused_by_name_with_those_that_are() {
    for url in ["redis://127.0.0.1:1", "redlock://a,b,c", "zookeeper://127.0.0.1:1", "memory:"] {
        let refused = LockManager::connect(&format!("{url}?tll=30s")).await.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.operation()),
            (ErrorKind::InvalidOption, Some(Operation::Connect))
        );
        let text = refused.to_string();
        assert!(text.contains("tll") && text.contains("ttl, wait"), "{text}");
    }
    let of_the_manager =
        RedisBackend::builder().url("redis://127.0.0.1:1?ttl=30s").build().await.unwrap_err();
    assert!(of_the_manager.to_string().contains("ttl"), "{of_the_manager}");
}

#[tokio::test]
async fn several_servers_need_a_scheme_that_says_how_they_belong_together() {
    let refused = LockManager::connect("redis://127.0.0.1:1,127.0.0.1:2").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
    for scheme in ["redis+sentinel", "redis+cluster", "redlock"] {
        assert!(refused.to_string().contains(scheme), "{refused}");
    }
}

/// What an operator reads is where it was, what is wrong and what helps.
#[tokio::test]
async fn what_a_url_is_wrong_about_is_said_with_the_server_and_the_remedy() {
    let server = RedisServer::start();
    let (url, place) = (server.url(), server.url().replace("redis://", ""));
    let place = place.trim_end_matches('/');
    for (url, kind, remedy) in [
        (format!("{url}/99"), ErrorKind::InvalidOption, "no such database"),
        (url.replace("redis:", "redis+sentinel:") + "/main", ErrorKind::InvalidOption, "not a sentinel"),
        (url.replace("redis:", "redis+cluster:"), ErrorKind::InvalidOption, "redis://"),
        ("redis://127.0.0.1:1".to_owned(), ErrorKind::Unavailable, "onnection refused"),
        ("redis://127.0.0.1:1/?timeout=5".to_owned(), ErrorKind::InvalidOption, "unknown option timeout"),
    ] {
        let separator = if url.contains('?') { "&" } else { "?" };
        let refused = LockManager::connect(&format!("{url}{separator}connect_within=0s")).await.unwrap_err();
        let text = refused.to_string();
        assert_eq!(refused.kind(), kind, "{url}: {text}");
        assert!(text.starts_with("connect on redis") && text.contains(remedy), "{url}: {text}");
        assert!(!text.contains("6.2"), "{url}: {text}");
        if text.contains("no such database") || text.contains("cluster") {
            assert_eq!(refused.server(), Some(place), "{text}");
        }
        if kind == ErrorKind::Unavailable {
            assert_eq!(refused.server(), Some("127.0.0.1:1"), "{text}");
        }
    }
}
