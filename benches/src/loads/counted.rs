//! How many allocations one cycle takes, in the task that locks and in those that serve it. All of it runs on one
//! thread, twice: what the second run, of twice as many cycles, has more than the first is what cycles cost, without
//! connecting.

use super::visit;
use crate::contenders::Locks;
use crate::gate;
use crate::order::{Load, Order, Tally};
use anyhow::Result;
use std::collections::BTreeMap;

pub(super) fn work(order: &Order, cycles: u64) -> Result<()> {
    let once = measure(&Order { load: Load::Counted { cycles }, ..order.clone() })?;
    let twice = measure(&Order { load: Load::Counted { cycles: 2 * cycles }, ..order.clone() })?;
    let per_cycle = |once: u64, twice: u64| twice.saturating_sub(once) as f64 / cycles as f64;
    let further = BTreeMap::from([
        ("allocations".to_owned(), per_cycle(once.count_total, twice.count_total)),
        ("bytes allocated".to_owned(), per_cycle(once.bytes_total, twice.bytes_total)),
    ]);
    // What the server counted is of the second run.
    gate::report(Tally { per_task: vec![2 * cycles], further, ..Tally::default() })
}

fn measure(order: &Order) -> Result<allocation_counter::AllocationInfo> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut outcome = Ok(());
    let info = allocation_counter::measure(|| outcome = visit(order, &runtime));
    outcome.map(|()| info)
}

pub(super) async fn cycle(locks: &impl Locks, key: &str, cycles: u64) -> Result<()> {
    locks.prepare(key).await?;
    locks.release(locks.acquire(key).await?).await?;
    gate::pass()?;
    for _ in 0..cycles {
        locks.release(locks.acquire(key).await?).await?;
    }
    Ok(())
}
