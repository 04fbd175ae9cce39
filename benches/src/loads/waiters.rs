//! Many tasks of one process wait for one key that another client holds, then have it one after the other.

use super::{key, report, tally, timed};
use crate::order::Order;
use crate::{gate, machine};
use anyhow::Result;
use dlock_core::LockManager;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// The parent opens the gate of those that wait once they stand in line at the server.
pub(super) async fn work(order: &Order, count: usize, span: Duration) -> Result<()> {
    let (holder, key) = (order.contender.connect(&order.address).await?, key(&order.prefix, 0));
    let guard = holder.lock(key.as_str()).await?;
    gate::pass()?;
    let locks = order.contender.connect(&order.address).await?;
    gate::pass()?;
    let before = machine::resident_bytes()?;
    let mut waiters = wait(&locks, &key, count).await;
    gate::pass()?;
    let bytes = (machine::resident_bytes()? - before) / count as f64;
    tokio::time::sleep(span).await;
    gate::pass()?;
    let ((), seconds, cpu) = timed(async {
        guard.release().await?;
        while let Some(waited) = waiters.join_next().await {
            waited??;
        }
        Ok(())
    })
    .await?;
    let mut tally = tally(count as u64, seconds, cpu);
    tally.further = BTreeMap::from([("bytes per waiter".to_owned(), bytes)]);
    report(tally)
}

async fn wait(locks: &LockManager, key: &str, count: usize) -> JoinSet<Result<()>> {
    let (mut waiters, started) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..count {
        let (request, started) = (locks.lock(key), Arc::clone(&started));
        waiters.spawn(async move {
            started.fetch_add(1, Ordering::Relaxed);
            Ok(request.await?.release().await?)
        });
    }
    while started.load(Ordering::Relaxed) < count {
        tokio::task::yield_now().await;
    }
    waiters
}
