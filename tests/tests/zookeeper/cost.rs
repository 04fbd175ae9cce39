//! What the locks cost: the requests of each step, by their codes, and nothing else.

use super::*;

/// A backend whose session is kept up so rarely that no heartbeat is sent of its own while a test runs.
async fn counted() -> (Relay, ZooKeeperBackend) {
    let relay = Relay::to(shared_zookeeper()).await;
    let backend = patient(&relay.hosts()).build().await.unwrap();
    let warm_up = claim(&fresh_key("warm"));
    grant(&backend, &warm_up).await;
    release(&backend, &warm_up).await.unwrap();
    relay.take_requests();
    (relay, backend)
}

/// The requests for locks since the last call. Those for the session, which are sent for all locks together and by
/// the clock, are left out.
fn taken(relay: &Relay) -> Vec<i32> {
    let of_the_session = [op_code::PING, op_code::SYNC, op_code::EPHEMERALS];
    relay.take_requests().into_iter().filter(|code| !of_the_session.contains(code)).collect()
}

/// S42: a free lock costs one request, which also says whether it is free, and its release another. A held one costs
/// the next a look at the queue and two watches, and its waking nothing; who stands further behind it looks at the queue
/// when woken. A refused try costs a look and the way back.
#[tokio::test(flavor = "multi_thread")]
async fn each_step_costs_these_requests() {
    let (relay, backend) = counted().await;
    let key = fresh_key("cost");
    Operator::of(shared_zookeeper()).make(&format!("/locks/{key}"));
    let [holder, refused, next] = [(); 3].map(|()| claim(&key));

    grant(&backend, &holder).await;
    assert_eq!(taken(&relay), [op_code::MULTI], "a free lock");
    backend.renew(&holder).await.unwrap();
    assert_eq!(taken(&relay), NOTHING, "a renewal");
    backend.acquire(&AcquireRequest::new(refused, Mode::Try)).await.unwrap_err();
    assert_eq!(taken(&relay), [op_code::MULTI, op_code::LIST, op_code::DELETE], "a try that is refused");
    let waiter = Waiter::start(&backend, &next);
    let mut sent = Vec::new();
    until("it watches the holder", async || {
        sent.extend(taken(&relay));
        sent.iter().filter(|sent| **sent == op_code::GET_DATA).count() == 2
    })
    .await;
    assert_eq!(
        sent,
        [op_code::MULTI, op_code::LIST, op_code::GET_DATA, op_code::GET_DATA],
        "a lock that is held"
    );
    release(&backend, &holder).await.unwrap();
    waiter.grant().await;
    assert_eq!(taken(&relay), [op_code::DELETE], "a release, and the waking of the next");
    release(&backend, &next).await.unwrap();
    assert_eq!(taken(&relay), [op_code::DELETE], "a release");
}

/// S42: the first lock of a key makes its directory, in the flight of the second attempt.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_lock_of_a_key_costs_its_directory() {
    let (relay, backend) = counted().await;
    let first = claim(&fresh_key("first"));
    grant(&backend, &first).await;
    assert_eq!(taken(&relay), [op_code::MULTI, op_code::CREATE_CONTAINER, op_code::MULTI]);
    release(&backend, &first).await.unwrap();
}

/// S42: heartbeats are for the session, and as many for a hundred locks as for one: each a sync, and now and then a
/// list of the nodes that are there.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_locks_cost_the_heartbeats_of_one_session() {
    let relay = Relay::to(shared_zookeeper()).await;
    let backend = at(&relay.hosts()).build().await.unwrap();
    let claims: Vec<_> = (0..100).map(|_| claim(&fresh_key("many"))).collect();
    for claim in &claims {
        grant(&backend, claim).await;
    }
    relay.take_requests();
    let mut sent = Vec::new();
    until("the session was kept up for a while", async || {
        sent.extend(relay.take_requests());
        sent.iter().filter(|code| **code == op_code::SYNC).count() >= 5
    })
    .await;
    assert!(
        sent.iter().all(|code| [op_code::PING, op_code::SYNC, op_code::EPHEMERALS].contains(code)),
        "{sent:?}"
    );
    for claim in &claims {
        assert!(backend.renew(claim).await.is_ok());
    }
}

const NOTHING: [i32; 0] = [];
