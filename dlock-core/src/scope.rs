//! Which locks the code that runs now is under, and which manager its annotations use.
//!
//! A scope is entered at each poll of a future and left at the end of the poll. So it follows the future to
//! whatever thread polls it, needs no runtime, and ends where another task begins.

use crate::error::{ErrorKind, LockError};
use crate::key::LockKey;
use crate::lease::Lease;
use crate::shared::Shared;
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

thread_local! {
    /// What the poll that goes on in this thread is inside of, the innermost last.
    static ENTERED: RefCell<Vec<Level>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone)]
enum Level {
    /// A lock of the manager with this number is held.
    Held { manager: u64, lease: Lease },
    /// Annotations that name no manager use this one.
    Locks(Arc<Shared>),
}

/// The scope of a lock: code inside it that asks the same manager for the same key gets
/// [`ErrorKind::Reentrant`] at once, since it would wait for itself.
///
/// [`LockGuard::run`](crate::LockGuard::run) and annotated functions enter it by themselves. A hand-written future
/// [`enter`](LockScope::enter)s it at each poll. The scope says what is held. It does not keep the lock, and once the
/// lock is lost or released, no code is inside.
///
/// Spawned tasks are outside: they wait for the lock as any other task does. The tasks of a `LocalSet` that is
/// itself driven inside are inside.
///
/// ```
/// use dlock_core::ErrorKind;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
/// let locks = dlock_core::LockManager::connect("memory:").await?;
/// let guard = locks.lock("order:42").await?;
/// let again = guard.scope().run(async { locks.lock("order:42").await.map(drop) }).await;
/// assert_eq!(again.unwrap_err().kind(), ErrorKind::Reentrant);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a scope does nothing until it is entered"]
pub struct LockScope(Level);

impl LockScope {
    /// Inside, annotations that name no manager use this one.
    pub(crate) fn of_locks(locks: Arc<Shared>) -> Self {
        Self(Level::Locks(locks))
    }

    pub(crate) fn of(manager: &Shared, lease: &Lease) -> Self {
        Self(Level::Held { manager: manager.number, lease: lease.clone() })
    }

    /// Runs `step` inside. A hand-written future calls this at each poll, with the poll of its inner future as `step`.
    ///
    /// ```
    /// use dlock_core::LockScope;
    /// use std::pin::Pin;
    /// use std::task::{Context, Poll};
    ///
    /// struct Inside<F> {
    ///     scope: LockScope,
    ///     future: F,
    /// }
    ///
    /// impl<F: Future + Unpin> Future for Inside<F> {
    ///     type Output = F::Output;
    ///
    ///     fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
    ///         let Self { scope, future } = self.get_mut();
    ///         scope.enter(|| Pin::new(future).poll(context))
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:").await?;
    /// let guard = locks.lock("order:42").await?;
    /// let again = Inside { scope: guard.scope(), future: Box::pin(locks.lock("order:42").acquire()) };
    /// assert_eq!(again.await.unwrap_err().kind(), dlock_core::ErrorKind::Reentrant);
    /// # Ok(()) }
    /// ```
    pub fn enter<T>(&self, step: impl FnOnce() -> T) -> T {
        let _entered = EnteredScope::push(&self.0);
        step()
    }

    /// Runs `work` inside. Unlike [`LockGuard::run`](crate::LockGuard::run) it does not watch for a loss.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work`.
    pub async fn run<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| self.enter(|| work.as_mut().poll(context))).await
    }
}

impl fmt::Debug for LockScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Level::Held { lease, .. } => f.debug_tuple("LockScope").field(lease.key()).finish(),
            Level::Locks(locks) => f.debug_tuple("LockScope").field(locks).finish(),
        }
    }
}

/// The manager of the innermost [`with_locks`](crate::with_locks).
pub(crate) fn locks() -> Option<Arc<Shared>> {
    find(|level| match level {
        Level::Locks(locks) => Some(Arc::clone(locks)),
        Level::Held { .. } => None,
    })
}

/// Refuses the key of a lock that the asking code already runs under.
pub(crate) fn check(manager: &Shared, key: &LockKey) -> Result<(), LockError> {
    let held = |level: &Level| match level {
        Level::Held { manager: holder, lease } => {
            (*holder == manager.number && lease.key() == key && lease.is_valid()).then_some(())
        }
        Level::Locks(_) => None,
    };
    find(held).map_or(Ok(()), |()| Err(LockError::new(ErrorKind::Reentrant, WAITS_FOR_ITSELF)))
}

