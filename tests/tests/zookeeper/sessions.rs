//! Sessions that end, lapse, or outlive their connection.

use super::textbook_recipe::TextbookClient;
use super::*;
use dlock_tests::Relay as Road;

/// Z1, I1, I3, I7: a holder that is cut off cannot be told, so it must know by itself, and in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_cut_off_is_lost_before_the_next_is_granted() {
    for percent in [40, 60, 75] {
        cut_off_a_holder_that_is_lost_after(percent).await;
    }
}

async fn cut_off_a_holder_that_is_lost_after(percent: u32) {
    let relay = Relay::to(shared_zookeeper()).await;
    let holder = manager(at(&relay.hosts()).lost_after_percent(percent).build().await.unwrap());
    let other = backend().await;
    let next = claim(&fresh_key("cut off"));
    let guard = holder.lock(&next.key).await.unwrap();
    let waiter = Waiter::queued(&other, &next).await;
    relay.close();
    let granted = waiter.grant().await;
    assert!(!guard.is_valid(), "two holders at once");
    assert!(granted.token > guard.token());
    assert!(is_end_of_session(guard.lost().await));
    relay.reopen();
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
    let left = release(&other, &next).await;
    assert!(left.is_ok(), "the late release touched somebody else: {left:?}");
    let again = soon("the first backend works again", holder.lock(&next.key).acquire()).await;
    assert!(again.unwrap().is_valid());
}

/// The greater the part of the session timeout, the later a guard ends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn how_long_a_guard_outlives_the_last_answer_is_a_setting() {
    let mut ends = Vec::new();
    for percent in [40, 75] {
        let backend = patient(&shared_zookeeper().hosts()).lost_after_percent(percent).build().await.unwrap();
        ends.push(grant(&backend, &claim(&fresh_key("percent"))).await.valid_until);
    }
    assert!(ends[1] > ends[0].after(LIMIT / 5), "{ends:?}");
}

/// S11, S17, I3: a server that stands still answers no request, and its own clock stands still, too. A lost lock stays
/// lost even though the session lives on, and its node is removed. The control: a client that trusted the session would
/// hold again, beside the next holder.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_is_lost_while_the_server_stands_still_and_stays_lost() {
    let mut server = ZooKeeperServer::start();
    // Longer than this test, so that it is not the server that ends the lock.
    let locks = manager(at(&server.hosts()).session_timeout(Duration::from_secs(6)).build().await.unwrap());
    let key = LockKey::new("k").unwrap();
    let guard = locks.lock(&key).await.unwrap();
    let session = session_of_holder(&server, &key);
    server.pause();
    assert!(is_end_of_session(soon("the guard is lost", guard.lost()).await));
    let refused = soon("a try ends", locks.lock("other").try_acquire()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    server.resume();
    let next =
        soon("the lock is free, though the guard was not dropped", locks.lock(&key).acquire()).await.unwrap();
    assert!(!guard.is_valid() && next.token() > guard.token());
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
    assert!(next.is_valid());
    assert_eq!(Operator::of(&server).queue(&key).len(), 1);
    assert_eq!(session_of_holder(&server, &key), session, "the control");
}

fn session_of_holder(server: &ZooKeeperServer, key: &LockKey) -> u64 {
    let operator = Operator::of(server);
    let node = operator.queue(key).remove(0);
    operator.owner(&format!("/locks/{key}/{node}"))
}

/// S15: the session outlives a restart of the server, and so does the lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_survives_a_restart_of_the_server() {
    let mut server = ZooKeeperServer::start();
    let locks = manager(patient(&server.hosts()).build().await.unwrap());
    let guard = locks.lock("k").await.unwrap();
    server.restart();
    assert!(locks.lock("k").try_acquire().await.unwrap().is_none(), "still held");
    assert!(guard.is_valid());
    soon("the release is confirmed", guard.release()).await.unwrap();
}

