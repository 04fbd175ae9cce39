//! The last handle of a manager, and what its drop waits for.

use super::*;
use crate::runtime::on_a_thread;
use dlock_core::LockManager;
use dlock_tests::{Link, fresh_key};
use std::process::Command;

on_servers!(
    the_drop_of_the_last_handle_does_not_wait_for_a_server_that_is_away,
    a_main_whose_installed_manager_is_scoped_frees_its_keys,
    the_end_of_a_scope_takes_the_manager_away,
);

/// I9: it waits for a moment at most. A panic is no time to wait at all.
fn the_drop_of_the_last_handle_does_not_wait_for_a_server_that_is_away(place: Place) {
    let link = Link::to(place.address());
    let locks = place.client_over(&link, LONG);
    let guard = granted(locks.lock(fresh_key("last")).acquire());
    link.block();
    drop(guard);
    on_a_thread("it is dropped", || drop(locks));
}

fn a_main_whose_installed_manager_is_scoped_frees_its_keys(place: Place) {
    let key = fresh_key("installed");
    let mut program = Command::new(env!("CARGO_BIN_EXE_return_from_main"));
    program.args(["installs", "many", &place.url(), &key, &LONG.as_millis().to_string()]);
    assert!(program.status().unwrap().success());
    assert_free(place, &key);
}

fn the_end_of_a_scope_takes_the_manager_away(place: Place) {
    let locks = place.client(LONG);
    let scope = LockManager::install_scoped(locks.clone());
    assert!(LockManager::installed().is_ok());
    drop(scope);
    // Tests of this program run side by side, and others may have installed theirs.
    assert!(LockManager::installed().map_or(true, |installed| !installed.is_same(&locks)));
}
