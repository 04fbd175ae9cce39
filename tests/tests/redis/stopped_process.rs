//! A process that is stopped while it holds, for longer than its lease.

use super::*;
use dlock_tests::Holder;

/// B49: a process is stopped for longer than its lease, until another has the lock. The first thing that it can
/// find when it goes on is that its guard is not valid; and if it wrote without asking, a store would refuse its
/// token. The control: a holder that trusted what it knew before it was stopped would write.
#[tokio::test]
async fn a_process_that_was_stopped_knows_at_once_that_its_lock_is_lost() {
    let server = RedisServer::start();
    let mut frozen = Holder::start(env!("CARGO_BIN_EXE_hold_lock"), &server.url(), "order:42", BRIEF);
    frozen.ask();
    let known_before = frozen.answer();
    frozen.pause();
    // This is granted only when the lease is over: it is no longer renewed.
    let next = manager(&server).await.lock("order:42").await.unwrap();
    frozen.ask();
    frozen.resume();
    assert!(!frozen.answer(), "the very first answer");
    assert!(known_before, "the control");
    let (stale, newest) = (frozen.token(), next.token().as_u64());
    assert!(stale < newest, "a store that has seen {newest} refuses {stale}");
    assert!(next.is_valid());
}
