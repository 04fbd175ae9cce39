//! Wakes waiters when it is time, though no owner asks.

use super::table::LockTable;
use crate::keeper::Keeper;
use crate::lease::OwnerId;
use crate::time::{Clock, Moment};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// The longest time between two looks while a waiter is to be woken at all. If that has changed, the next look
/// finds it: so a watch that is not needed any longer looks once, and then not again.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Sleeps until the first moment that a waiter is to be woken at, and then wakes it. Keeps no table alive.
pub(super) async fn run(table: Weak<LockTable>, earlier: Arc<Notify>, keeper: &'static Keeper) {
    while let Some((clock, woken, next)) = table.upgrade().map(|table| look(&table)) {
        // A waker may run what others wrote, so each is woken in a task of its own.
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
