//! Locks are held, and renewed (W5).

use super::{key, report, timed};
use crate::contenders::Locks;
use crate::order::Tally;
use crate::{gate, machine};
use anyhow::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How many are acquired at a time. A peer that is asked for all at once runs into its own timeouts and asks again,
/// without end; and what so many acquisitions need for the moment would be counted as memory of what is held.
const AT_ONCE: usize = 64;

pub(super) async fn work<L: Locks>(locks: &Arc<L>, prefix: &str, count: usize, span: Duration) -> Result<()> {
    let before = machine::resident_bytes()?;
    let held = acquire(locks, prefix, count).await?;
    gate::pass()?;
    let ((), seconds, cpu_micros) = timed(sleep(span)).await?;
    let resident = machine::resident_bytes()?;
    // The server is asked while the locks are held.
    gate::pass()?;
    let lost = held.iter().filter(|held| !locks.is_held(held)).count();
    let further = BTreeMap::from([
        ("lost".to_owned(), lost as f64),
        ("resident MB".to_owned(), resident / 1e6),
        ("bytes per lock".to_owned(), (resident - before) / count as f64),
    ]);
    report(Tally { seconds, cpu_micros, further, ..Tally::default() })
}

async fn acquire<L: Locks>(locks: &Arc<L>, prefix: &str, count: usize) -> Result<Vec<L::Held>> {
    let (mut acquiring, mut held) = (JoinSet::new(), Vec::with_capacity(count));
    for number in 0..count {
        if acquiring.len() == AT_ONCE {
            held.extend(acquiring.join_next().await.transpose()?.transpose()?);
        }
        let (locks, key) = (Arc::clone(locks), key(prefix, number));
        acquiring.spawn(async move { locks.acquire(&key).await });
    }
    while let Some(one) = acquiring.join_next().await {
        held.push(one??);
    }
    Ok(held)
}

async fn sleep(span: Duration) -> Result<()> {
    tokio::time::sleep(span).await;
    Ok(())
}