/// S15, I6: the node ahead goes while the waiter has no connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_without_connection_misses_no_hand_off() {
    let relay = Relay::to(shared_zookeeper()).await;
    let (holding, waiting) =
        (backend().await, at(&relay.hosts()).session_timeout(Duration::from_secs(20)).build().await.unwrap());
    let key = fresh_key("missed");
    let (holder, next) = (claim(&key), claim(&key));
    grant(&holding, &holder).await;
    let waiter = Waiter::queued(&waiting, &next).await;
    relay.close();
    until("the waiter notices", async || !waiter.request.progress.is_queued()).await;
    release(&holding, &holder).await.unwrap();
    relay.reopen();
    waiter.grant().await;
    release(&waiting, &next).await.unwrap();
}

/// S14, I6, I10: the session of a waiter ends, and it waits on in the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_outlives_its_session() {
    let relay = Relay::to(shared_zookeeper()).await;
    let (holding, waiting) = (backend().await, at(&relay.hosts()).build().await.unwrap());
    let operator = Operator::of(shared_zookeeper());
    let key = fresh_key("outlives");
    let (holder, next) = (claim(&key), claim(&key));
    grant(&holding, &holder).await;
    let waiter = Waiter::queued(&waiting, &next).await;
    let before = operator.queue(&next.key);
    relay.close();
    until("the waiter's node is gone", async || operator.queue(&next.key).len() == 1).await;
    relay.reopen();
    until("it has a node again", async || operator.queue(&next.key).len() == 2).await;
    let kept = operator.queue(&next.key).into_iter().filter(|node| before.contains(node));
    assert_eq!(kept.count(), 1, "the holder's alone");
    release(&holding, &holder).await.unwrap();
    waiter.grant().await;
    release(&waiting, &next).await.unwrap();
}

/// S12, I1: behind a follower that lost its leader, a session may be over without anybody there knowing. Only
/// the leader's answers count, though the follower goes on to give its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_behind_a_follower_without_leader_is_lost() {
    let mut ensemble = ZooKeeperEnsemble::start();
    let leader = ensemble.leader();
    let follower = ensemble.server((leader + 1) % 3).hosts();
    let guard = manager(at(&follower).build().await.unwrap()).lock("k").await.unwrap();
    ensemble.pause(leader);
    assert!(is_end_of_session(soon("the guard is lost", guard.lost()).await));
    assert_eq!(ensemble.server((leader + 1) % 3).mode().as_deref(), Some("follower"), "it still answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_survives_a_change_of_the_leader() {
    let mut ensemble = ZooKeeperEnsemble::start();
    let locks = each_for_itself(patient(&ensemble.hosts()).build().await.unwrap());
    let guard = locks.lock("k").await.unwrap();
    let waiting = tokio::spawn(locks.lock("k").acquire());
    let leader = ensemble.leader();
    ensemble.kill(leader);
    assert_ne!(ensemble.leader(), leader);
    let token = guard.token();
    assert!(guard.is_valid() && !waiting.is_finished());
    soon("the release is confirmed", guard.release()).await.unwrap();
    let next = soon("the waiter is granted", waiting).await.unwrap().unwrap();
    assert!(next.token() > token, "tokens rise from leader to leader");
}

/// S16. The control: a client that trusted the session alone would not learn of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_node_an_operator_removes_is_lost() {
    let (locks, operator) = (manager(backend().await), Operator::of(shared_zookeeper()));
    let key = LockKey::new(fresh_key("removed")).unwrap();
    let guard = locks.lock(&key).await.unwrap();
    let kept = locks.lock(fresh_key("kept")).await.unwrap();
    operator.delete(&format!("/locks/{key}/{}", operator.queue(&key).remove(0)));
    assert_eq!(soon("the guard is lost", guard.lost()).await, LossReason::NotOwner);
    assert!(kept.is_valid(), "the session goes on");
    let other = LockKey::new(fresh_key("textbook")).unwrap();
    operator.make(&format!("/locks/{other}"));
    let textbook = TextbookClient::at(&shared_zookeeper().hosts(), LIMIT, &other).await;
    let node = textbook.enqueue("lock-").await.unwrap();
    operator.delete(&format!("/locks/{other}/{node}"));
    let next = locks.lock(&other).await.unwrap();
    assert!(next.is_valid() && textbook.is_connected(), "the control");
}

