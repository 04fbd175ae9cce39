//! Why a lock was lost.

use super::*;
use dlock_core::{LockKey, LossReason};
use dlock_tests::{Holder, Link, fresh_key, shared_redis};

on_servers!(
    a_server_that_does_not_answer_is_told_from_one_that_gave_the_lock_away,
    a_process_that_was_stopped_knows_it,
);

fn a_server_that_does_not_answer_is_told_from_one_that_gave_the_lock_away(place: Place) {
    let link = Link::to(place.address());
    let locks = place.client_over(&link, BRIEF);
    let guard = granted(locks.lock(fresh_key("lost")).acquire());
    link.block();
    let reason = soon("the loss is told", guard.lost());
    assert!(matches!(reason, LossReason::Expired | LossReason::SessionExpired), "{reason:?}");
}

#[test]
fn a_server_that_gave_the_lock_away_says_so() {
    let (locks, key) = (Place::Redis.client(BRIEF), fresh_key("lost"));
    let guard = granted(locks.lock(&key).acquire());
    shared_redis().command(&["DEL", &LockKey::new(key).unwrap().to_string()]);
    assert_eq!(soon("the loss is told", guard.lost()), LossReason::NotOwner);
}

/// Its own clocks say that it did not run, so the server is not to blame.
fn a_process_that_was_stopped_knows_it(place: Place) {
    let key = fresh_key("stopped");
    let mut holder = Holder::start(env!("CARGO_BIN_EXE_hold_lock"), &place.url(), &key, BRIEF);
    holder.pause();
    assert_free(place, &key);
    holder.ask();
    holder.resume();
    assert!(!holder.answer());
    let state = holder.state();
    assert!(state.contains("Stopped") || state.contains("SessionExpired"), "{state}");
}
