//! New keys are locked, all at once, and then released: what that takes of a server's memory, and what stays there.

use super::{crowd, report};
use crate::contenders::Locks;
use crate::gate;
use crate::order::Tally;
use anyhow::Result;
use std::sync::Arc;

pub(super) async fn work<L: Locks>(locks: &Arc<L>, prefix: &str, count: usize) -> Result<()> {
    gate::pass()?;
    let held = crowd::acquire(locks, prefix, count).await?;
    gate::pass()?;
    crowd::release(locks, held).await?;
    report(Tally { per_task: vec![count as u64], ..Tally::default() })
}
