//! A server that is behind the leader, or cut off from it, and goes on to answer.

use super::textbook_recipe::TextbookClient;
use super::*;
use dlock_tests::Relay as Road;
use std::net::SocketAddr;
use tokio::runtime::Handle;

/// An ensemble whose server 0 follows the leader by roads that can be blocked.
struct Ensemble {
    servers: ZooKeeperEnsemble,
    roads: Vec<Road>,
    leader: usize,
}

const FOLLOWER: usize = 0;

impl Ensemble {
    fn start() -> Self {
        let roads = Mutex::new(Vec::new());
        let detour = |address: SocketAddr| {
            let road = Handle::current().block_on(Road::to(address)).unwrap();
            let by = road.address();
            roads.lock().unwrap().push(road);
            by
        };
        let servers = tokio::task::block_in_place(|| ZooKeeperEnsemble::start_by_detours(detour));
        let leader = servers.leader();
        assert_ne!(leader, FOLLOWER);
        Self { servers, roads: roads.into_inner().unwrap(), leader }
    }

    /// Leaves the follower and its leader, so that nothing is decided without the follower.
    fn leave_two(&mut self) {
        let third = (0..3).find(|index| ![FOLLOWER, self.leader].contains(index)).unwrap();
        self.servers.kill(third);
    }

    fn leader(&self) -> &ZooKeeperServer {
        self.servers.server(self.leader)
    }

    fn follower(&self) -> &ZooKeeperServer {
        self.servers.server(FOLLOWER)
    }

    fn delivered(&self) -> usize {
        self.roads.iter().map(Road::delivered).sum()
    }

    fn each(&self, act: fn(&Road)) {
        self.roads.iter().for_each(act);
    }
}

/// A client that is connected to the leader, and then to the follower, which does not know yet what the client has
/// made meanwhile.
struct Failover {
    ensemble: Ensemble,
    near: Relay,
    far: Relay,
    operator: Operator,
    key: LockKey,
}

impl Failover {
    async fn begin() -> Self {
        let mut ensemble = Ensemble::start();
        ensemble.leave_two();
        let (near, far) = (Relay::to(ensemble.leader()).await, Relay::to(ensemble.follower()).await);
        far.close();
        let (operator, key) = (Operator::of(ensemble.leader()), LockKey::new("k").unwrap());
        operator.make("/locks/k");
        Self { ensemble, near, far, operator, key }
    }

    fn hosts(&self) -> String {
        format!("{},{}", self.near.hosts(), self.far.hosts())
    }

    /// From here on the leader decides nothing, since the follower does not hear of it.
    fn delay(&self) {
        self.near.take_requests();
        self.ensemble.each(Road::hold_answers);
    }

    /// Once the client has sent a request with this code to the leader, takes it to the follower. That one knows the
    /// client then, and of the request no more than that there is one.
    async fn fail_over(&self, code: i32) {
        let mut sent = Vec::new();
        until("the leader has a request under way", async || {
            sent.extend(self.near.take_requests());
            sent.contains(&code) && !self.ensemble.leader().four_letter("srvr").contains("Outstanding: 0")
        })
        .await;
        let before = self.ensemble.delivered();
        self.near.close();
        self.far.reopen();
        until("the follower asks the leader for the session", async || self.ensemble.delivered() > before)
            .await;
        self.ensemble.each(Road::hold);
        self.ensemble.each(Road::let_answers_go);
    }

    /// From here on the follower is as fast as any.
    fn catch_up(&self) {
        self.ensemble.each(Road::let_go);
    }
}

/// S4, I5: a node is made, the answer is lost, and the client comes to a server that does not know the node yet. It
/// finds the node all the same, and does not wait for itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_found_again_behind_a_follower_that_does_not_know_it_yet() {
    let failover = Failover::begin().await;
    let backend = patient(&failover.hosts()).session_timeout(Duration::from_secs(20)).build().await.unwrap();
    let claim = claim("k");
    failover.delay();
    let waiter = Waiter::start(&backend, &claim);
    failover.fail_over(op_code::MULTI).await;
    let mut asked = Vec::new();
    until("it looks for its node", async || {
        asked.extend(failover.far.take_requests());
        asked.contains(&op_code::LIST)
    })
    .await;
    failover.catch_up();
    let granted = waiter.grant().await;
    let nodes = failover.operator.queue(&failover.key);
    let [node] = nodes.as_slice() else { panic!("{nodes:?}") };
    assert_eq!(failover.operator.czxid(&format!("/locks/k/{node}")), Some(granted.token.as_u64() / 64));
    asked.extend(failover.far.take_requests());
    assert!(!asked.contains(&op_code::MULTI), "it made no other");
    release(&backend, &claim).await.unwrap();
}

/// The control: who looks for its node without a sync finds none, makes another, and stands behind itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_sync_waits_for_its_own_node() {
    let failover = Failover::begin().await;
    let textbook = TextbookClient::at(&failover.hosts(), Duration::from_secs(20), &failover.key).await;
    failover.delay();
    let lost = async { textbook.enqueue("me-").await.unwrap_err() };
    tokio::join!(lost, failover.fail_over(op_code::CREATE_2));
    until("it is connected again", async || textbook.is_connected()).await;
    assert_eq!(textbook.find("me-").await, None, "the follower does not know it");
    let (second, ()) = tokio::join!(textbook.enqueue("me-"), async { failover.catch_up() });
    assert_eq!(failover.operator.queue(&failover.key).len(), 2);
    assert!(!textbook.believes_in(&second.unwrap()).await, "its own first node is ahead");
}

/// S12, I1, I3: a follower is cut off, and goes on to answer; the leader ends the sessions behind it and gives their
/// locks to others. A guard there is lost before that. The control: a client that trusts its connection and the
/// follower's answers holds on.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_behind_a_follower_that_is_cut_off_is_lost_before_the_next_is_granted() {
    let ensemble = Ensemble::start();
    let (inside, outside) = (ensemble.leader().hosts(), ensemble.follower().hosts());
    let (holding, waiting) =
        (manager(at(&outside).build().await.unwrap()), at(&inside).build().await.unwrap());
    let guard = holding.lock("k").await.unwrap();
    let waiter = Waiter::queued(&waiting, &claim("k")).await;
    let (operator, other) = (Operator::of(ensemble.leader()), LockKey::new("other").unwrap());
    operator.make("/locks/other");
    let textbook = TextbookClient::at(&outside, Duration::from_secs(2), &other).await;
    let node = textbook.enqueue("lock-").await.unwrap();
    let next = Waiter::queued(&waiting, &claim("other")).await;
    ensemble.each(Road::hold);
    ensemble.each(Road::hold_answers);
    let granted = waiter.grant().await;
    assert!(!guard.is_valid(), "two holders at once");
    assert!(granted.token > guard.token());
    assert!(is_end_of_session(guard.lost().await));
    next.grant().await;
    assert!(textbook.believes_in(&node).await, "the control: two holders at once");
}
