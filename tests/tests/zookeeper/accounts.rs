//! Accounts and access lists in ZooKeeper: who may have which locks, and what who may not is told.

use super::*;
use dlock_core::backend::zookeeper::Recipe;
use std::collections::BTreeMap;
use zookeeper::{Acl, Acls, AuthId, Client, CreateMode, Permission};

/// What an account makes by hand, beside the locks.
async fn account(name: &str) -> Client {
    let auth = format!("{name}:secret");
    let connector = Client::connector().with_auth("digest", auth.as_bytes());
    connector.connect(&shared_zookeeper().hosts()).await.unwrap()
}

fn builder(name: &str, root: &str) -> ZooKeeperBackendBuilder {
    let builder = ZooKeeperBackend::builder().hosts(shared_zookeeper().hosts()).root(root);
    builder.session_timeout(Duration::from_secs(5)).digest_auth(name, "secret")
}

async fn locks(name: &str, root: &str) -> LockManager {
    over(builder(name, root)).await
}

async fn over(builder: ZooKeeperBackendBuilder) -> LockManager {
    LockManager::builder(builder.build().await.unwrap()).wait(LIMIT).build().unwrap()
}

async fn make(client: &Client, path: &str, acl: &[Acl]) {
    client.mkdir(path, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    client.set_acl(path, acl, None).await.unwrap();
}

fn own(permission: Permission) -> [Acl; 1] {
    [Acl::new(permission, AuthId::authed())]
}

/// Everything but one right.
fn without(missing: Permission) -> Permission {
    [Permission::READ, Permission::WRITE, Permission::CREATE, Permission::DELETE, Permission::ADMIN]
        .into_iter()
        .filter(|right| *right != missing)
        .fold(Permission::NONE, |rights, right| rights | right)
}

async fn children(client: &Client, path: &str) -> Vec<String> {
    client.list_children(path).await.unwrap()
}

fn is_refused_clearly(error: &LockError, operation: Operation, key: &str) {
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Auth, Some(operation)), "{error}");
    assert_eq!(error.key().map(ToString::to_string).as_deref(), Some(key), "{error}");
    let text = error.to_string();
    assert!(text.contains(key) && text.contains("create, read, write and delete"), "{text}");
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}

/// A directory for each tenant, which belongs to it: its locks work there, and those of others do not.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_have_their_locks_to_themselves() {
    let parent = format!("/{}", fresh_key("tenants"));
    let mut tenants = Vec::new();
    for name in ["one", "other"] {
        let home = format!("{parent}/{name}");
        make(&account(name).await, &home, &own(Permission::ALL)).await;
        tenants.push((name, home.clone(), locks(name, &format!("{home}/locks")).await));
    }
    for (name, home, tenant) in &tenants {
        let root = format!("{home}/locks");
        let guard = tenant.lock("order:42").await.unwrap();
        let colleague = locks(name, &root).await;
        assert!(
            colleague.lock("order:42").try_acquire().await.unwrap().is_none(),
            "the tenant's own exclude"
        );
        for (stranger, ..) in tenants.iter().filter(|(other, ..)| other != name) {
            for root in [&root, home] {
                let refused = builder(stranger, root).build().await.unwrap_err();
                assert_eq!(
                    (refused.kind(), refused.operation()),
                    (ErrorKind::Auth, Some(Operation::Connect))
                );
            }
            let below = locks(stranger, &format!("{home}/locks/below")).await;
            let refused = below.lock("order:42").await.unwrap_err();
            is_refused_clearly(&refused, Operation::Acquire, "order:42");
        }
        let owner = account(name).await;
        assert_eq!(children(&owner, &root).await, ["order:42"], "and nothing else was made");
        guard.release().await.unwrap();
    }
}

/// What is made belongs to the account. Who waits may look at a node all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_makes_is_its_own() {
    let root = format!("/{}", fresh_key("own"));
    let locks = locks("me", &root).await;
    let guard = locks.lock("k").await.unwrap();
    let me = account("me").await;
    let rights = async |path: &str| {
        let (acl, _) = me.get_acl(path).await.unwrap();
        acl.iter().map(|entry| (entry.scheme().to_owned(), entry.permission())).collect::<BTreeMap<_, _>>()
    };
    let mut all_its_own = BTreeMap::from([("digest".to_owned(), Permission::ALL)]);
    assert_eq!(rights(&root).await, all_its_own);
    let dir = format!("{root}/k");
    assert_eq!(rights(&dir).await, all_its_own);
    let node = format!("{dir}/{}", children(&me, &dir).await[0]);
    all_its_own.insert("world".to_owned(), Permission::READ);
    assert_eq!(rights(&node).await, all_its_own);
    guard.release().await.unwrap();
}

