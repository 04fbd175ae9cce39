//! Wakes waiters when their time has come, even if no owner asks.

use super::table::LockTable;
use crate::keeper::Keeper;
use crate::lease::OwnerId;
use crate::time::{Clock, Moment};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// The longest time between two looks while any waiter is to be woken. A watch that is no longer needed finds that out
/// at its next look, and then stops.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Sleeps until the first moment that a waiter is to be woken at, and then wakes it. Keeps no table alive.
pub(super) async fn run(table: Weak<LockTable>, earlier: Arc<Notify>, keeper: &'static Keeper) {
    while let Some((clock, woken, next)) = table.upgrade().map(|table| look(&table)) {
        // A waker may run code from outside the library, so each runs in a task of its own.
        woken.into_iter().for_each(|owner| _ = keeper.spawn(wake(Weak::clone(&table), owner)));
        let next = next.map(|next| next.min(clock.now().after(LONGEST_SLEEP)));
        tokio::select! {
            () = earlier.notified() => {}
            () = clock.sleep_until_any(next) => {}
        }
    }
}

fn look(table: &LockTable) -> (Clock, Vec<OwnerId>, Option<Moment>) {
    let (woken, next) = table.store.lock().look(table.clock.now());
    (table.clock.clone(), woken, next)
}

async fn wake(table: Weak<LockTable>, owner: OwnerId) {
    if let Some(table) = table.upgrade() {
        table.wakeups.wake(owner, ());
    }
}
