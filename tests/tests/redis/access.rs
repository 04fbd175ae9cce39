//! Accounts, passwords, databases.

use super::*;

#[tokio::test]
async fn databases_are_apart() {
    let server = RedisServer::start();
    let one = manager(&server).await;
    let other = RedisBackend::builder().url(format!("{}/1", server.url())).build().await.unwrap();
    let other = over(other, LONG);
    let _guard = one.lock("order:42").await.unwrap();
    assert!(other.lock("order:42").try_acquire().await.unwrap().is_some());
    assert_eq!(server.command(&["EXISTS", "order:42"]), "1");
}

/// What the documentation names as enough.
const LEAST_RIGHTS: &str = "user dlock on >marker-secret resetkeys resetchannels ~order:* ~dlock:* &dlock:i:* -@all \
    +evalsha +eval +script|load +get +mget +set +del +exists +pttl +pexpire +zadd +zrem +zrange +zrank +zscore \
    +zremrangebyscore +time +publish +subscribe +pubsub|numpat +pubsub|numsub +hello +auth +select +ping";

/// What of it the locks can do without.
const SPARED: [&str; 2] = ["pubsub|numpat", "pubsub|numsub"];

const ADMIN: &str = "user default on nopass ~* &* +@all";

fn as_dlock(url: &str) -> String {
    url.replace("://", "://dlock:marker-secret@")
}

#[tokio::test]
async fn the_least_rights_are_enough() {
    let server = RedisServer::builder().config(LEAST_RIGHTS).config(ADMIN).start();
    let build = async || RedisBackend::builder().url(as_dlock(&server.url())).build().await.unwrap();
    let (locks, other) = (over(build().await, LONG), over(build().await, LONG));
    let guard = locks.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(other.lock("order:42").acquire());
    wait_until_async("somebody waits", PATIENCE, async || {
        server.command(&["ZCARD", "dlock:w:p:{order:42}"]) == "1"
    })
    .await;
    guard.release().await.unwrap();
    waiter.await.unwrap().unwrap().release().await.unwrap();
    server.command(&["ACL", "SETUSER", "dlock", "-evalsha"]);
    let refused = locks.lock("order:42").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
}

/// S15: the start-up check names the right that is missing, whichever it is.
#[tokio::test]
async fn a_missing_right_is_named() {
    let server = RedisServer::builder().config(LEAST_RIGHTS).config(ADMIN).start();
    let url = as_dlock(&server.url());
    let build = async || RedisBackend::builder().url(&url).build().await;
    let all = LEAST_RIGHTS.split(" -@all ").nth(1).unwrap();
    let of_scripts = all.split_whitespace().map(|right| right.trim_start_matches('+')).filter(|right| {
        let beside = ["evalsha", "eval", "script|load", "subscribe", "hello", "auth", "select", "ping"];
        !beside.contains(right) && !SPARED.contains(right)
    });
    for right in of_scripts {
        server.command(&["ACL", "SETUSER", "dlock", &format!("-{right}")]);
        let refused = build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth, "{right}: {refused}");
        assert!(refused.to_string().contains(&right.to_uppercase()), "{right}: {refused}");
        server.command(&["ACL", "SETUSER", "dlock", &format!("+{right}")]);
    }
    build().await.unwrap();
    for rights in ["resetchannels", "-script", "-subscribe", "-evalsha", "resetkeys"] {
        server.command(&["ACL", "SETUSER", "dlock", rights]);
        let refused = build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth, "{rights}: {refused}");
        set_rights(&server, LEAST_RIGHTS);
    }
}

/// An account from before they were needed goes on to work, and each live waiter is granted its turn.
#[tokio::test]
async fn the_rights_to_ask_for_subscribers_can_be_spared() {
    let server = RedisServer::builder().config(LEAST_RIGHTS).config(ADMIN).start();
    let _monitor = monitor(&server);
    for right in SPARED {
        set_rights(&server, &LEAST_RIGHTS.replace(&format!(" +{right}"), ""));
        let build = async || RedisBackend::builder().url(as_dlock(&server.url())).build().await.unwrap();
        let (one, other, holding) = (build().await, build().await, claim("order:42"));
        tried(&one, &holding).await.unwrap();
        let waiter = queued(other.clone(), claim("order:42")).await;
        one.release(&holding).await.unwrap();
        assert_ne!(holder(&server, "order:42"), "(nil)", "without {right}");
        granted(waiter).await;
        server.command(&["DEL", "order:42"]);
    }
}

/// Gives a user of a configuration line the rights that the line says.
fn set_rights(server: &RedisServer, line: &str) {
    let (_, rights) = line.split_once("user ").unwrap();
    server.command(&[&["ACL", "SETUSER"][..], &rights.split_whitespace().collect::<Vec<_>>()].concat());
}

/// INFO is needed where scripts use it, and only there.
#[tokio::test]
async fn a_quarantine_needs_the_right_to_info() {
    let server = RedisServer::builder().config(LEAST_RIGHTS).config(ADMIN).start();
    let build = async || {
        let builder = RedisBackend::builder().url(as_dlock(&server.url()));
        builder.quarantine(BRIEF).build().await
    };
    let refused = build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    assert!(refused.to_string().contains("INFO"), "{refused}");
    server.command(&["ACL", "SETUSER", "dlock", "+info"]);
    let locks = over(build().await.unwrap(), BRIEF);
    locks.lock("order:42").await.unwrap().release().await.unwrap();
}

