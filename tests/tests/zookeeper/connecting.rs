//! Hosts that cannot be reached, and secrets that must not be shown.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_not_shown() {
    let builder = at(&shared_zookeeper().hosts()).digest_auth("marker-user", "marker-password");
    assert!(!format!("{builder:?}").contains("marker"), "{builder:?}");
    let backend = builder.root(format!("/{}", fresh_key("secrets"))).build().await.unwrap();
    assert!(!format!("{backend:?}").contains("marker"), "{backend:?}");
    let locks = manager(backend);
    let guard = locks.lock("k").await.unwrap();
    assert!(!format!("{locks:?} {guard:?}").contains("marker"));
    for url in [
        "zookeeper://marker-user:marker-password@127.0.0.1:1/locks?marker",
        "zookeeper://marker-user:marker-password@127.0.0.1:1?connect_within=0s",
    ] {
        let error = LockManager::connect(url).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("marker"), "{error:?}");
    }
}

/// S18, I10.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_be_reached_is_unavailable() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().map(|address| (address.to_string(), silent)).unwrap();
    for hosts in ["127.0.0.1:1", &silent.0, "no-such-host.invalid:2181"] {
        let building =
            at(hosts).session_timeout(Duration::from_millis(500)).connect_within(Duration::ZERO).build();
        let error = soon("building fails", building).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{hosts}: {error}");
        assert_eq!((error.operation(), error.backend()), (Some(Operation::Connect), Some("zookeeper")));
    }
}

/// Starts `server` beside what the test does.
fn starting(mut server: ZooKeeperServer) -> std::thread::JoinHandle<ZooKeeperServer> {
    std::thread::spawn(move || {
        server.restart();
        server
    })
}

fn down() -> ZooKeeperServer {
    let mut server = ZooKeeperServer::start();
    server.kill();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_waits_for_servers_that_are_not_there_yet() {
    let server = down();
    let url = format!("zookeeper://{}?connect_within=1m&session_timeout=10s", server.hosts());
    let connecting = tokio::spawn(async move { LockManager::connect(&url).await });
    let server = starting(server);
    connecting.await.unwrap().unwrap().lock("k").await.unwrap().release().await.unwrap();
    server.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lazy_backend_connects_at_the_first_lock() {
    let server = down();
    let locks = manager(at(&server.hosts()).lazy().build().await.unwrap());
    let refused = locks.lock("k").try_acquire().await.unwrap_err();
    assert_eq!((refused.kind(), refused.backend()), (ErrorKind::Unavailable, Some("zookeeper")), "{refused}");
    let waiting = tokio::spawn(locks.lock("k").acquire());
    let server = starting(server);
    waiting.await.unwrap().unwrap().release().await.unwrap();
    server.join().unwrap();
}

/// The checks of a build are those of the first lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_lazy_backend_tells_what_a_build_would_have_told() {
    let (hosts, root) = (shared_zookeeper().hosts(), format!("/{}", fresh_key("lazy")));
    let owner = at(&hosts).root(&root).digest_auth("owner", "secret").build().await.unwrap();
    manager(owner).lock("k").await.unwrap().release().await.unwrap();
    let stranger = at(&hosts).root(&root).digest_auth("stranger", "secret").lazy();
    let refused = manager(stranger.build().await.unwrap()).lock("other").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
}