/// Two services with an account each, and no third.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_share_their_locks_exclude_each_other() {
    let root = format!("/{}", fresh_key("shared"));
    let sharing = async |name: &str, with: &str| {
        over(builder(name, &root).share_with("digest", digest(with).await)).await
    };
    let [one, other] = [sharing("one", "other").await, sharing("other", "one").await];
    for (mine, theirs) in [(&one, &other), (&other, &one)] {
        let key = fresh_key("k");
        let guard = mine.lock(&key).await.unwrap();
        assert!(theirs.lock(&key).try_acquire().await.unwrap().is_none());
        let waiter = tokio::spawn(theirs.lock(&key).acquire());
        let dir = format!("{root}/{key}");
        let me = account("one").await;
        until("the waiter is in line", async || children(&me, &dir).await.len() == 2).await;
        guard.release().await.unwrap();
        soon("the waiter is granted", waiter).await.unwrap().unwrap().release().await.unwrap();
    }
    assert_eq!(builder("stranger", &root).build().await.unwrap_err().kind(), ErrorKind::Auth);
    let nobody = ZooKeeperBackend::builder().hosts(shared_zookeeper().hosts()).root(&root);
    assert_eq!(nobody.build().await.unwrap_err().kind(), ErrorKind::Auth);
}

/// An account as access lists name it.
async fn digest(name: &str) -> String {
    let (client, node) = (account(name).await, format!("/{}", fresh_key("digest")));
    client.create(&node, b"", &CreateMode::Ephemeral.with_acls(Acls::creator_all())).await.unwrap();
    client.get_acl(&node).await.unwrap().0[0].id().to_owned()
}

/// A list that no server takes, and one that would never match.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_cannot_be_shared_with_is_refused() {
    let root = format!("/{}", fresh_key("wrong"));
    for wrong in [
        builder("me", &root).share_with("digest", "other:marker"),
        ZooKeeperBackend::builder().hosts(shared_zookeeper().hosts()).share_with("ip", "127.0.0.1"),
    ] {
        let refused = wrong.build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
        assert!(!format!("{refused} {refused:?}").contains("marker"));
    }
    let refused = builder("me", &root).share_with("no-such-scheme", "x").build().await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.operation()),
        (ErrorKind::Auth, Some(Operation::Connect)),
        "{refused}"
    );
    assert!(refused.to_string().contains("shared with"), "{refused}");
}

/// Z12: in a directory that was made for it, an account may lack any right.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named_and_leaves_nothing() {
    for missing in [Permission::CREATE, Permission::WRITE, Permission::READ] {
        let key = fresh_key("lacks");
        let dir = format!("/locks/{key}");
        let (me, locks) = (account("me").await, locks("me", "/locks").await);
        make(&me, &dir, &own(without(missing))).await;
        if missing == Permission::READ {
            // A lone contender need not look, so a second node is put ahead.
            me.create(
                &format!("{dir}/lock-"),
                b"",
                &CreateMode::EphemeralSequential.with_acls(Acls::creator_all()),
            )
            .await
            .unwrap();
        }
        let refused = soon("the wait ends", locks.lock(&key).acquire()).await.unwrap_err();
        is_refused_clearly(&refused, Operation::Acquire, &key);
        let refused = locks.lock(&key).try_acquire().await.unwrap_err();
        is_refused_clearly(&refused, Operation::Acquire, &key);
        locks.shutdown().await.unwrap();
        me.set_acl(&dir, &own(Permission::ALL), None).await.unwrap();
        let ours = children(&me, &dir).await.into_iter().filter(|name| name.starts_with("_c_")).count();
        assert_eq!(ours, 0, "{missing:?}");
    }
}

/// A node that may not be removed goes with its session, so the error has to say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_may_not_be_removed_goes_with_its_session() {
    let key = fresh_key("keeps");
    let dir = format!("/locks/{key}");
    let (me, locks) = (account("me").await, locks("me", "/locks").await);
    make(&me, &dir, &own(without(Permission::DELETE))).await;
    let guard = locks.lock(&key).await.unwrap();
    let refused = guard.release().await.unwrap_err();
    is_refused_clearly(&refused, Operation::Release, &key);
    assert!(refused.to_string().contains("until its session ends"), "{refused}");
    locks.shutdown().await.unwrap();
    assert_eq!(children(&me, &dir).await.len(), 1);
    drop(locks);
    until("the node is gone", async || children(&me, &dir).await.is_empty()).await;
}

/// Clients of other libraries may hide their nodes from other accounts. Some servers do not tell an account that may
/// not read a node when the node goes. So it is looked for now and then.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_may_not_be_read_is_waited_for() {
    for recipe in [Recipe::Sequential, Recipe::Simple] {
        let key = fresh_key("hidden");
        let (other, locks) = (account("other").await, over(builder("me", "/locks").recipe(recipe)).await);
        let hidden = Acls::creator_all();
        let node = match recipe {
            Recipe::Simple => {
                let anybody = CreateMode::Persistent.with_acls(Acls::anyone_all());
                other.mkdir("/locks", &anybody).await.unwrap();
                let node = format!("/locks/{key}");
                other.create(&node, b"", &CreateMode::Ephemeral.with_acls(hidden)).await.unwrap();
                node
            }
            _ => {
                let dir = format!("/locks/{key}");
                make(&other, &dir, &[Acl::new(Permission::ALL, AuthId::anyone())]).await;
                let prefix = format!("{dir}/_c_00000000-0000-0000-0000-000000000000-lock-");
                let options = CreateMode::EphemeralSequential.with_acls(hidden);
                let (_, sequence) = other.create(&prefix, b"", &options).await.unwrap();
                format!("{prefix}{sequence}")
            }
        };
        assert!(locks.lock(&key).try_acquire().await.unwrap().is_none(), "{recipe:?}");
        let waiter = tokio::spawn(locks.lock(&key).acquire());
        if recipe == Recipe::Sequential {
            let dir = format!("/locks/{key}");
            until("the waiter is in line", async || children(&other, &dir).await.len() == 2).await;
        }
        assert!(!waiter.is_finished());
        other.delete(&node, None).await.unwrap();
        let guard = soon("the waiter is granted", waiter).await.unwrap().unwrap();
        guard.release().await.unwrap();
    }
}

