//! The task that wakes waiters when their time has come, even if no owner asks.

use crate::error::LockError;
use crate::keeper::Keeper;
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// One task on the keeper for each table, once an owner has waited.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    earlier: Arc<Notify>,
    task: OnceLock<AbortOnDropHandle<()>>,
}

impl Alarm {
    /// Starts the task if there is none yet. It is told where to hear that it must look earlier.
    ///
    /// # Errors
    /// As [`Keeper::start`].
    pub(super) fn start<W>(
        &self,
        watch: impl FnOnce(Arc<Notify>, &'static Keeper) -> W,
    ) -> Result<(), LockError>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let keeper = Keeper::start()?;
        let start = || AbortOnDropHandle::new(keeper.spawn(watch(Arc::clone(&self.earlier), keeper)));
        self.task.get_or_init(start);
        Ok(())
    }

    /// A waiter is to be woken earlier than the task meant to look.
    pub(super) fn set_earlier(&self) {
        self.earlier.notify_one();
    }
}
