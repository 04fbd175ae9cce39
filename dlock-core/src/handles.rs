//! How many handles a manager has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Counts the handles of one manager. The last one that is dropped waits for the releases that are pending.
#[derive(Debug)]
pub(crate) struct Handles {
    count: AtomicUsize,
    /// How long it waits at most.
    pub(crate) patience: Duration,
}

/// How long the last handle of a manager waits unless it is told otherwise.
pub(crate) const DEFAULT_PATIENCE: Duration = Duration::from_millis(200);

impl Handles {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { count: AtomicUsize::new(0), patience }
    }

    pub(crate) fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether none is left.
    pub(crate) fn remove(&self) -> bool {
        self.count.fetch_sub(1, Ordering::AcqRel) == 1
    }
}
