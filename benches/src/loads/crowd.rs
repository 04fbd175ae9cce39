//! Many locks that one process holds at once. They are acquired and released some at a time.

use super::key;
use crate::contenders::Locks;
use anyhow::Result;
use std::sync::Arc;
use tokio::task::JoinSet;

/// How many acquisitions are asked for at once. With all of them a peer would run into its own timeouts and ask again,
/// without end, and the memory that they need for a moment would count as memory of held locks.
const AT_ONCE: usize = 64;

pub(super) async fn acquire<L: Locks>(locks: &Arc<L>, prefix: &str, count: usize) -> Result<Vec<L::Held>> {
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

pub(super) async fn release<L: Locks>(locks: &Arc<L>, held: Vec<L::Held>) -> Result<()> {
    let mut releasing = JoinSet::new();
    for one in held {
        if releasing.len() == AT_ONCE {
            releasing.join_next().await.transpose()?.transpose()?;
        }
        let locks = Arc::clone(locks);
        releasing.spawn(async move { locks.release(one).await });
    }
    releasing.join_all().await.into_iter().collect()
}
