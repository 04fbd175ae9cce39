//! Other clients on the same keys, and other things in their place.

use super::*;

#[tokio::test]
async fn a_foreign_lock_on_the_same_key_excludes_us_and_we_exclude_it() {
    let server = shared_redis();
    let locks = manager(server).await;
    let key = fresh_key("foreign");
    server.command(&["SET", &key, "another library's token", "NX"]);
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none(), "a key without expiry is not stolen");
    let waiter = tokio::spawn(locks.lock(&key).acquire());
    server.command(&["DEL", &key]);
    let guard = waiter.await.unwrap().unwrap();
    assert_eq!(server.command(&["SET", &key, "another library's token", "NX", "PX", "1000"]), "(nil)");
    guard.release().await.unwrap();
    assert_eq!(server.command(&["SET", &key, "another library's token", "NX", "PX", "1000"]), "OK");
}

#[tokio::test]
async fn keys_of_another_kind_are_refused_and_left_alone() {
    let server = shared_redis();
    let locks = manager(server).await;
    let key = fresh_key("hash");
    server.command(&["HSET", &key, "field", "1"]);
    let refused = locks.lock(&key).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
    assert_eq!(locks.lock(&key).try_acquire().await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(server.command(&["HGET", &key, "field"]), "1");
}

#[tokio::test]
async fn a_fence_that_holds_no_token_is_refused_before_anything_is_written() {
    let server = shared_redis();
    let locks = manager(server).await;
    for (number, garbage) in ["abc", "-1", "1e3", "", "9223372036854775807"].into_iter().enumerate() {
        let key = fresh_key(&format!("fence {number}"));
        let fence = format!("dlock:f:p:{{{key}}}");
        server.command(&["SET", &fence, garbage]);
        let refused = locks.lock(&key).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{garbage:?}: {refused}");
        assert_eq!(server.command(&["EXISTS", &key]), "0");
        assert_eq!(server.command(&["GET", &fence]), garbage);
    }
}
