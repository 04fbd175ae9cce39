//! What holders and waiters call themselves, as it stands at the server.

use super::*;

fn labelled(key: &str, label: &str) -> Claim {
    claim(key).with_label(Some(Label::new(label).unwrap()))
}

/// Whose the lock is, by its label. An owner is never compared by it.
fn label_of(owner: &str) -> Option<&str> {
    owner.split('|').nth(3)?.split_once('=').map(|(_ttl, label)| label)
}

#[tokio::test]
async fn a_holder_and_a_waiter_carry_their_labels() {
    let server = RedisServer::start();
    let (one, other) = (backend(&server).await, backend(&server).await);
    let (mine, next) = (labelled("order:42", "web-1:77"), labelled("order:42", "50% | \u{fc} =2"));
    let first = tried(&one, &mine).await.unwrap();
    assert_eq!(label_of(&holder(&server, "order:42")), Some("web-1:77"));
    let before = script_calls(&server);
    let waiter = queued(other.clone(), next.clone()).await;
    let entry = server.command(&["ZRANGE", "dlock:w:p:{order:42}", "0", "-1"]);
    assert_eq!(label_of(&entry), Some("50%25%20%7C%20%C3%BC%20=2"));
    one.renew(&mine).await.unwrap();
    one.release(&mine).await.unwrap();
    assert!(granted(waiter).await.token > first.token);
    assert_eq!(script_calls(&server) - before, 3, "to queue, to renew and to release; the push is the grant");
    other.renew(&next).await.unwrap();
    other.release(&next).await.unwrap();
    assert_eq!(server.command(&["KEYS", "*"]), "dlock:f", "nothing of a label stays");
}

#[tokio::test]
async fn a_label_costs_no_command_and_none_costs_no_byte() {
    let server = RedisServer::start();
    let backend = backend(&server).await;
    let (plain, named) = (claim("order:42"), labelled("order:42", "web-1"));
    let lengths = async |claim: &Claim| {
        let before = script_calls(&server);
        tried(&backend, claim).await.unwrap();
        let length = holder(&server, "order:42").len();
        backend.release(claim).await.unwrap();
        assert_eq!(script_calls(&server) - before, 2);
        length
    };
    let ttl = LONG.as_millis().to_string().len();
    assert_eq!(lengths(&plain).await, "dl2|".len() + 16 + 1 + 32 + 1 + ttl + 1);
    assert_eq!(lengths(&named).await - lengths(&plain).await, "=web-1".len());
}

#[tokio::test]
async fn a_request_s_label_stands_before_the_manager_s() {
    let server = RedisServer::start();
    let builder = LockManager::builder(backend(&server).await).label("web-1");
    let locks = builder.wait(PATIENCE).build().unwrap();
    let label = || label_of(&holder(&server, "order:42")).map(str::to_owned);
    let first = locks.lock("order:42").await.unwrap();
    assert_eq!(label().as_deref(), Some("web-1"));
    first.release().await.unwrap();
    let second = locks.lock("order:42").label("nightly").await.unwrap();
    assert_eq!(label().as_deref(), Some("nightly"));
    second.release().await.unwrap();
    let refused = locks.lock("order:42").label("a\nb").await.unwrap_err();
    assert_eq!((refused.kind(), refused.key().is_none()), (ErrorKind::InvalidOption, false));
}

/// What a waiter behind it sees is true: a grant is handed over only to waiters of the same label.
#[tokio::test]
async fn a_handed_over_grant_has_the_label_of_its_holder() {
    let server = RedisServer::start();
    let locks = LockManager::builder(backend(&server).await).wait(PATIENCE).build().unwrap();
    let label = || label_of(&holder(&server, "order:42")).map(str::to_owned);
    let held = locks.lock("order:42").label("a").await.unwrap();
    let other = tokio::spawn(locks.lock("order:42").label("b").acquire());
    wait_until_async("the other waits", PATIENCE, async || waiters(&server, "order:42") == 1).await;
    held.release().await.unwrap();
    let _held = other.await.unwrap().unwrap();
    assert_eq!(label().as_deref(), Some("b"));
}

#[tokio::test]
async fn a_url_can_have_a_label() {
    let server = RedisServer::start();
    let locks = LockManager::connect(&format!("{}/?label=web-9", server.url())).await.unwrap();
    let _held = locks.lock("order:42").await.unwrap();
    assert_eq!(label_of(&holder(&server, "order:42")), Some("web-9"));
}

#[tokio::test]
async fn plain_locks_carry_labels_too() {
    let server = RedisServer::start();
    let plain = RedisBackend::builder().url(server.url()).recipe(dlock_core::backend::redis::Recipe::Plain);
    let (backend, claim) = (plain.build().await.unwrap(), labelled("order:42", "web-1"));
    tried(&backend, &claim).await.unwrap();
    assert_eq!(label_of(&server.command(&["GET", "order:42"])), Some("web-1"));
    backend.renew(&claim).await.unwrap();
    backend.release(&claim).await.unwrap();
    assert_eq!(server.command(&["EXISTS", "order:42"]), "0");
}
