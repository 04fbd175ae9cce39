//! The conformance suite on real servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod redis {
    use dlock_core::RedisBackend;
    use dlock_core::testing::Fixture;
    use dlock_tests::shared_redis;

    fn fixture() -> Fixture {
        let url = shared_redis().url();
        Fixture::new(move || {
            let builder = RedisBackend::builder().url(&url);
            async move { builder.build().await.unwrap() }
        })
    }

    dlock_core::conformance_suite!(fixture());
}

mod redlock {
    use dlock_core::RedlockBackend;
    use dlock_core::testing::Fixture;
    use dlock_tests::RedisServer;
    use std::sync::LazyLock;

    /// Shared by the cases: each has keys of its own.
    static SERVERS: LazyLock<[RedisServer; 3]> = LazyLock::new(|| [(); 3].map(|()| RedisServer::start()));

    fn fixture() -> Fixture {
        Fixture::new(|| {
            let builder = RedlockBackend::builder().servers(SERVERS.iter().map(RedisServer::url));
            async move { builder.build().await.unwrap() }
        })
    }

    dlock_core::conformance_suite!(fixture(), without_queue);
}

mod zookeeper {
    use dlock_core::ZooKeeperBackend;
    use dlock_core::testing::Fixture;
    use dlock_tests::shared_zookeeper;
    use std::time::Duration;

    fn fixture() -> Fixture {
        let hosts = shared_zookeeper().hosts();
        Fixture::new(move || {
            let builder = ZooKeeperBackend::builder().hosts(&hosts).session_timeout(Duration::from_secs(4));
            async move { builder.build().await.unwrap() }
        })
    }

    dlock_core::conformance_suite!(fixture());
}
