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

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_remove_an_empty_directory() {
    let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
    let claim = claim(&fresh_key("container"));
    grant(&backend, &claim).await;
    release(&backend, &claim).await.unwrap();
    until("the directory is gone", async || operator.czxid(&format!("/locks/{}", claim.key)).is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_made_of_the_czxid_and_rises_when_the_directory_is_made_anew() {
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

#[tokio::test(flavor = "multi_thread")]
async fn strangers_in_the_directory_are_passed_over() {
    let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
    let key = fresh_key("strangers");
    let strangers =
        ["x", "0", "lock-", "lock-abc", "lock-a\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}a", &"y".repeat(300)];
    for name in strangers {
        operator.make(&format!("/locks/{key}/{name}"));
    }
    let (holder, next) = (claim(&key), claim(&key));
    grant(&backend, &holder).await;
    let waiter = Waiter::queued(&backend, &next).await;
    release(&backend, &holder).await.unwrap();
    waiter.grant().await;
    release(&backend, &next).await.unwrap();
    assert_eq!(operator.queue(&next.key).len(), strangers.len(), "nothing of theirs was touched");
}

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
