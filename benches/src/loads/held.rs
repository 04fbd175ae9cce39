//! Locks are held, and renewed (W5).

use super::{crowd, report, timed};
use crate::contenders::Locks;
use crate::order::Tally;
use crate::{gate, machine};
use anyhow::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn work<L: Locks>(locks: &Arc<L>, prefix: &str, count: usize, span: Duration) -> Result<()> {
    gate::pass()?;
    let before = machine::resident_bytes()?;
    let held = crowd::acquire(locks, prefix, count).await?;
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

async fn sleep(span: Duration) -> Result<()> {
    tokio::time::sleep(span).await;
    Ok(())
}
