//! The end of the numbers of a directory, where ZooKeeper gives one number to many nodes.

use super::snapshot::restart_with_counter;
use super::*;

const END: i32 = i32::MAX - (1 << 20) + 1;

async fn refusal(backend: &ZooKeeperBackend, mode: Mode) -> LockError {
    let request = AcquireRequest::new(claim("k"), mode);
    soon("the acquire is refused", backend.acquire(&request)).await.unwrap_err()
}

/// S21, Z9.
#[tokio::test(flavor = "multi_thread")]
async fn near_the_end_of_the_numbers_the_lock_is_not_granted() {
    let mut server = ZooKeeperServer::start();
    restart_with_counter(&mut server, END - 1);
    let (backend, operator) = (at(&server.hosts()).build().await.unwrap(), Operator::of(&server));
    let last = claim("k");
    grant(&backend, &last).await;
    assert!(operator.queue(&last.key)[0].ends_with(&format!("-lock-{}", END - 1)));
    let queued = refusal(&backend, Mode::Wait).await;
    assert_eq!(queued.kind(), ErrorKind::SequenceExhausted, "{queued}");
    assert!(queued.to_string().contains("numbers start again"), "{queued}");
    assert_eq!(operator.queue(&last.key).len(), 1, "its node is gone when it fails");
    grant(&backend, &claim("other")).await;
    release(&backend, &last).await.unwrap();
    operator.delete("/locks/k");
    grant(&backend, &claim("k")).await;
}

/// The control: the server does give one number to all, and a client that goes by the number alone is the first, as are
/// all others.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_of_the_numbers_two_nodes_have_one_and_neither_gets_the_lock() {
    let mut server = ZooKeeperServer::start();
    restart_with_counter(&mut server, i32::MAX);
    let (backend, operator) = (at(&server.hosts()).build().await.unwrap(), Operator::of(&server));
    for prefix in ["one-lock-", "other-lock-"] {
        let node = operator.make_sequential(&format!("/locks/k/{prefix}"));
        assert_eq!(node, format!("/locks/k/{prefix}{}", i32::MAX));
        operator.delete(&node);
    }
    for mode in [Mode::Try, Mode::Wait] {
        let refused = refusal(&backend, mode).await;
        assert_eq!(refused.kind(), ErrorKind::SequenceExhausted, "{refused}");
        assert!(!refused.kind().is_retryable());
    }
    assert!(operator.queue(&claim("k").key).is_empty());
}

/// S21, Z9, I5: a node that is found again after a lost answer is looked at like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_found_again_is_refused_as_well() {
    let mut server = ZooKeeperServer::start();
    restart_with_counter(&mut server, END);
    let relay = Relay::to(&server).await;
    let backend = at(&relay.hosts()).build().await.unwrap();
    relay.play(Trick::End(op_code::MULTI));
    assert_eq!(refusal(&backend, Mode::Wait).await.kind(), ErrorKind::SequenceExhausted);
    assert_eq!(relay.played(), 1, "the answer was lost");
    assert!(Operator::of(&server).queue(&claim("k").key).is_empty());
}
