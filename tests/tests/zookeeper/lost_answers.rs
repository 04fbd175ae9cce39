//! Connections that break between a request and its answer.

use super::textbook_recipe::TextbookClient;
use super::*;

const WAYS: [fn(i32) -> Trick; 3] = [Trick::End, Trick::Reset, Trick::Silence];

async fn relayed() -> (Relay, ZooKeeperBackend) {
    let relay = Relay::to(shared_zookeeper()).await;
    // A session that is replaced leaves its node for this long, which a test has to outlast.
    let builder = at(&relay.hosts()).session_timeout(LIMIT / 3).request_timeout(Duration::from_secs(1));
    (relay, builder.build().await.unwrap())
}

/// S1, S2, S3, I5: the node is made and the answer is lost: the connection ends, is reset, or falls silent for longer
/// than a request may take.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_finds_the_node_that_it_made() {
    let operator = Operator::of(shared_zookeeper());
    for way in WAYS {
        let (relay, backend) = relayed().await;
        let claim = claim(&fresh_key("found"));
        operator.make(&format!("/locks/{}", claim.key));
        relay.play(way(op_code::MULTI));
        let granted = Waiter::start(&backend, &claim).grant().await;
        assert_eq!(relay.played(), 1, "the answer was lost");
        let nodes = operator.queue(&claim.key);
        let [node] = nodes.as_slice() else { panic!("{:?}: {nodes:?}", way(0)) };
        assert!(node.ends_with("-lock-0000000000"), "{node} is another one");
        assert_eq!(
            operator.czxid(&format!("/locks/{}/{node}", claim.key)),
            Some(granted.token.as_u64() / 64)
        );
        release(&backend, &claim).await.unwrap();
        assert!(operator.queue(&claim.key).is_empty());
    }
}

/// S1, S2, S3, S7, I4, I5: a try gives up before it knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_failed_is_undone() {
    let operator = Operator::of(shared_zookeeper());
    for way in WAYS {
        let (relay, backend) = relayed().await;
        let claim = claim(&fresh_key("undone"));
        operator.make(&format!("/locks/{}", claim.key));
        relay.play(way(op_code::MULTI));
        let failed = backend.acquire(&AcquireRequest::new(claim.clone(), Mode::Try)).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unavailable, "{failed}");
        assert_eq!(operator.queue(&claim.key).len(), 1, "the node was made");
        let _ = release(&backend, &claim).await;
        assert!(operator.queue(&claim.key).is_empty(), "{:?}", way(0));
    }
}

/// S9, I5 for a release.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_repeated() {
    let operator = Operator::of(shared_zookeeper());
    for way in WAYS {
        let (relay, backend) = relayed().await;
        let claim = claim(&fresh_key("repeated"));
        grant(&backend, &claim).await;
        relay.play(way(op_code::DELETE));
        assert_eq!(backend.release(&claim).await.unwrap_err().kind(), ErrorKind::Unavailable);
        let again = release(&backend, &claim).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Lost, "it was gone already");
        assert!(operator.queue(&claim.key).is_empty());
    }
}

/// S7, I4: only the manager is left to undo a try that failed, and it does so when there is a connection again.
#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_failed_leaves_no_node_when_the_connection_is_back() {
    let operator = Operator::of(shared_zookeeper());
    let relay = Relay::to(shared_zookeeper()).await;
    let locks =
        manager(patient(&relay.hosts()).request_timeout(Duration::from_secs(1)).build().await.unwrap());
    let key = LockKey::new(fresh_key("gone")).unwrap();
    operator.make(&format!("/locks/{key}"));
    relay.play(Trick::Silence(op_code::MULTI));
    let failed = locks.lock(&key).try_acquire().await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unavailable, "{failed}");
    relay.close();
    assert_eq!(operator.queue(&key).len(), 1, "the node was made, and its session lives");
    relay.reopen();
    until("the node is gone", async || operator.queue(&key).is_empty()).await;
    let guard = soon("the lock is free", locks.lock(&key).acquire()).await.unwrap();
    guard.release().await.unwrap();
}