/// S16.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_whose_node_an_operator_removes_takes_a_new_place() {
    let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
    let key = fresh_key("new place");
    let (holder, next) = (claim(&key), claim(&key));
    grant(&backend, &holder).await;
    let held = operator.queue(&next.key);
    let waiter = Waiter::queued(&backend, &next).await;
    let place = operator.queue(&next.key).into_iter().find(|node| !held.contains(node)).unwrap();
    operator.delete(&format!("/locks/{key}/{place}"));
    release(&backend, &holder).await.unwrap();
    waiter.grant().await;
    let nodes = operator.queue(&next.key);
    assert!(nodes.len() == 1 && !nodes.contains(&place), "{nodes:?}");
    release(&backend, &next).await.unwrap();
}

/// S16, I1: an operator removes the node of the next one, then that of the holder. The news of both arrive together, or
/// in no order after a reconnect. The third contender has the lock then, so the second must not.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_whose_node_is_removed_before_the_one_ahead_is_not_granted_by_it() {
    for round in 0..20 {
        let road = Road::to(shared_zookeeper().address()).await.unwrap();
        let (backend, far) = (backend().await, patient(&road.address().to_string()).build().await.unwrap());
        let operator = Operator::of(shared_zookeeper());
        let key = fresh_key("both");
        let [holder, next, third] = [(); 3].map(|()| claim(&key));
        grant(&backend, &holder).await;
        let mut waiters = [Waiter::queued(&far, &next).await, Waiter::queued(&backend, &third).await];
        until("the next one watches both nodes", async || {
            let watched = shared_zookeeper().four_letter("wchp");
            in_order(&operator, &next.key).iter().take(2).all(|node| watched.contains(node.as_str()))
        })
        .await;
        road.hold_answers();
        let nodes = in_order(&operator, &next.key);
        operator.delete(&format!("/locks/{key}/{}", nodes[1]));
        operator.delete(&format!("/locks/{key}/{}", nodes[0]));
        if round % 2 == 1 {
            road.cut();
        }
        road.let_go();
        let [next_waiter, third_waiter] = &mut waiters;
        let granted = soon("the third one has it", &mut third_waiter.task).await.unwrap().unwrap();
        until("the next one has a new place", async || operator.queue(&next.key).len() == 2).await;
        assert!(!next_waiter.task.is_finished(), "two holders");
        release(&backend, &third).await.unwrap();
        let [next_waiter, _] = waiters;
        assert!(next_waiter.grant().await.token > granted.token);
        release(&far, &next).await.unwrap();
    }
}

fn in_order(operator: &Operator, key: &LockKey) -> Vec<String> {
    let mut nodes = operator.queue(key);
    nodes.sort_by_key(|node| node.rsplit('-').next().map(str::to_owned));
    nodes
}

/// S15, I6: the session ahead of a waiter ends while the server is away, and the waiter's own goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_wakes_after_a_restart_in_which_the_one_ahead_went() {
    let mut server = ZooKeeperServer::start();
    let waiting = patient(&server.hosts()).build().await.unwrap();
    let holding = at(&server.hosts()).build().await.unwrap();
    grant(&holding, &claim("k")).await;
    let next = claim("k");
    let waiter = Waiter::queued(&waiting, &next).await;
    server.kill();
    drop(holding);
    server.restart();
    waiter.grant().await;
    release(&waiting, &next).await.unwrap();
}

/// Z15: the servers cut what is asked for to what they allow, and a guard is believed in for no longer than that.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_goes_by_the_timeout_that_the_servers_grant() {
    let server = ZooKeeperServer::builder().config("maxSessionTimeout=2000").start();
    let locks = manager(patient(&server.hosts()).build().await.unwrap());
    let guard = locks.lock("k").await.unwrap();
    assert!(guard.remaining() <= Duration::from_millis(1_200), "{:?}", guard.remaining());
}
