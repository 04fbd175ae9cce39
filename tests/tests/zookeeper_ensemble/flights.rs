//! How many ways forth and back it takes, wherever the servers are. Counted, not timed.

use super::*;
use dlock_core::backend::zookeeper::{Dialect, Recipe};
use dlock_tests::{ZooKeeperServer, fresh_key};

/// A server, a client that is as far from it as another city, and one beside it.
struct Scene {
    server: ZooKeeperServer,
    way: Link,
    far: LockManager,
    near: LockManager,
}

impl Scene {
    async fn set(recipe: Recipe) -> Self {
        let server = ZooKeeperServer::start();
        let way = Link::to(server.address());
        way.delay(Duration::from_millis(1));
        let [far, near] = [way.address().to_string(), server.hosts()].map(|hosts| {
            // No heartbeat within the test, once the first is answered, and directories that stay: the server of
            // a test removes empty containers within a second.
            let builder = ZooKeeperBackend::builder().hosts(hosts).session_timeout(LIMIT);
            builder.recipe(recipe).dialect(Dialect::Kazoo).build()
        });
        let (far, near) = (over(far.await.unwrap()), over(near.await.unwrap()));
        let scene = Self { server, way, far, near };
        scene.far.lock("warm up").await.unwrap().release().await.unwrap();
        scene
    }

    async fn flights<T>(&self, work: impl Future<Output = T>) -> (usize, T) {
        let before = self.way.flights();
        let done = soon("it is done", work).await;
        (self.way.flights() - before, done)
    }

    async fn watches(&self, count: usize) {
        let wanted = format!("Total watches:{count}");
        until("the watches are set", async || self.server.four_letter("wchs").contains(&wanted)).await;
    }

    /// A key that has its directory.
    async fn used_key(&self) -> String {
        let key = fresh_key("flights");
        self.near.lock(&key).await.unwrap().release().await.unwrap();
        key
    }
}

/// S42.
#[tokio::test(flavor = "multi_thread")]
async fn a_free_lock_takes_one_and_its_release_another() {
    for recipe in [Recipe::Sequential, Recipe::Simple] {
        let scene = Scene::set(recipe).await;
        let key = scene.used_key().await;
        for _ in 0..10 {
            let (acquired, guard) = scene.flights(scene.far.lock(&key).acquire()).await;
            let (released, outcome) = scene.flights(guard.unwrap().release()).await;
            outcome.unwrap();
            assert_eq!((acquired, released), (1, 1), "{recipe:?}");
        }
    }
}

/// The second is for the directory and the node after it. They are sent together, but the client library's socket
/// may hold the later one back until the earlier is acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_directory_takes_one_or_two_more() {
    let scene = Scene::set(Recipe::Sequential).await;
    let (acquired, guard) = scene.flights(scene.far.lock(fresh_key("first")).acquire()).await;
    guard.unwrap().release().await.unwrap();
    assert!((2..=3).contains(&acquired), "{acquired}");
}

/// Taking a place, looking who is ahead, watching it and the own node, where the client library's socket may hold the
/// second watch back until the first is acknowledged; and when the one ahead is gone, nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_takes_three_or_four_and_a_hand_off_none_after_the_news() {
    let scene = Scene::set(Recipe::Sequential).await;
    let key = scene.used_key().await;
    for _ in 0..10 {
        let held = scene.near.lock(&key).await.unwrap();
        let before = scene.way.flights();
        let waiter = tokio::spawn(scene.far.lock(&key).acquire());
        scene.watches(2).await;
        let (handed_off, guard) = scene
            .flights(async {
                held.release().await.unwrap();
                waiter.await.unwrap()
            })
            .await;
        let waited = scene.way.flights() - before - handed_off;
        assert!((3..=4).contains(&waited), "{waited}");
        assert_eq!(handed_off, 0);
        guard.unwrap().release().await.unwrap();
    }
}

/// A try that is refused leaves no node behind, so it has to remove the one that it made; with the simple recipe it
/// has none.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_try_takes_three_or_by_the_simple_recipe_two() {
    for (recipe, expected) in [(Recipe::Sequential, 3), (Recipe::Simple, 2)] {
        let scene = Scene::set(recipe).await;
        let key = scene.used_key().await;
        let held = scene.near.lock(&key).await.unwrap();
        let (tried, outcome) = scene.flights(scene.far.lock(&key).try_acquire()).await;
        assert!(outcome.unwrap().is_none());
        assert_eq!(tried, expected, "{recipe:?}");
        held.release().await.unwrap();
    }
}

/// The control: a client that asks one thing after the other takes more.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_each_answer_is_counted_as_such() {
    let scene = Scene::set(Recipe::Sequential).await;
    let keys = [scene.used_key().await, scene.used_key().await, scene.used_key().await];
    let (in_turn, ()) = scene
        .flights(async {
            for key in &keys {
                scene.far.lock(key).await.unwrap().release().await.unwrap();
            }
        })
        .await;
    assert_eq!(in_turn, 6);
}
