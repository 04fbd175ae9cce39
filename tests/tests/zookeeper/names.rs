//! How the locks look in ZooKeeper, to others that use the same directories.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_named_as_curator_names_them() {
    let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
    let claim = claim(&format!("{}:42", fresh_key("order")));
    grant(&backend, &claim).await;
    let nodes = operator.queue(&claim.key);
    let [node] = nodes.as_slice() else { panic!("{nodes:?}") };
    let (uuid, sequence) = node.strip_prefix("_c_").unwrap().split_once("-lock-").unwrap();
    assert_eq!(uuid.replace('-', ""), format!("{:032x}", claim.owner.as_u128()));
    assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert_eq!(sequence, "0000000000");
    release(&backend, &claim).await.unwrap();
}

/// S22, Z10, I2: the numbers start from 0 again then, and tokens rise all the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_servers_remove_an_empty_directory() {
    let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
    let key = fresh_key("container");
    let (first, second) = (claim(&key), claim(&key));
    let token = grant(&backend, &first).await.token;
    let node = operator.queue(&first.key).remove(0);
    release(&backend, &first).await.unwrap();
    until("the directory is gone", async || operator.czxid(&format!("/locks/{key}")).is_none()).await;
    assert!(grant(&backend, &second).await.token > token);
    let again = operator.queue(&second.key).remove(0);
    assert_eq!(node.rsplit_once('-').unwrap().1, again.rsplit_once('-').unwrap().1, "the numbers start anew");
    release(&backend, &second).await.unwrap();
}

/// S22, Z10: the directory goes at any moment between its making and the making of a node in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_removed_again_and_again_is_made_again_and_again() {
    let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
    let key = fresh_key("raced");
    let (path, wanted) = (format!("/locks/{key}"), Arc::new(()));
    let is_wanted = Arc::downgrade(&wanted);
    let reaper = tokio::task::spawn_blocking(move || {
        let mut reaped = 0;
        while is_wanted.strong_count() > 0 {
            reaped += usize::from(operator.delete_if_empty(&path));
        }
        reaped
    });
    let mut last = None;
    for _ in 0..60 {
        let claim = claim(&key);
        let granted = Waiter::start(&backend, &claim).grant().await;
        assert!(Some(granted.token) > last);
        last = Some(granted.token);
        release(&backend, &claim).await.unwrap();
    }
    drop(wanted);
    assert!(reaper.await.unwrap() > 10, "it was removed");
}

/// S22, I2.
#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_made_of_the_czxid_and_rises_when_the_directory_is_made_again() {
    let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
    let key = fresh_key("token");
    let mut last = 0;
    for _ in 0..3 {
        let claim = claim(&key);
        let token = grant(&backend, &claim).await.token.as_u64();
        let node = operator.queue(&claim.key).remove(0);
        assert!(node.ends_with("-lock-0000000000"), "{node}: the numbers start anew");
        assert_eq!(operator.czxid(&format!("/locks/{key}/{node}")), Some(token / 64));
        assert!(token > last);
        last = token;
        release(&backend, &claim).await.unwrap();
        operator.delete_if_there(&format!("/locks/{key}"));
    }
}

/// S20: nothing in them panics, fails or waits.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_in_the_directory_are_passed_over() {
    let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
    let key = fresh_key("strangers");
    let strangers =
        ["x", "0", "lock-", "lock-abc", "lock-a\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}a", &"y".repeat(300)];
    for name in strangers {
        operator.make(&format!("/locks/{key}/{name}"));
    }
    let (holder, refused, next) = (claim(&key), claim(&key), claim(&key));
    grant(&backend, &holder).await;
    let busy = backend.acquire(&AcquireRequest::new(refused, Mode::Try)).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    let waiter = Waiter::queued(&backend, &next).await;
    release(&backend, &holder).await.unwrap();
    waiter.grant().await;
    release(&backend, &next).await.unwrap();
    assert_eq!(operator.queue(&next.key).len(), strangers.len(), "nothing of theirs was touched");
}

/// S31.
#[tokio::test(flavor = "multi_thread")]
async fn contenders_of_other_clients_are_waited_for() {
    let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
    let key = fresh_key("others");
    operator.make(&format!("/locks/{key}"));
    for prefix in
        ["lock-", "_c_0123456789abcdef0123456789abcdef-lock-", "0123456789abcdef0123456789abcdef__lock__"]
    {
        let other = operator.make_sequential(&format!("/locks/{key}/{prefix}"));
        let (refused, next) = (claim(&key), claim(&key));
        let busy = backend.acquire(&AcquireRequest::new(refused, Mode::Try)).await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy);
        let waiter = Waiter::queued(&backend, &next).await;
        operator.delete(&other);
        waiter.grant().await;
        release(&backend, &next).await.unwrap();
    }
}
