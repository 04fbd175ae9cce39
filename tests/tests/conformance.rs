//! The conformance suite on real servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use dlock_core::RedisBackend;
use dlock_core::backend::redis::Recipe;
use dlock_core::testing::Fixture;
use dlock_tests::shared_redis;

mod redis {
    use super::recipe;
    use dlock_core::backend::redis::Recipe;

    dlock_core::conformance_suite!(recipe(Recipe::Fair));
}

mod redis_hand_over {
    use super::recipe;
    use dlock_core::HandOver;
    use dlock_core::backend::redis::Recipe;

    dlock_core::conformance_suite!(recipe(Recipe::Fair).hand_over(HandOver::default()), without_queue);
}

/// Each waiter's channel and all keys lie in the namespace.
mod redis_in_a_namespace {
    use super::recipe;
    use dlock_core::backend::redis::Recipe;

    dlock_core::conformance_suite!(recipe(Recipe::Fair).in_namespace("shop:"));
}

mod redis_barging {
    use super::recipe;
    use dlock_core::backend::redis::Recipe;

    dlock_core::conformance_suite!(recipe(Recipe::Barging), without_queue);
}

mod redis_plain {
    use super::recipe;
    use dlock_core::backend::redis::Recipe;

    dlock_core::conformance_suite!(recipe(Recipe::Plain), without_queue);
}

mod redis_timestamp {
    use super::recipe;
    use dlock_core::backend::redis::Recipe;

    dlock_core::conformance_suite!(recipe(Recipe::Timestamp), without_queue);
}

fn recipe(recipe: Recipe) -> Fixture {
    let url = shared_redis().url();
    Fixture::new(move || {
        let builder = RedisBackend::builder().url(&url).recipe(recipe);
        async move { builder.build().await.unwrap() }
    })
}

mod redis_cluster {
    use dlock_core::RedisBackend;
    use dlock_core::testing::Fixture;
    use dlock_tests::RedisCluster;
    use std::sync::LazyLock;

    static CLUSTER: LazyLock<RedisCluster> = LazyLock::new(RedisCluster::start);

    fn fixture() -> Fixture {
        Fixture::new(|| {
            let builder = RedisBackend::builder().url(CLUSTER.url());
            async move { builder.build().await.unwrap() }
        })
    }

    dlock_core::conformance_suite!(fixture());

    /// All keys lie in one slot.
    mod in_a_namespace {
        use super::fixture;

        dlock_core::conformance_suite!(fixture().in_namespace("{shop}:"));
    }
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

    mod in_a_namespace {
        use super::fixture;

        dlock_core::conformance_suite!(fixture().in_namespace("shop/"));
    }

    mod hand_over {
        use super::fixture;
        use dlock_core::HandOver;

        dlock_core::conformance_suite!(fixture().hand_over(HandOver::default()), without_queue);
    }
}

mod zookeeper_simple {
    use dlock_core::ZooKeeperBackend;
    use dlock_core::backend::zookeeper::Recipe;
    use dlock_core::testing::Fixture;
    use dlock_tests::shared_zookeeper;
    use std::time::Duration;

    fn fixture() -> Fixture {
        let hosts = shared_zookeeper().hosts();
        Fixture::new(move || {
            let builder = ZooKeeperBackend::builder().hosts(&hosts).recipe(Recipe::Simple).root("/simple");
            async move { builder.session_timeout(Duration::from_secs(4)).build().await.unwrap() }
        })
    }

    dlock_core::conformance_suite!(fixture(), without_queue);
}
