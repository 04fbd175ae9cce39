//! Connections that break between a request and its answer.

use super::*;

const WAYS: [fn(i32) -> Trick; 3] = [Trick::End, Trick::Reset, Trick::Silence];

async fn relayed() -> (Relay, ZooKeeperBackend) {
    let relay = Relay::to(shared_zookeeper()).await;
    let backend = at(&relay.hosts()).request_timeout(Duration::from_millis(300)).build().await.unwrap();
    (relay, backend)
}

/// I5: the node is made and nobody says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_finds_the_node_that_it_made() {
    let operator = Operator::of(shared_zookeeper());
    for way in WAYS {
        let (relay, backend) = relayed().await;
        let claim = claim(&fresh_key("found"));
        operator.make(&format!("/locks/{}", claim.key));
        relay.play(way(code::MULTI));
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

/// I4, I5: a try gives up before it knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_failed_is_undone() {
    let operator = Operator::of(shared_zookeeper());
    for way in WAYS {
        let (relay, backend) = relayed().await;
        let claim = claim(&fresh_key("undone"));
        operator.make(&format!("/locks/{}", claim.key));
        relay.play(way(code::MULTI));
        let failed = backend.acquire(&AcquireRequest::new(claim.clone(), Mode::Try)).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unavailable, "{failed}");
        assert_eq!(operator.queue(&claim.key).len(), 1, "the node was made");
        let _ = release(&backend, &claim).await;
        assert!(operator.queue(&claim.key).is_empty(), "{:?}", way(0));
    }
}

/// I5 for a release.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_repeated() {
    let operator = Operator::of(shared_zookeeper());
    for way in WAYS {
        let (relay, backend) = relayed().await;
        let claim = claim(&fresh_key("repeated"));
        grant(&backend, &claim).await;
        relay.play(way(code::DELETE));
        assert_eq!(backend.release(&claim).await.unwrap_err().kind(), ErrorKind::Unavailable);
        let again = release(&backend, &claim).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Lost, "it was gone already");
        assert!(operator.queue(&claim.key).is_empty());
    }
}
