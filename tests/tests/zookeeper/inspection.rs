//! Who holds a lock and who waits for it: what the nodes tell, and how one is removed.

use super::*;
use dlock_core::ClientKind;
use dlock_core::backend::zookeeper::Recipe;

fn labelled(key: &str, label: &str) -> Claim {
    claim(key).with_label(Some(Label::new(label).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_and_its_waiters_are_seen() {
    let (backend, key) = (backend().await, fresh_key("seen"));
    let locks = manager(backend.clone());
    let (mine, next) = (labelled(&key, "web-1"), labelled(&key, "web-2"));
    let granted = grant(&backend, &mine).await;
    let waiter = Waiter::queued(&backend, &next).await;
    let seen = locks.inspect(&key).await.unwrap();
    let holder = &seen.holders[0];
    assert_eq!(
        (holder.label.clone(), holder.token, holder.tokens),
        (mine.label.clone(), Some(granted.token), granted.tokens)
    );
    assert_eq!((holder.client, holder.remaining), (ClientKind::Unknown, None));
    assert!(holder.held_for.is_some_and(|held_for| held_for < LIMIT), "{holder:?}");
    assert_eq!((seen.waiters.len(), seen.waiters[0].label.clone()), (1, next.label.clone()));
    let secrets = [mine.owner, next.owner].map(|owner| format!("{:032x}", owner.as_u128()));
    let shown = format!("{seen:?}").replace('-', "");
    assert!(secrets.iter().all(|secret| !shown.contains(secret)));
    release(&backend, &mine).await.unwrap();
    waiter.grant().await;
    release(&backend, &next).await.unwrap();
    assert!(locks.inspect(&key).await.unwrap().is_free());
}

/// What Curator and kazoo keep in their nodes is shown as a label.
#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_another_client_is_seen() {
    let (locks, key) = (manager(backend().await), fresh_key("seen"));
    let operator = Operator::of(shared_zookeeper());
    operator.make(&format!("/locks/{key}"));
    let node = operator.make_sequential(&format!("/locks/{key}/_c_0f4e-lock-"));
    operator.write(&node, b"10.0.0.5");
    let seen = locks.inspect(&key).await.unwrap();
    assert_eq!(seen.holders[0].label.as_ref().map(Label::as_str), Some("10.0.0.5"));
    operator.delete(&node);
}

/// The directory of another namespace within this one is no lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_of_one_namespace() {
    let (backend, namespace) = (backend().await, fresh_key("listed"));
    let within = |inner: &str| {
        let builder = LockManager::builder(backend.clone()).namespace(format!("{namespace}{inner}"));
        builder.hand_over(HandOver::OFF).build().unwrap()
    };
    let (outer, other) = (within("/"), within(":"));
    let mut held = Vec::new();
    for number in 0..120 {
        held.push(outer.lock(format!("order:{number:03}")).label("web-1").await.unwrap());
    }
    held.push(other.lock("order:x").await.unwrap());
    held.push(outer.lock("stock/7").await.unwrap());
    let (mut list, mut keys) = (outer.list("order:"), Vec::new());
    while let Some(page) = list.next_page().await.unwrap() {
        assert!(page.len() <= 100);
        keys.extend(page.into_iter().map(|lock| lock.key.to_string()));
    }
    assert_eq!(keys, (0..120).map(|number| format!("order:{number:03}")).collect::<Vec<_>>());
    let stock = outer.list("stock/").next_page().await.unwrap().unwrap();
    assert_eq!(stock[0].key.to_string(), "stock/7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_removed_frees_the_lock_and_ends_its_guard() {
    let (one, other) = (manager(backend().await), manager(backend().await));
    let key = fresh_key("forced");
    let held = one.lock(&key).await.unwrap();
    let waiting = tokio::spawn(other.lock(&key).acquire());
    until("it waits", async || other.inspect(&key).await.unwrap().waiters.len() == 1).await;
    let unsupported = other.admin().force_release(&key, held.token()).await.unwrap_err();
    assert_eq!(unsupported.kind(), ErrorKind::Unsupported);
    assert!(unsupported.to_string().contains("force_release_now") && held.is_valid(), "{unsupported}");
    let forced = other.admin().force_release_now(&key, held.token()).await.unwrap();
    let next = soon("the waiter has it", waiting).await.unwrap().unwrap();
    assert!(forced.fence > held.token() && next.token() >= forced.fence);
    soon("the holder finds out", held.lost()).await;
    drop(held);
    assert!(next.is_valid());
    let old = FencingToken::new(forced.fence.as_u64() - 1);
    assert_eq!(other.admin().force_release_now(&key, old).await.unwrap_err().kind(), ErrorKind::NotHeld);
    next.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_one_node_is_seen_and_not_taken_away() {
    let backend = at(&shared_zookeeper().hosts()).recipe(Recipe::Simple).build().await.unwrap();
    let (locks, key) = (manager(backend), fresh_key("seen"));
    assert!(locks.inspect(&key).await.unwrap().is_free());
    let held = locks.lock(&key).label("web-1").await.unwrap();
    let seen = locks.inspect(&key).await.unwrap();
    assert_eq!(seen.holders[0].label.as_ref().map(Label::as_str), Some("web-1"));
    assert!(seen.holders[0].has_token(held.token()));
    let unsupported = locks.admin().force_release_now(&key, held.token()).await.unwrap_err();
    assert_eq!(unsupported.kind(), ErrorKind::Unsupported);
    held.release().await.unwrap();
}
