//! What a program would use that needs locks by key inside one process: a sharded map of mutexes.

use super::Locks;
use anyhow::Result;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

#[derive(Default)]
pub(crate) struct ShardedMutex {
    hasher: RandomState,
    shards: [Shard; 32],
}

type Shard = Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>;

impl ShardedMutex {
    fn shard(&self, key: &str) -> Option<&Shard> {
        let place = self.hasher.hash_one(key) % self.shards.len() as u64;
        self.shards.get(usize::try_from(place).ok()?)
    }

    fn mutex(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let shard = self.shard(key).map(Mutex::lock);
        shard.map(|mut shard| Arc::clone(shard.entry(key.to_owned()).or_default())).unwrap_or_default()
    }

    /// Forgets the key if it is not in use, so that the map does not grow without end.
    fn forget(&self, key: &str) {
        if let Some(mut shard) = self.shard(key).map(Mutex::lock)
            && shard.get(key).is_some_and(|mutex| Arc::strong_count(mutex) == 1)
        {
            shard.remove(key);
        }
    }
}

impl Locks for ShardedMutex {
    type Held = (String, OwnedMutexGuard<()>);

    async fn acquire(&self, key: &str) -> Result<Self::Held> {
        Ok((key.to_owned(), self.mutex(key).lock_owned().await))
    }

    async fn release(&self, (key, guard): Self::Held) -> Result<()> {
        drop(guard);
        self.forget(&key);
        Ok(())
    }
}
