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
    +evalsha +eval +script|load +get +set +del +exists +pttl +pexpire +zadd +zrem +zrange +zrank +zscore \
    +zremrangebyscore +time +publish +subscribe +hello +auth +select +ping";

#[tokio::test]
async fn the_least_rights_are_enough_and_one_less_is_named() {
    let admin = "user default on nopass ~* &* +@all";
    let server = RedisServer::builder().config(LEAST_RIGHTS).config(admin).start();
    let url = server.url().replace("redis://", "redis://dlock:marker-secret@");
    let locks = over(RedisBackend::builder().url(&url).build().await.unwrap(), LONG);
    let guard = locks.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(locks.lock("order:42").acquire());
    wait_until_async("somebody waits", PATIENCE, async || {
        server.command(&["ZCARD", "dlock:q:p:{order:42}"]) == "1"
    })
    .await;
    guard.release().await.unwrap();
    waiter.await.unwrap().unwrap().release().await.unwrap();

    server.command(&["ACL", "SETUSER", "dlock", "-evalsha"]);
    let refused = locks.lock("order:42").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    server.command(&["ACL", "SETUSER", "dlock", "+evalsha", "resetchannels"]);
    let refused = RedisBackend::builder().url(&url).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
}

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
