//! The lock recipe of the crate zookeeper-client. Left to itself it deletes its node in the background when it is
//! dropped; here the delete is waited for, as others do.

use super::Locks;
use super::raw_zookeeper::{directory, make_directory};
use anyhow::Result;
use zookeeper::{Acls, Client, LockPrefix, OwnedLockClient};

pub(crate) struct Recipe(Client);

impl Recipe {
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        Ok(Self(Client::connect(address).await?))
    }
}

impl Locks for Recipe {
    type Held = OwnedLockClient;

    async fn prepare(&self, key: &str) -> Result<()> {
        make_directory(&self.0, key).await
    }

    async fn acquire(&self, key: &str) -> Result<OwnedLockClient> {
        let directory = directory(key);
        let prefix = LockPrefix::new_curator(&directory, "lock-")?;
        Ok(self.0.lock(prefix, b"", Acls::anyone_all()).await?.into_owned())
    }

    async fn release(&self, held: OwnedLockClient) -> Result<()> {
        self.0.delete(held.lock_path(), None).await?;
        // The node is gone; dropped, the recipe would ask for that a second time.
        std::mem::forget(held);
        Ok(())
    }
}
