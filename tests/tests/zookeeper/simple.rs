//! The simple recipe: one node for each key.

use super::*;
use dlock_core::backend::zookeeper::Recipe;

async fn simple(hosts: &str) -> ZooKeeperBackend {
    at(hosts).recipe(Recipe::Simple).build().await.unwrap()
}

async fn relayed() -> (Relay, ZooKeeperBackend) {
    let relay = Relay::to(shared_zookeeper()).await;
    let builder = at(&relay.hosts()).request_timeout(Duration::from_millis(300)).recipe(Recipe::Simple);
    let backend = builder.build().await.unwrap();
    (relay, backend)
}

const WAYS: [fn(i32) -> Trick; 3] = [Trick::End, Trick::Reset, Trick::Silence];

fn path(claim: &Claim) -> String {
    format!("/locks/{}", claim.key)
}

/// S42: what it costs, whatever the machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_free_lock_costs_one_request_and_a_release_another() {
    let relay = Relay::to(shared_zookeeper()).await;
    let backend = at(&relay.hosts()).session_timeout(Duration::from_secs(60)).recipe(Recipe::Simple);
    let backend = backend.build().await.unwrap();
    let (warm_up, holder) = (claim(&fresh_key("warm")), claim(&fresh_key("cost")));
    grant(&backend, &warm_up).await;
    relay.take_requests();
    grant(&backend, &holder).await;
    let second = Claim::new(holder.key.clone(), Ttl::default()).unwrap();
    let busy = backend.acquire(&AcquireRequest::new(second, Mode::Try)).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    release(&backend, &holder).await.unwrap();
    let own = |code: &i32| ![op_code::PING, op_code::SYNC, op_code::EPHEMERALS].contains(code);
    let requests: Vec<_> = relay.take_requests().into_iter().filter(own).collect();
    assert_eq!(requests, [op_code::CREATE_2, op_code::CREATE_2, op_code::GET_DATA, op_code::DELETE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_is_one_ephemeral_node_and_its_token_made_of_the_czxid() {
    let (backend, operator) = (simple(&shared_zookeeper().hosts()).await, Operator::of(shared_zookeeper()));
    let claim = claim(&fresh_key("one node"));
    let token = grant(&backend, &claim).await.token;
    assert_eq!(operator.czxid(&path(&claim)), Some(token.as_u64() / 64));
    assert!(operator.queue(&claim.key).is_empty());
    release(&backend, &claim).await.unwrap();
    assert_eq!(operator.czxid(&path(&claim)), None, "nothing is left");
}

/// Every waiter is woken, and one is granted at a time.
#[tokio::test(flavor = "multi_thread")]
async fn waiters_are_all_served_in_the_end() {
    let hosts = shared_zookeeper().hosts();
    let backends = [simple(&hosts).await, simple(&hosts).await, simple(&hosts).await];
    let key = fresh_key("herd");
    let holder = claim(&key);
    grant(&backends[0], &holder).await;
    let mut tasks = JoinSet::new();
    for number in 0..15 {
        let (backend, claim) = (backends[number % 3].clone(), claim(&key));
        let waiter = Waiter::queued(&backend, &claim).await;
        tasks.spawn(async move {
            let token = waiter.grant().await.token;
            backend.release(&claim).await.unwrap();
            token
        });
    }
    release(&backends[0], &holder).await.unwrap();
    let mut tokens = soon("all were served", tasks.join_all()).await;
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 15);
}

/// S1, S2, S3, I5: the node is made and the answer is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_finds_the_node_that_it_made() {
    let operator = Operator::of(shared_zookeeper());
    for way in WAYS {
        let (relay, backend) = relayed().await;
        let claim = claim(&fresh_key("found"));
        relay.play(way(op_code::CREATE_2));
        let granted = Waiter::start(&backend, &claim).grant().await;
        assert_eq!(relay.played(), 1, "the answer was lost");
        assert_eq!(operator.czxid(&path(&claim)), Some(granted.token.as_u64() / 64));
        release(&backend, &claim).await.unwrap();
        assert_eq!(operator.czxid(&path(&claim)), None);
    }
}

/// S1, S2, S3, S7, I4, I5: a try gives up before it knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_failed_is_undone() {
    let operator = Operator::of(shared_zookeeper());
    for way in WAYS {
        let (relay, backend) = relayed().await;
        let claim = claim(&fresh_key("undone"));
        relay.play(way(op_code::CREATE_2));
        let failed = backend.acquire(&AcquireRequest::new(claim.clone(), Mode::Try)).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unavailable, "{failed}");
        assert!(operator.czxid(&path(&claim)).is_some(), "the node was made");
        let _ = release(&backend, &claim).await;
        assert_eq!(operator.czxid(&path(&claim)), None);
    }
}

