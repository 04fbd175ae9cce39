//! A follower is cut off from its leader, or learns late what the leader did.

use super::flawed::Trusting;
use super::*;

/// An ensemble, a client of each member, and the leader's number.
struct Scene {
    ensemble: ZooKeeperEnsemble,
    clients: Vec<LockManager>,
    follower: usize,
}

impl Scene {
    async fn set(over: impl Fn(ZooKeeperBackend) -> LockManager) -> Self {
        let ensemble = ZooKeeperEnsemble::start_with_links();
        let mut clients = Vec::new();
        for index in 0..3 {
            clients.push(over(backend(&ensemble.server(index).hosts()).await));
        }
        let follower = (ensemble.leader() + 1) % 3;
        Self { ensemble, clients, follower }
    }

    /// A client of the follower holds a lock, everybody waits for it, and the follower is cut off until the others
    /// have had the lock.
    async fn cut_a_holder_off(&self) -> Contention {
        let mut contention = Contention::start(&self.clients, &KEYS);
        contention.more_turns(30).await;
        contention.keep("held", self.clients[self.follower].lock("held").await.unwrap());
        for locks in &self.clients {
            contention.add(locks, "held");
        }
        self.ensemble.cut_off(self.follower);
        until("the others had the lock", async || contention.turns_on("held") > 5).await;
        assert_eq!(
            self.ensemble.server(self.follower).mode().as_deref(),
            Some("follower"),
            "it notices nothing"
        );
        contention
    }
}

/// S12, Z13: the holder is not told, and its server goes on answering.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_behind_a_follower_that_is_cut_off_is_lost_before_the_next_is_granted() {
    let scene = Scene::set(over).await;
    let contention = scene.cut_a_holder_off().await;
    scene.ensemble.reconnect(scene.follower);
    let probe = scene.clients[scene.follower].lock("probe").wait(LIMIT).acquire();
    soon("the client behind it works again", probe).await.unwrap().release().await.unwrap();
    contention.more_turns(30).await;
    end(contention, &scene.ensemble, &scene.clients).await;
}

/// The control of S12 and Z1: a client that trusts its session has the lock at the same time as the next holder, and
/// the check notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_trusts_its_session_is_one_of_two() {
    let scene = Scene::set(|backend| over(Trusting(backend))).await;
    let history = scene.cut_a_holder_off().await.stop().await;
    assert!(matches!(history.check(), Err(Violation::Overlap(..))), "nothing was noticed");
    history.check_order().expect("tokens rise all the same");
}

/// S4, Z3, Z13: the node is made, the answer is lost, and the server that is asked next learns of the node late. The
/// node is found again: there is only one, and no client waits for itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_answer_was_lost_is_found_behind_a_follower_that_lags() {
    let scene = Scene::set(over).await;
    let leader = scene.ensemble.server(scene.ensemble.leader());
    let way = Link::to(leader.address());
    way.delay(Duration::from_millis(100));
    scene.ensemble.slow_down(scene.follower, Duration::from_millis(150));
    let either = format!("{},{}", way.address(), scene.ensemble.server(scene.follower).hosts());
    for round in 0..3 {
        let key = format!("lost:{round}");
        let locks = behind(&way, &either).await;
        let acquire = tokio::spawn(locks.lock(&key).wait(LIMIT).acquire());
        let nodes = || leader.four_letter("dump").matches(&format!("/locks/{key}/")).count();
        until("the node is made", async || nodes() == 1).await;
        assert!(!acquire.is_finished(), "the answer is on its way");
        way.close();
        let guard = soon("it is found", acquire).await.unwrap().unwrap();
        assert_eq!(nodes(), 1);
        guard.release().await.unwrap();
        way.open();
        end(Contention::default(), &scene.ensemble, &[locks]).await;
    }
}

/// A client of several servers that came by `way`.
async fn behind(way: &Link, hosts: &str) -> LockManager {
    loop {
        let before = way.connects();
        let locks = client(hosts).await;
        if way.connects() > before {
            return locks;
        }
    }
}

/// S4, Z5, Z13: clients of a follower that is 150 ms behind, and one that comes to it from the leader again and again,
/// with whatever request it has under way.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_lags_behind_costs_time_alone() {
    let mut scene = Scene::set(over).await;
    let leader = Link::to(scene.ensemble.server(scene.ensemble.leader()).address());
    let either = format!("{},{}", leader.address(), scene.ensemble.server(scene.follower).hosts());
    scene.clients.push(client(&either).await);
    scene.ensemble.slow_down(scene.follower, Duration::from_millis(150));
    let contention = Contention::start(&scene.clients, &KEYS);
    for _ in 0..5 {
        contention.more_turns(10).await;
        leader.close();
        contention.more_turns(10).await;
        leader.open();
    }
    end(contention, &scene.ensemble, &scene.clients).await;
}