/// S8, I5: the node is made, and the look at the queue is not answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_that_does_not_see_the_queue_keeps_its_place() {
    let (holding, operator) = (backend().await, Operator::of(shared_zookeeper()));
    for way in WAYS {
        let (relay, backend) = relayed().await;
        let key = fresh_key("unseen");
        let (holder, next) = (claim(&key), claim(&key));
        grant(&holding, &holder).await;
        relay.play(way(op_code::LIST));
        let waiter = Waiter::queued(&backend, &next).await;
        assert_eq!(relay.played(), 1, "the answer was lost");
        let nodes = operator.queue(&next.key);
        let own: Vec<_> = nodes.iter().filter(|node| node.starts_with(&prefix(&next))).collect();
        let [place] = own[..] else { panic!("{:?}: {nodes:?}", way(0)) };
        let czxid = operator.czxid(&format!("/locks/{key}/{place}"));
        release(&holding, &holder).await.unwrap();
        assert_eq!(czxid, Some(waiter.grant().await.token.as_u64() / 64), "its first and only place");
        release(&backend, &next).await.unwrap();
        assert!(operator.queue(&next.key).is_empty());
    }
}

/// S9, I4, I6: a guard is dropped while there is no connection, and another acquire of the process waits for the same
/// key. The node is removed when the connection is back, and the acquire does not wait for it for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_without_connection_does_not_block_the_own_process() {
    let relay = Relay::to(shared_zookeeper()).await;
    let locks = each_for_itself(patient(&relay.hosts()).build().await.unwrap());
    let key = LockKey::new(fresh_key("own process")).unwrap();
    let lost_answer: fn(&Relay) = |relay| relay.play(Trick::End(op_code::DELETE));
    for (lose, plays) in [(Relay::close as fn(&Relay), 0), (lost_answer, 1)] {
        let guard = locks.lock(&key).await.unwrap();
        let token = guard.token();
        lose(&relay);
        drop(guard);
        // Asked for sooner, the next place could go in one transaction with the removal.
        wait_until_async("the release is sent", LIMIT, async || relay.played() == plays).await;
        let next = tokio::spawn(locks.lock(&key).wait(LIMIT).acquire());
        relay.reopen();
        let next = soon("the own process has it", next).await.unwrap().unwrap();
        assert!(next.token() > token);
        next.release().await.unwrap();
    }
    assert!(Operator::of(shared_zookeeper()).queue(&key).is_empty());
}

/// S10, I1, I8: a node has the owner's name, and another session made it: it goes with that session. It is not taken
/// for the owner's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_session_is_not_adopted() {
    let (operator, stranger) = (Operator::of(shared_zookeeper()), Operator::of(shared_zookeeper()));
    let (relay, backend) = relayed().await;
    let claim = claim(&fresh_key("adopted"));
    operator.make(&format!("/locks/{}", claim.key));
    let old = stranger.make_sequential(&format!("/locks/{}/{}", claim.key, prefix(&claim)));
    relay.play(Trick::End(op_code::MULTI));
    let granted = Waiter::start(&backend, &claim).grant().await;
    assert_eq!(relay.played(), 1, "it had to look for its node");
    assert_eq!(operator.czxid(&old), None, "what is left of the other session is not waited for");
    let node = operator.queue(&claim.key).remove(0);
    let czxid = operator.czxid(&format!("/locks/{}/{node}", claim.key));
    assert_eq!(czxid, Some(granted.token.as_u64() / 64));
    drop(stranger);
    release(&backend, &claim).await.expect("it outlives the other session");
}

/// The control: who knows its node by the name alone loses it with a session that is not its own, and does not learn
/// of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_adopts_by_name_alone_holds_beside_another() {
    let (operator, stranger) = (Operator::of(shared_zookeeper()), Operator::of(shared_zookeeper()));
    let claim = claim(&fresh_key("by name"));
    operator.make(&format!("/locks/{}", claim.key));
    let old = stranger.make_sequential(&format!("/locks/{}/{}", claim.key, prefix(&claim)));
    let textbook = TextbookClient::at(&shared_zookeeper().hosts(), LIMIT, &claim.key).await;
    let adopted = textbook.find(&prefix(&claim)).await.unwrap();
    assert!(old.ends_with(&adopted) && textbook.believes_in(&adopted).await);
    operator.delete(&old);
    grant(&backend().await, &claim).await;
    assert!(textbook.is_connected(), "nothing tells it");
}

/// The name, up to its number, of the nodes of the claim's owner.
fn prefix(claim: &Claim) -> String {
    let mut uuid = format!("{:032x}", claim.owner.as_u128());
    for place in [20, 16, 12, 8] {
        uuid.insert(place, '-');
    }
    format!("_c_{uuid}-lock-")
}
