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
        "zookeeper://marker-user:marker-password@127.0.0.1:1",
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
        let building = at(hosts).session_timeout(Duration::from_millis(500)).build();
        let error = soon("building fails", building).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{hosts}: {error}");
        assert_eq!((error.operation(), error.backend()), (Some(Operation::Connect), Some("zookeeper")));
    }
}
