//! Namespaces: a directory in the root.

use super::*;
use dlock_core::Namespace;
use dlock_core::backend::zookeeper::Recipe;

fn namespaced(backend: ZooKeeperBackend, namespace: &str) -> LockManager {
    let builder = LockManager::builder(backend).hand_over(HandOver::OFF);
    builder.namespace(namespace).build().unwrap()
}

/// What a program in another language has to lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_a_directory_in_the_root() {
    let operator = Operator::of(shared_zookeeper());
    for recipe in [Recipe::Sequential, Recipe::Simple] {
        let backend = at(&shared_zookeeper().hosts()).recipe(recipe).build().await.unwrap();
        let (namespace, key) = (fresh_key("shop"), fresh_key("order"));
        let locks = namespaced(backend, &format!("{namespace}/"));
        let path = format!("/locks/{namespace}%2F/{key}");
        let guard = locks.lock(&key).await.unwrap();
        assert!(operator.czxid(&path).is_some(), "{recipe:?}: {path}");
        assert!(operator.czxid(&format!("/locks/{key}")).is_none(), "{recipe:?}");
        guard.release().await.unwrap();
    }
}

/// A manager of the directory's own root shares the lock, as a program with the whole path would.
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_path_is_the_same_lock() {
    let (namespace, key) = (fresh_key("shop"), fresh_key("order"));
    let hosts = shared_zookeeper().hosts();
    let by_root = at(&hosts).root(format!("/locks/{namespace}")).build().await.unwrap();
    let (one, other) = (namespaced(backend().await, &namespace), each_for_itself(by_root));
    let guard = one.lock(&key).await.unwrap();
    assert!(other.lock(&key).try_acquire().await.unwrap().is_none());
    let waiter = tokio::spawn(other.lock(&key).acquire());
    let first = guard.token();
    guard.release().await.unwrap();
    assert!(soon("the other is granted", waiter).await.unwrap().unwrap().token() > first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_names_the_namespace() {
    let (namespace, key) = (fresh_key("shop"), fresh_key("order"));
    let url = format!("zookeeper://{}/locks?namespace={namespace}", shared_zookeeper().hosts());
    let (one, other) = (LockManager::connect(&url).await.unwrap(), namespaced(backend().await, &namespace));
    let _held = one.lock(&key).await.unwrap();
    assert!(other.lock(&key).try_acquire().await.unwrap().is_none());
}

/// A holder is found by the namespace that its manager has.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_in_a_namespace_is_asked_there() {
    let (backend, key) = (backend().await, LockKey::new(fresh_key("asked")).unwrap());
    let namespace = Namespace::new(fresh_key("shop")).unwrap();
    let guard = namespaced(backend.clone(), namespace.as_str()).lock(&key).await.unwrap();
    assert_eq!(backend.revoke(&key).await.unwrap_err().kind(), ErrorKind::NotHeld);
    backend.in_namespace(&namespace).unwrap().revoke(&key).await.unwrap();
    soon("the holder is asked", guard.revoked()).await;
}

/// All namespaces of a backend value live in its session: a removed node is noticed there, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_removed_in_a_namespace_ends_its_guard() {
    let (namespace, key) = (fresh_key("shop"), fresh_key("order"));
    let (locks, operator) = (namespaced(backend().await, &namespace), Operator::of(shared_zookeeper()));
    let guard = locks.lock(&key).await.unwrap();
    let dir = LockKey::new(format!("{namespace}/{key}")).unwrap();
    operator.delete(&format!("/locks/{dir}/{}", operator.queue(&dir).remove(0)));
    assert_eq!(soon("the guard is lost", guard.lost()).await, LossReason::NotOwner);
    let error = guard.release().await.unwrap_err();
    assert!(error.to_string().contains(&format!("\"{key}\" in \"{namespace}\" on zookeeper")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_for_a_name_is_refused() {
    let locks = namespaced(backend().await, "shop:");
    let refused = locks.lock("x".repeat(LockKey::MAX_LEN)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidKey, "{refused}");
    let wrong = LockManager::builder(backend().await).namespace("").build().unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidOption, "{wrong}");
}