/// Whether the code that asks is under a valid lock on `key`, of whatever manager.
pub(crate) fn is_locked(key: &LockKey) -> bool {
    let held = |level: &Level| match level {
        Level::Held { lease, .. } => (lease.key() == key && lease.is_valid()).then_some(()),
        Level::Locks(_) => None,
    };
    find(held).is_some()
}

const WAITS_FOR_ITSELF: &str = "the caller already holds this lock, and would wait for itself; lock once, \
    outside, and call functions that do not lock";

/// The innermost level that is wanted. A thread that is ending is inside of nothing.
fn find<T>(wanted: impl Fn(&Level) -> Option<T>) -> Option<T> {
    ENTERED.try_with(|levels| levels.borrow().iter().rev().find_map(wanted)).ok().flatten()
}

/// A level that is entered, until this is dropped.
struct EnteredScope;

impl EnteredScope {
    fn push(level: &Level) -> Self {
        let _ = ENTERED.try_with(|levels| levels.borrow_mut().push(level.clone()));
        Self
    }
}

impl Drop for EnteredScope {
    fn drop(&mut self) {
        // What the level keeps may end here. That is foreign code, so it must not run while the stack is borrowed.
        let level = ENTERED.try_with(|levels| levels.borrow_mut().pop());
        drop(level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::embedded::EmbeddedBackend;
    use crate::manager::LockManager;
    use std::task::{Context, Poll, Waker};

    fn manager(store: &EmbeddedBackend) -> LockManager {
        LockManager::builder(store.clone()).build().unwrap()
    }

    async fn again(locks: &LockManager, key: &str) -> Result<(), ErrorKind> {
        let guard = locks.lock(key).await.map_err(|error| error.kind())?;
        guard.release().await.map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn only_the_same_key_of_the_same_manager_is_reentrant() {
        let store = EmbeddedBackend::new();
        let (locks, other) = (manager(&store), manager(&store));
        let inside = async {
            assert_eq!(again(&locks, "b").await, Ok(()));
            let deeper = async {
                assert_eq!(again(&locks, "a").await, Err(ErrorKind::Reentrant));
                assert_eq!(again(&locks, "b").await, Err(ErrorKind::Reentrant));
                again(&locks, "c").await
            };
            assert_eq!(locks.run("b", deeper).await.unwrap(), Ok(()));
            assert!(locks.lock("a").try_acquire().await.unwrap().is_none(), "a try says that it is not free");
            let mut elsewhere = pin!(again(&other, "a"));
            assert!(poll(elsewhere.as_mut()).is_pending(), "another manager waits");
        };
        locks.run("a", inside).await.unwrap();
        assert_eq!(again(&locks, "a").await, Ok(()));
    }

    #[tokio::test]
    async fn a_spawned_task_is_outside_and_waits() {
        let locks = manager(&EmbeddedBackend::new());
        let spawned = locks.clone();
        let inside = async { (tokio::spawn(async move { again(&spawned, "a").await }),) };
        let (task,) = locks.run("a", inside).await.unwrap();
        assert_eq!(task.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_future_is_inside_only_while_it_is_polled_there() {
        let locks = manager(&EmbeddedBackend::new());
        let guard = locks.lock("a").await.unwrap();
        let scope = guard.scope();
        {
            let mut inside = pin!(scope.run(std::future::pending::<()>()));
            assert!(poll(inside.as_mut()).is_pending());
            let mut outside = pin!(again(&locks, "a"));
            assert!(poll(outside.as_mut()).is_pending(), "it waits, beside a future that is inside");
        }
        let mut outside = pin!(again(&locks, "a"));
        assert!(poll(outside.as_mut()).is_pending());
        assert_eq!(scope.enter(|| poll(pin!(again(&locks, "a")))), Poll::Ready(Err(ErrorKind::Reentrant)));
        drop(guard);
        assert_eq!(outside.await, Ok(()));
        assert_eq!(scope.run(again(&locks, "a")).await, Ok(()), "nobody is inside of what was released");
    }

    #[tokio::test]
    async fn a_panic_inside_leaves_the_scope() {
        let locks = manager(&EmbeddedBackend::new());
        let guard = locks.lock("a").await.unwrap();
        let scope = guard.scope();
        let panics = std::panic::AssertUnwindSafe(|| scope.enter(|| panic!("inside")));
        std::panic::catch_unwind(panics).unwrap_err();
        assert!(!is_locked(guard.key()));
        assert!(scope.enter(|| is_locked(guard.key())));
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }
}
