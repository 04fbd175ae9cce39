//! Processes that are stopped while they hold, and processes that end.

use super::*;
use dlock_tests::{FencedStore, Holder};

fn holder(key: &LockKey, session_timeout: Duration) -> Holder {
    let url = format!("zookeeper://{}/locks", shared_zookeeper().hosts());
    Holder::start(env!("CARGO_BIN_EXE_hold_lock"), &url, &key.to_string(), session_timeout)
}

/// S13, I3: a process is stopped until its session is over and another process has the lock. The first thing that it
/// can find when it goes on is that its guard is not valid; and if it wrote without asking, a store would refuse its
/// token. The control: a holder that trusted what it knew before it was stopped would write, to a store that looks at
/// no token.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_stopped_knows_at_once_that_its_lock_is_lost() {
    let (key, mut store) = (LockKey::new(fresh_key("frozen")).unwrap(), FencedStore::default());
    let mut frozen = holder(&key, Duration::from_secs(1));
    frozen.ask();
    assert!(frozen.answer(), "the control: what it knew");
    assert!(store.write(frozen.token()));
    frozen.pause();
    // This is granted only when the session is over: it has no more heartbeats.
    let next = manager(backend().await).lock(&key).await.unwrap();
    assert!(store.write(next.token().as_u64()));
    frozen.ask();
    frozen.resume();
    assert!(!frozen.answer(), "the very first answer");
    assert!(!store.write(frozen.token()), "refused");
    assert!(next.is_valid());
}

/// S36: when a process ends after its shutdown, its nodes are gone already. One that is killed leaves its node to the
/// servers: the control.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_after_its_shutdown_leaves_no_node() {
    let operator = Operator::of(shared_zookeeper());
    for round in 0..50 {
        let key = LockKey::new(fresh_key("ended")).unwrap();
        let held = holder(&key, LIMIT);
        assert_eq!(operator.queue(&key).len(), 1);
        assert!(held.shut_down());
        assert_eq!(operator.queue(&key).len(), 0, "round {round}");
    }
    let key = LockKey::new(fresh_key("killed")).unwrap();
    drop(holder(&key, LIMIT));
    assert_eq!(operator.queue(&key).len(), 1, "the control");
}
