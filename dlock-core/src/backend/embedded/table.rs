//! A store of locks with what it is used by: its clock, its waiters, its alarm.

use super::alarm::Alarm;
use super::lock::Woken;
use super::store::Store;
use crate::backend::wakeups::Wakeups;
use crate::time::Clock;
use parking_lot::Mutex;

#[derive(Default)]
pub(super) struct LockTable {
    pub(super) store: Mutex<Store>,
    pub(super) wakeups: Wakeups,
    pub(super) clock: Clock,
    pub(super) alarm: Alarm,
}

impl LockTable {
    /// One call of the store, and the wake-up it asks for.
    pub(super) fn step<T>(&self, call: impl FnOnce(&mut Store) -> (T, Woken)) -> T {
        let mut store = self.store.lock();
        let (answer, woken) = call(&mut store);
        let must_look_earlier = store.must_look_earlier();
        drop(store);
        if must_look_earlier {
            self.alarm.set_earlier();
        }
        if let Some(owner) = woken {
            self.wakeups.wake(owner, ());
        }
        answer
    }
}
