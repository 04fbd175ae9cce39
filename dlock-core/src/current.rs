//! The manager of annotations that name none.

use crate::error::{ErrorKind, LockError};
use crate::manager::LockManager;
use crate::scope::{self, LockScope};
use parking_lot::RwLock;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

static INSTALLED: RwLock<Option<LockManager>> = RwLock::new(None);

impl LockManager {
    /// Makes `manager` the installed manager: annotations that name no manager use it. Returns the one that was
    /// installed before.
    pub fn install(manager: Self) -> Option<Self> {
        INSTALLED.write().replace(manager)
    }

    /// As [`install`](Self::install), but only until the returned value is dropped. A manager that stays installed is
    /// never dropped, so nothing waits for its pending releases at the end of the program. This one is dropped, and
    /// waits.
    ///
    /// ```
    /// use dlock_core::LockManager;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let installed = LockManager::install_scoped(LockManager::connect("memory:").await?);
    /// assert!(LockManager::installed().is_ok());
    /// drop(installed);
    /// assert!(LockManager::installed().is_err());
    /// # Ok(()) }
    /// ```
    pub fn install_scoped(manager: Self) -> InstalledManager {
        let before = Self::install(manager.clone());
        InstalledManager { manager, before }
    }

    /// The installed manager.
    ///
    /// # Errors
    /// [`ErrorKind::NotConfigured`] if none was installed.
    pub fn installed() -> Result<Self, LockError> {
        INSTALLED.read().clone().ok_or_else(|| {
            LockError::new(
                ErrorKind::NotConfigured,
                "no lock manager is installed; call LockManager::install at start, or name one with `locks = …` (what is \
                 spawned inside with_locks is outside of it: call with_locks in the task itself)",
            )
        })
    }

    /// The manager that an annotation without one would use here: that of the innermost
    /// [`with_locks`](crate::with_locks) around the caller, or else the installed one.
    ///
    /// # Errors
    /// [`ErrorKind::NotConfigured`] if there is neither.
    pub fn current() -> Result<Self, LockError> {
        scope::locks().map(Self::of).map_or_else(Self::installed, Ok)
    }
}

/// A manager that is installed for as long as this lives.
#[must_use = "the manager is installed for as long as this lives"]
pub struct InstalledManager {
    manager: LockManager,
    before: Option<LockManager>,
}

impl Drop for InstalledManager {
    /// Puts back what was installed before, unless a third manager was installed meanwhile.
    fn drop(&mut self) {
        let mut installed = INSTALLED.write();
        let is_this = installed.as_ref().is_some_and(|there| there.is_same(&self.manager));
        let ended = if is_this { std::mem::replace(&mut *installed, self.before.take()) } else { None };
        // It may be the last handle, and then waits.
        drop(installed);
        drop(ended);
    }
}

impl fmt::Debug for InstalledManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InstalledManager").field(&self.manager).finish()
    }
}

/// Runs `work` with `locks` as the manager of annotations that name none; this is mostly for tests. It wins over the
/// [installed](LockManager::install) one. It holds for what `work` awaits, and not for tasks that `work` spawns.
///
/// # Cancel safety
/// Dropping the future drops `work`.
///
/// ```
/// use dlock_core::{LockManager, with_locks};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
/// let locks = LockManager::connect("memory:").await?;
/// let used = with_locks(locks.clone(), async { LockManager::current() }).await?;
/// assert!(used.is_same(&locks));
/// assert!(LockManager::current().is_err()); // none is installed
/// # Ok(()) }
/// ```
pub async fn with_locks<F: Future>(locks: LockManager, work: F) -> F::Output {
    LockScope::of_locks(Arc::clone(locks.shared())).run(work).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::embedded::EmbeddedBackend;

    fn manager(store: &EmbeddedBackend) -> LockManager {
        LockManager::builder(store.clone()).build().unwrap()
    }

    fn locks() -> Option<LockManager> {
        scope::locks().map(LockManager::of)
    }

    #[tokio::test]
    async fn a_spawned_task_is_told_that_it_is_outside() {
        let inside = async { tokio::spawn(async { LockManager::current().unwrap_err() }).await.unwrap() };
        let error = with_locks(manager(&EmbeddedBackend::new()), inside).await;
        assert_eq!(error.kind(), ErrorKind::NotConfigured);
        assert!(error.to_string().contains("spawned"), "{error}");
    }

    #[tokio::test]
    async fn the_innermost_manager_counts() {
        let store = EmbeddedBackend::new();
        let (outer, inner) = (manager(&store), manager(&store));
        let inside = async {
            assert!(locks().unwrap().is_same(&outer));
            assert!(with_locks(inner.clone(), async { locks() }).await.unwrap().is_same(&inner));
            assert!(outer.run("a", async { locks() }).await.unwrap().unwrap().is_same(&outer));
            assert!(tokio::spawn(async { locks() }).await.unwrap().is_none());
        };
        with_locks(outer.clone(), inside).await;
        assert!(locks().is_none());
    }
}
