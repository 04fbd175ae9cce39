//! One lock among many that the process holds.

use super::{crowd, key, report, tally, timed};
use crate::contenders::Locks;
use crate::{clock, gate};
use anyhow::Result;
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn work<L: Locks>(locks: &Arc<L>, prefix: &str, held: usize, span: Duration) -> Result<()> {
    let crowd = crowd::acquire(locks, prefix, held).await?;
    let one = key(prefix, held);
    locks.prepare(&one).await?;
    cycle(locks, &one, span / 4).await?;
    gate::pass()?;
    let (count, seconds, cpu) = timed(cycle(locks, &one, span)).await?;
    report(tally(count, seconds, cpu))?;
    drop(crowd);
    Ok(())
}

/// In a task: the code that locks runs on a worker of the runtime.
async fn cycle<L: Locks>(locks: &Arc<L>, key: &str, span: Duration) -> Result<u64> {
    let (locks, key) = (Arc::clone(locks), key.to_owned());
    let task = tokio::spawn(async move {
        let (end, mut count) = (clock::after(clock::now(), span), 0);
        while clock::now() < end {
            locks.release(locks.acquire(&key).await?).await?;
            count += 1;
        }
        Ok(count)
    });
    task.await?
}
