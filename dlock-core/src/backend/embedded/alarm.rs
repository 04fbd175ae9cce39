//! Wakes waiters when it is time, though no owner asks.

use super::LockTable;
use crate::error::LockError;
use crate::keeper::Keeper;
use crate::lease::OwnerId;
use crate::time::{Clock, Moment};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// One task on the keeper for each table, once an owner has waited. It sleeps until the first moment that a waiter is to
/// be woken at, and keeps no table alive.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    earlier: Arc<Notify>,
    task: OnceLock<AbortOnDropHandle<()>>,
}

/// The longest time between two looks while a waiter is to be woken at all. If that has changed, the next look
/// finds it: so an alarm that is not needed any longer goes off once, and then not again.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

impl Alarm {
    /// Starts the task if there is none yet.
    ///
    /// # Errors
    /// As [`Keeper::start`].
    pub(super) fn start(&self, table: &Arc<LockTable>) -> Result<(), LockError> {
        let keeper = Keeper::start()?;
        self.task.get_or_init(|| {
            let task = watch(Arc::downgrade(table), Arc::clone(&self.earlier), keeper);
            AbortOnDropHandle::new(keeper.spawn(task))
        });
        Ok(())
    }

    /// A waiter is to be woken earlier than the task meant to look.
    pub(super) fn set_earlier(&self) {
        self.earlier.notify_one();
    }
}

async fn watch(table: Weak<LockTable>, earlier: Arc<Notify>, keeper: &'static Keeper) {
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