/// S9, I5, I8: a release whose answer was lost is repeated when the path is another one's.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_release_touches_no_other_owner() {
    let other = simple(&shared_zookeeper().hosts()).await;
    for way in WAYS {
        let (relay, backend) = relayed().await;
        let claim = claim(&fresh_key("repeated"));
        grant(&backend, &claim).await;
        let next = Claim::new(claim.key.clone(), Ttl::default()).unwrap();
        let waiter = Waiter::queued(&other, &next).await;
        relay.play(way(op_code::DELETE));
        assert_eq!(backend.release(&claim).await.unwrap_err().kind(), ErrorKind::Unavailable);
        let token = waiter.grant().await.token;
        assert_eq!(release(&backend, &claim).await.unwrap_err().kind(), ErrorKind::Lost);
        assert_eq!(Operator::of(shared_zookeeper()).czxid(&path(&next)), Some(token.as_u64() / 64));
        release(&other, &next).await.unwrap();
    }
}

/// S17, I8: a holder that was cut off gives back a lock that is another one's by then, in a session that lives on.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_release_after_a_lapse_touches_no_other_owner() {
    let mut server = ZooKeeperServer::start();
    let builder = at(&server.hosts()).session_timeout(Duration::from_secs(6)).recipe(Recipe::Simple);
    let locks = manager(builder.build().await.unwrap());
    let guard = locks.lock("k").await.unwrap();
    server.pause();
    assert!(is_end_of_session(soon("the guard is lost", guard.lost()).await));
    server.resume();
    let next = soon("the lock is free", locks.lock("k").acquire()).await.unwrap();
    assert!(next.token() > guard.token());
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(Operator::of(&server).czxid("/locks/k"), Some(next.token().as_u64() / 64));
    next.release().await.unwrap();
}

/// S5, I4.
#[tokio::test(flavor = "multi_thread")]
async fn an_acquire_dropped_at_any_await_leaves_no_node() {
    let (backend, operator) = (simple(&shared_zookeeper().hosts()).await, Operator::of(shared_zookeeper()));
    let held = claim(&fresh_key("held"));
    let token = grant(&backend, &held).await.token.as_u64();
    let free = LockKey::new(fresh_key("free")).unwrap();
    for (key, mode, left) in
        [(&free, Mode::Wait, None), (&free, Mode::Try, None), (&held.key, Mode::Wait, Some(token / 64))]
    {
        for polls in 1..20 {
            let claim = Claim::new(key.clone(), Ttl::default()).unwrap();
            let request = AcquireRequest::new(claim.clone(), mode);
            let dropped = poll_and_drop(&backend, request, polls).await;
            let _ = release(&backend, &claim).await;
            assert_eq!(operator.czxid(&path(&claim)), left, "{key} {mode:?} after {polls} polls");
            if !dropped {
                break;
            }
        }
    }
    release(&backend, &held).await.unwrap();
}

/// Z1, I1, I7.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_cut_off_is_lost_before_the_next_is_granted() {
    let relay = Relay::to(shared_zookeeper()).await;
    let holder = manager(simple(&relay.hosts()).await);
    let other = simple(&shared_zookeeper().hosts()).await;
    let next = claim(&fresh_key("cut off"));
    let guard = holder.lock(&next.key).await.unwrap();
    let waiter = Waiter::queued(&other, &next).await;
    relay.close();
    let granted = waiter.grant().await;
    assert!(!guard.is_valid(), "two holders at once");
    assert!(granted.token > guard.token());
    release(&other, &next).await.unwrap();
}

/// The recipes share the path, so that one key is never granted by both.
#[tokio::test(flavor = "multi_thread")]
async fn the_two_recipes_refuse_each_other_s_keys() {
    let (simple, queued) = (simple(&shared_zookeeper().hosts()).await, backend().await);
    for (one, other) in [(&simple, &queued), (&queued, &simple)] {
        let key = fresh_key("mixed");
        let holder = claim(&key);
        grant(one, &holder).await;
        for mode in [Mode::Try, Mode::Wait] {
            let request = AcquireRequest::new(claim(&key), mode);
            let refused = soon("the other recipe answers", other.acquire(&request)).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
            assert!(refused.to_string().contains("one recipe for one key"), "{refused}");
        }
        assert!(one.renew(&holder).await.is_ok());
        release(one, &holder).await.unwrap();
    }
}

/// S16.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_node_an_operator_removes_is_lost() {
    let (locks, operator) =
        (manager(simple(&shared_zookeeper().hosts()).await), Operator::of(shared_zookeeper()));
    let key = fresh_key("removed");
    let guard = locks.lock(&key).await.unwrap();
    operator.delete(&format!("/locks/{key}"));
    assert_eq!(soon("the guard is lost", guard.lost()).await, LossReason::NotOwner);
}
