//! How long a shutdown takes, and what it says.

use super::*;
use dlock_core::{ErrorKind, LockGuard, LockManager, Moment};
use dlock_tests::{Link, fresh_key};

on_each!(a_shutdown_that_released_everything_is_no_error, a_second_shutdown_is_no_error);

on_servers!(
    a_shutdown_that_could_not_release_says_what_is_left,
    a_shutdown_of_no_time_says_what_is_left,
    what_a_shutdown_left_is_released_when_the_server_is_back,
);

fn held(locks: &LockManager, key: &str) -> LockGuard {
    granted(locks.lock(key).acquire())
}

fn a_shutdown_that_released_everything_is_no_error(place: Place) {
    let (locks, keys) = (place.client(LONG), [(); 3].map(|()| fresh_key("bounded")));
    let guards = keys.each_ref().map(|key| held(&locks, key));
    soon("the shutdown is over", locks.shutdown()).unwrap();
    assert!(guards.iter().all(|guard| !guard.is_valid()));
    keys.iter().for_each(|key| assert_free(place, key));
}

fn a_second_shutdown_is_no_error(place: Place) {
    let locks = place.client(LONG);
    let _guard = held(&locks, &fresh_key("bounded"));
    for _ in 0..2 {
        soon("the shutdown is over", locks.shutdown()).unwrap();
    }
}

/// I10: two locks of three can no longer be released.
fn a_shutdown_that_could_not_release_says_what_is_left(place: Place) {
    let link = Link::to(place.address());
    let locks = place.client_over(&link, LONG);
    let [first, _second, _third] = [(); 3].map(|()| held(&locks, &fresh_key("bounded")));
    soon("a release is confirmed", first.release()).unwrap();
    link.block();
    let failed = soon("the shutdown is over", locks.shutdown_within(BRIEF)).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unavailable, "{failed}");
    assert_eq!(failed.unflushed(), 2, "{failed}");
}

fn a_shutdown_of_no_time_says_what_is_left(place: Place) {
    let link = Link::to(place.address());
    let locks = place.client_over(&link, LONG);
    let _guard = held(&locks, &fresh_key("bounded"));
    link.block();
    let failed = soon("the shutdown is over", locks.shutdown_within(Duration::ZERO)).unwrap_err();
    assert_eq!((failed.kind(), failed.unflushed()), (ErrorKind::Unavailable, 1), "{failed}");
}

/// The time for a shutdown is over, and the releases go on without it.
fn what_a_shutdown_left_is_released_when_the_server_is_back(place: Place) {
    let (link, key) = (Link::to(place.address()), fresh_key("bounded"));
    let locks = place.client_over(&link, LONG);
    let guard = held(&locks, &key);
    link.block();
    let begun = Moment::now();
    soon("the shutdown is over", locks.shutdown_within(BRIEF)).unwrap_err();
    assert!(!guard.is_valid() && Moment::now().since(begun) < LONG);
    link.open();
    assert_free(place, &key);
}
