//! Servers of other versions and another name, each named by its test.

use super::sentinel::{fail_over_under_contention, leave_a_demoted_primary};
use super::*;
use dlock_tests::RedisKind;

/// What makes a server refuse the commands of a script, while it serves everything else.
const REFUSALS: [(&[&str], ErrorKind); 4] = [
    (&["HSET", "order:42", "some", "field"], ErrorKind::Corrupt),
    (&["CONFIG", "SET", "maxmemory", "1"], ErrorKind::Unavailable),
    (&["REPLICAOF", "127.0.0.1", "1"], ErrorKind::Unavailable),
    (&["ACL", "SETUSER", "dlock", "-set", "-time"], ErrorKind::Auth),
];

/// The error of an acquire at a server of this kind after this command.
async fn refused_after(command: &[&str], kind: RedisKind) -> LockError {
    let server = RedisServer::builder().kind(kind).config("user dlock on nopass ~* &* +@all");
    let server = server.config("user default on nopass ~* &* +@all").start();
    let url = server.url().replace("redis://", "redis://dlock:any@");
    let backend = RedisBackend::builder().url(url).request_timeout(BRIEF).build().await.unwrap();
    server.command(command);
    tried(&backend, &claim("order:42")).await.unwrap_err()
}

/// The error's text without its server, and without what that said of its own.
fn our_words(error: &LockError) -> String {
    let (text, server) = (error.to_string(), error.server().unwrap_or_default());
    text.split(" (the server says: ").next().unwrap().replace(server, "the server")
}

/// S21: what a server refuses inside a script is the same error from every server, though Redis 6.2 tells it in
/// other words.
#[tokio::test]
async fn scripts_are_refused_alike_by_every_server() {
    for (command, kind) in REFUSALS {
        let reference = refused_after(command, RedisKind::Installed).await;
        assert_eq!(reference.kind(), kind, "{command:?}: {reference}");
        for other in RedisKind::ALL {
            let refused = refused_after(command, other).await;
            assert_eq!(refused.kind(), kind, "{command:?} at {other:?}: {refused}");
            assert_eq!(our_words(&refused), our_words(&reference), "{command:?} at {other:?}");
        }
    }
}

/// S21: nor does a server that takes no writes for now look like one that grants no rights.
#[tokio::test]
async fn a_full_server_is_unavailable_from_the_start() {
    for kind in RedisKind::ALL {
        let server = RedisServer::builder().kind(kind).config("maxmemory 1").start();
        let builder = RedisBackend::builder().url(server.url()).connect_within(BRIEF);
        let refused = builder.build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{kind:?}: {refused}");
        assert!(refused.to_string().contains("maxmemory"), "{kind:?}: {refused}");
    }
}

/// S21.
#[test]
fn every_server_is_the_one_that_its_name_says() {
    let versions = [
        (RedisKind::Redis62, "redis_version:6.2."),
        (RedisKind::Redis82, "redis_version:8.2."),
        (RedisKind::Valkey91, "valkey_version:9.1."),
    ];
    for (kind, version) in versions {
        let info = RedisServer::builder().kind(kind).start().command(&["INFO", "server"]);
        assert!(info.contains(version), "{kind:?}: {info}");
    }
}

/// S4, S21.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_of_redis_6_2_is_followed() {
    fail_over_under_contention(RedisKind::Redis62).await;
}

/// S4, S21.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_of_redis_8_2_is_followed() {
    fail_over_under_contention(RedisKind::Redis82).await;
}

/// S4, S21.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_of_valkey_9_1_is_followed() {
    fail_over_under_contention(RedisKind::Valkey91).await;
}

/// S6, S21: READONLY comes from inside a script.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_primary_of_redis_6_2_is_left() {
    leave_a_demoted_primary(RedisKind::Redis62).await;
}

/// S21: a cluster needs shard channels, which Redis has since 7.0.
#[tokio::test]
async fn a_cluster_of_redis_6_2_is_refused() {
    let node = RedisServer::builder().kind(RedisKind::Redis62).config("cluster-enabled yes").start();
    node.serve_all_slots();
    let url = format!("redis+cluster://{}", node.address());
    let refused = RedisBackend::builder().url(url).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    assert!(refused.to_string().contains("7.0"), "{refused}");
}

/// S21: the mode that Valkey calls by another name is read.
#[tokio::test]
async fn a_node_of_a_cluster_of_valkey_is_refused_by_itself() {
    let node = RedisServer::builder().kind(RedisKind::Valkey91).config("cluster-enabled yes").start();
    let refused = RedisBackend::builder().url(node.url()).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
    assert!(refused.to_string().contains("redis+cluster://"), "{refused}");
}
