//! What changes with the engine, each in one place.

use dlock_core::LockManager;

/// What `build` gives, awaited without a runtime of the test's.
///
/// FLIP: `futures_executor::block_on(build)`.
pub(crate) fn built<F: Future>(build: F) -> F::Output {
    crate::home().block_on(build)
}

/// Shuts a manager down; what it could not do in its time is not asked.
///
/// FLIP: without the `allow`, once this is a `Result`.
#[allow(clippy::let_unit_value, reason = "it returns nothing as yet")]
pub(crate) async fn shut_down(locks: &LockManager) {
    let _ = locks.shutdown().await;
}
