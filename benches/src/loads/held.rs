//! Locks are held, and renewed (W5).

use super::{key, report, timed};
use crate::contenders::Locks;
use crate::order::Tally;
use crate::{gate, machine};
use anyhow::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many are acquired at a time. A peer that is asked for all at once runs into its own timeouts and asks again,
/// without end; and what so many acquisitions need for the moment would be counted as memory of what is held.
const AT_ONCE: usize = 64;

pub(super) async fn work<L: Locks>(locks: &Arc<L>, prefix: &str, count: usize, span: Duration) -> Result<()> {
    let before = machine::resident_bytes()?;
    let (mut holders, done) = (JoinSet::new(), CancellationToken::new());
    let acquiring = Arc::new(Semaphore::new(AT_ONCE));
    for number in 0..count {
        let (locks, key, done) = (Arc::clone(locks), key(prefix, number), done.clone());
        let permit = Arc::clone(&acquiring).acquire_owned().await?;
        holders.spawn(async move { locks.hold(&key, || drop(permit), done.cancelled()).await });
    }
    drop(acquiring.acquire_many(u32::try_from(AT_ONCE)?).await?);
    gate::pass()?;
    let ((), seconds, cpu_micros) = timed(sleep(span)).await?;
    let resident = machine::resident_bytes()?;
    // The server is asked while the locks are held.
    gate::pass()?;
    done.cancel();
    let lost = holders.join_all().await.into_iter().filter(|held| !matches!(held, Ok(true))).count();
    let further = BTreeMap::from([
        ("lost".to_owned(), lost as f64),
        ("resident MB".to_owned(), resident / 1e6),
        ("bytes per lock".to_owned(), (resident - before) / count as f64),
    ]);
    report(Tally { seconds, cpu_micros, further, ..Tally::default() })
}

async fn sleep(span: Duration) -> Result<()> {
    tokio::time::sleep(span).await;
    Ok(())
}
