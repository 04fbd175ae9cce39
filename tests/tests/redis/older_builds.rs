//! Builds that write their owners in an older form (`dl1|`), and keep a queue of their own: they and this one are foreign
//! clients to each other.

use super::*;

/// An owner of an older build that asks and releases by the scripts of then.
struct Older<'a> {
    server: &'a RedisServer,
    owner: &'static str,
}

impl Older<'_> {
    fn run(&self, script: &str, arguments: &[&str]) -> String {
        let keys = ["order:42", "dlock:q:p:{order:42}", "dlock:f:p:{order:42}", "dlock:g:p:{order:42}"];
        let call = [&["EVAL", script, "4"], &keys[..], &[self.owner], arguments].concat();
        self.server.command(&call)
    }

    /// Whether it was granted the lock, by the token alone. If not, it has a place in the queue of older builds.
    fn acquire(&self) -> bool {
        !self.run(include_str!("older_build/acquire.lua"), &["60000"]).contains('\n')
    }

    fn release(&self) -> bool {
        self.run(include_str!("older_build/release.lua"), &[]) == "1"
    }
}

#[tokio::test]
async fn builds_of_before_and_of_now_exclude_each_other() {
    let server = RedisServer::start();
    let (backend, mine) = (backend(&server).await, claim("order:42"));
    let older = Older { server: &server, owner: "dl1|00000000000000aa|1|60000" };
    let other = Older { server: &server, owner: "dl1|00000000000000aa|2|60000" };
    tried(&backend, &mine).await.unwrap();
    assert!(!older.acquire(), "this build has it");
    assert!(!older.release(), "nor can an older one release it");
    backend.renew(&mine).await.expect("it is this build's still");
    backend.release(&mine).await.unwrap();
    assert!(older.acquire() && !other.acquire());
    assert!(!other.release());
    let next = claim("order:42");
    assert_eq!(tried(&backend, &next).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(backend.release(&next).await.unwrap_err().kind(), ErrorKind::Lost);
    assert!(server.command(&["GET", "order:42"]).starts_with("dl1|"), "it is the older one's still");
    let waiter = queued(backend.clone(), next.clone()).await;
    assert!(older.release());
    granted(waiter).await;
    assert!(!other.acquire());
    backend.release(&next).await.unwrap();
    assert!(other.acquire() && other.release());
}