/// ZooKeeper from 3.9.3 on does not tell what a node is that an account may not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_which_nothing_is_told_is_waited_for() {
    let relay = Relay::to(shared_zookeeper()).await;
    let (node, other) = (fresh_key("hidden"), account("other").await);
    let builder = builder("me", "/locks").hosts(relay.hosts()).recipe(Recipe::Simple);
    let locks = over(builder).await;
    other.mkdir("/locks", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    let path = format!("/locks/{node}");
    other.create(&path, b"", &CreateMode::Ephemeral.with_acls(Acls::creator_all())).await.unwrap();
    relay.refuse(op_code::EXISTS, relay::NO_AUTH);
    assert!(locks.lock(&node).try_acquire().await.unwrap().is_none());
    let waiter = tokio::spawn(locks.lock(&node).acquire());
    other.delete(&path, None).await.unwrap();
    soon("the waiter is granted", waiter).await.unwrap().unwrap().release().await.unwrap();
}

/// The server takes no digests at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_the_credentials_is_told_of() {
    let server = ZooKeeperServer::builder().config("DigestAuthenticationProvider.enabled=false").start();
    let builder = ZooKeeperBackend::builder().hosts(server.hosts()).digest_auth("me", "secret");
    let refused = soon("building fails", builder.build()).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.operation()),
        (ErrorKind::Auth, Some(Operation::Connect)),
        "{refused}"
    );
    assert!(!format!("{refused} {refused:?}").contains("secret"));
}

/// What ZooKeeper calls a chroot is the root here, also in the URL; behind the hosts it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_chroot_is_the_root() {
    let (hosts, name) = (shared_zookeeper().hosts(), fresh_key("chroot"));
    let refused = ZooKeeperBackend::builder().hosts(format!("{hosts}/{name}")).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption);
    assert!(refused.to_string().contains("the root"), "{refused}");
    let by_url = LockManager::connect(&format!("zookeeper://{hosts}/{name}/app/locks")).await.unwrap();
    let by_root = over(ZooKeeperBackend::builder().hosts(&hosts).root(format!("/{name}/app/locks"))).await;
    let guard = by_url.lock("k").await.unwrap();
    assert!(by_root.lock("k").try_acquire().await.unwrap().is_none(), "one root");
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_is_refused() {
    let (hosts, name) = (shared_zookeeper().hosts(), fresh_key("private"));
    let builder = || at(&hosts).root(format!("/{name}"));
    let right = builder().digest_auth("me", "marker-right").build().await.unwrap();
    let (mine, next) = (claim("k"), claim("k"));
    grant(&right, &mine).await;
    for builder in [builder(), builder().digest_auth("me", "marker-wrong")] {
        let refused = builder.build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
        assert!(!format!("{refused} {refused:?}").contains("marker"), "{refused:?}");
    }
    let outside = at(&hosts).root("/").build().await.unwrap();
    let refused = outside.acquire(&AcquireRequest::new(claim(&name), Mode::Wait)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    let by_url =
        at("").url(format!("zookeeper://me:marker%2Dright@{hosts}/{name}")).build().await.unwrap_err();
    assert_eq!(by_url.kind(), ErrorKind::InvalidOption, "the first mistake is reported");
    let by_url =
        builder().url(format!("zookeeper://me:marker%2Dright@{hosts}/{name}")).build().await.unwrap();
    let waiter = Waiter::queued(&by_url, &next).await;
    release(&right, &mine).await.unwrap();
    waiter.grant().await;
    release(&by_url, &next).await.unwrap();
}

/// A waiter must see the node ahead, whichever account made it.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_share_a_directory_wait_for_each_other() {
    let named = at(&shared_zookeeper().hosts()).digest_auth("me", "secret").build().await.unwrap();
    let nobody = backend().await;
    let key = fresh_key("shared");
    Operator::of(shared_zookeeper()).make(&format!("/locks/{key}"));
    let (holder, next) = (claim(&key), claim(&key));
    grant(&named, &holder).await;
    let waiter = Waiter::queued(&nobody, &next).await;
    release(&named, &holder).await.unwrap();
    waiter.grant().await;
    release(&nobody, &next).await.unwrap();
}