/// What the documentation names as enough in a cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_rights_in_a_cluster_are_enough() {
    let of_one_server = "+publish +subscribe +pubsub|numpat +pubsub|numsub";
    let rights = LEAST_RIGHTS.replace(of_one_server, "+cluster|slots +asking +ssubscribe +spublish");
    let cluster = dlock_tests::RedisCluster::builder().config(&rights).start();
    let build = async || RedisBackend::builder().url(as_dlock(&cluster.url())).build().await.unwrap();
    let (locks, other) = (over(build().await, LONG), over(build().await, LONG));
    let guard = locks.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(other.lock("order:42").acquire());
    wait_until_async("somebody waits", PATIENCE, async || {
        cluster.command_for("order:42", &["ZCARD", "dlock:w:p:{order:42}"]) == "1"
    })
    .await;
    guard.release().await.unwrap();
    waiter.await.unwrap().unwrap().release().await.unwrap();
}

/// S15.
#[tokio::test]
async fn passwords_are_checked_and_never_shown() {
    let server = RedisServer::builder().password("marker-secret").start();
    let url = |password: &str| server.url().replace("redis://", &format!("redis://:{password}@"));
    let builder = RedisBackend::builder().url(url("marker-secret"));
    let mut shown = format!("{builder:?}");
    let backend = builder.build().await.unwrap();
    let locks = over(backend.clone(), LONG);
    let guard = locks.lock("order:42").await.unwrap();
    shown += &format!("{backend:?} {locks:?} {guard:?} {:?}", locks.lock("order:42"));
    let wrong = ["", ":marker-secret-too@", "marker-secret@", "dlock:marker-secret@"];
    for login in wrong {
        let url = server.url().replace("redis://", &format!("redis://{login}"));
        let refused = RedisBackend::builder().url(url).build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
        shown += &format!("{refused} {refused:?}");
    }
    for url in [
        "redis://:marker-secret@[",
        "redis://:marker-secret@host:port",
        "redis://:marker-secret@h/x",
        "marker-secret",
    ] {
        let refused = RedisBackend::builder().url(url).build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
        shown += &format!("{refused} {refused:?}");
    }
    assert!(!shown.contains("marker-secret"), "{shown}");
}

/// An account whose rights and password can be changed, and a URL for it.
async fn with_account() -> (RedisServer, String) {
    let server = RedisServer::builder()
        .config("user dlock on >marker-secret ~* &* +@all")
        .config("user default on nopass ~* &* +@all")
        .start();
    let url = server.url().replace("redis://", "redis://dlock:marker-secret@");
    (server, url)
}

/// S15: the password is changed in service, and the connection is lost. What asks is told so at once; a guard
/// goes on to its deadline; and the server is not asked again and again.
#[tokio::test]
async fn a_password_changed_in_service_is_told_and_not_tried_again_and_again() {
    let (server, url) = with_account().await;
    let locks = over(RedisBackend::builder().url(&url).build().await.unwrap(), BRIEF);
    let guard = locks.lock("order:42").await.unwrap();
    server.command(&["ACL", "SETUSER", "dlock", "resetpass", ">another"]);
    server.command(&["CLIENT", "KILL", "USER", "dlock"]);
    let refused = locks.lock("order:43").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    assert!(guard.is_valid(), "until its deadline");
    assert_eq!(lost(&guard).await, LossReason::Expired);
    let tries = errors(&server, "WRONGPASS");
    assert!((1..=20).contains(&tries), "{tries} in one lease");
    drop(guard);
    server.command(&["ACL", "SETUSER", "dlock", ">marker-secret"]);
    let is_back = async || locks.lock("order:43").await.is_ok();
    wait_until_async("it comes back by itself", PATIENCE, is_back).await;
}

/// S15: a right is withdrawn in service. A guard goes on to its deadline, and a waiter is told.
#[tokio::test]
async fn a_right_withdrawn_in_service_is_told() {
    let (server, url) = with_account().await;
    let locks = each_for_itself(RedisBackend::builder().url(&url).build().await.unwrap(), BRIEF);
    let guard = locks.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(locks.lock("order:42").acquire());
    wait_until_async("somebody waits", PATIENCE, async || waiters(&server, "order:42") == 1).await;
    server.command(&["ACL", "SETUSER", "dlock", "-evalsha", "-eval"]);
    let refused = waiter.await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    assert_eq!(lost(&guard).await, LossReason::Expired);
    let tries = errors(&server, "NOPERM");
    assert!((2..=40).contains(&tries), "{tries} in one lease");
}

/// S15: the same for a right that only the scripts need, which the server refuses inside of them.
#[tokio::test]
async fn a_right_of_the_scripts_withdrawn_in_service_is_told() {
    let (server, url) = with_account().await;
    let locks = over(RedisBackend::builder().url(&url).build().await.unwrap(), LONG);
    for command in ["-set", "-time", "-exists"] {
        server.command(&["ACL", "SETUSER", "dlock", command]);
        let refused = locks.lock("order:42").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth, "{command}: {refused}");
    }
}
