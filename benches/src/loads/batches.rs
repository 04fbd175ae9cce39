//! What takes so little time that looking at the clock would show.

use super::{report, tally, timed};
use crate::contenders::{Cycle, Locks};
use crate::{clock, gate};
use anyhow::Result;
use std::sync::Arc;
use std::time::Duration;

/// Acquires and releases one key that no other task wants.
pub(super) struct OneKey<L> {
    pub(super) locks: Arc<L>,
    pub(super) key: String,
}

impl<L: Locks> Cycle for OneKey<L> {
    async fn cycle(&self) -> Result<()> {
        self.locks.release(self.locks.acquire(&self.key).await?).await
    }
}

const BATCH: u64 = 1_000;

pub(super) async fn work(cycle: impl Cycle, span: Duration) -> Result<()> {
    let cycle = Arc::new(cycle);
    repeat(&cycle, span / 4).await?;
    gate::pass()?;
    let (count, seconds, cpu) = timed(repeat(&cycle, span)).await?;
    report(tally(count, seconds, cpu))
}

/// In a task: the code that locks runs on a worker of the runtime.
async fn repeat(cycle: &Arc<impl Cycle>, span: Duration) -> Result<u64> {
    let cycle = Arc::clone(cycle);
    let task = tokio::spawn(async move {
        let (end, mut count) = (clock::after(clock::now(), span), 0);
        while clock::now() < end {
            for _ in 0..BATCH {
                cycle.cycle().await?;
            }
            count += BATCH;
        }
        Ok(count)
    });
    task.await?
}
