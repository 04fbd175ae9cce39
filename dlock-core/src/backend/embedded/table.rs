//! A store of locks, with its clock, its waiters and its alarm.

use super::alarm::Alarm;
use super::lock::Woken;
use super::store::Store;
use crate::backend::wakeups::Wakeups;
use crate::lease::FencingToken;
use crate::time::{Clock, unix_time};
use parking_lot::Mutex;

pub(super) struct LockTable {
    pub(super) store: Mutex<Store>,
    pub(super) wakeups: Wakeups,
    pub(super) clock: Clock,
    pub(super) alarm: Alarm,
}

impl Default for LockTable {
    /// Tokens go on from the time of day. A program that is started again, or that kept its locks in Redis before, has
    /// written smaller ones to its store (I2).
    fn default() -> Self {
        let store = Mutex::new(Store::after(FencingToken::of_time(unix_time())));
        let (wakeups, clock, alarm) = Default::default();
        Self { store, wakeups, clock, alarm }
    }
}

impl LockTable {
    /// One call of the store, and the wake-ups it asks for.
    pub(super) fn step<T>(&self, call: impl FnOnce(&mut Store) -> (T, Woken)) -> T {
        let mut store = self.store.lock();
        let (answer, woken) = call(&mut store);
        let must_look_earlier = store.must_look_earlier();
        drop(store);
        if must_look_earlier {
            self.alarm.set_earlier();
        }
        for owner in woken {
            self.wakeups.wake(owner, ());
        }
        answer
    }
}
