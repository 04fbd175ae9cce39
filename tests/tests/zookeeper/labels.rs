//! What holders and waiters call themselves, in the data of their nodes.

use super::*;
use dlock_core::backend::zookeeper::Recipe;

fn labelled(key: &str, label: &str) -> Claim {
    claim(key).with_label(Some(Label::new(label).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_and_a_waiter_carry_their_labels() {
    let (backend, key) = (backend().await, fresh_key("labels"));
    let operator = Operator::of(shared_zookeeper());
    let (mine, next) = (labelled(&key, "web-1:77"), labelled(&key, "50% | \u{fc}"));
    grant(&backend, &mine).await;
    let waiter = Waiter::queued(&backend, &next).await;
    let mut data: Vec<_> =
        operator.queue(&mine.key).iter().map(|name| operator.read(&format!("/locks/{key}/{name}"))).collect();
    data.sort();
    assert_eq!(data, ["50% | \u{fc}".as_bytes(), b"web-1:77"]);
    release(&backend, &mine).await.unwrap();
    waiter.grant().await;
    release(&backend, &next).await.unwrap();
}

/// A client that asks a holder to let go writes over its data. A label must not pass for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_label_does_not_pass_for_a_request_to_let_go() {
    let (backend, key) = (backend().await, fresh_key("labels"));
    let claim = labelled(&key, "__REVOKE__");
    grant(&backend, &claim).await;
    let mut revoked = std::pin::pin!(backend.revoked(&claim));
    assert!(futures_util::poll!(revoked.as_mut()).is_pending());
    let operator = Operator::of(shared_zookeeper());
    let names = operator.queue(&claim.key);
    assert_eq!(operator.read(&format!("/locks/{key}/{}", names[0])), b"");
    backend.revoke(&claim.key).await.unwrap();
    soon("the holder is asked", revoked).await;
    release(&backend, &claim).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_one_node_carries_its_label() {
    let backend = at(&shared_zookeeper().hosts()).recipe(Recipe::Simple).build().await.unwrap();
    let claim = labelled(&fresh_key("labels"), "web-1");
    let first = grant(&backend, &claim).await;
    let data = Operator::of(shared_zookeeper()).read(&format!("/locks/{}", claim.key));
    assert!(data.starts_with(b"web-1") && data.len() == 5 + 32, "{data:?}");
    assert_eq!(grant(&backend, &claim).await.token, first.token, "its own node is known");
    release(&backend, &claim).await.unwrap();
}
