//! The three requests that every lock over ZooKeeper comes down to, one after the other.

use super::Locks;
use anyhow::{Result, ensure};
use zookeeper::{Acls, Client, CreateMode, CreateOptions};

pub(crate) struct Nodes(Client);

impl Nodes {
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        Ok(Self(Client::connect(address).await?))
    }
}

/// Makes the node below which a key has its lock nodes.
pub(super) async fn make_directory(client: &Client, key: &str) -> Result<()> {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    Ok(client.mkdir(&directory(key), &options).await?)
}

pub(super) fn directory(key: &str) -> String {
    format!("/raw/{key}")
}

fn ephemeral() -> CreateOptions<'static> {
    CreateMode::EphemeralSequential.with_acls(Acls::anyone_all())
}

impl Locks for Nodes {
    /// The node's path.
    type Held = String;

    async fn prepare(&self, key: &str) -> Result<()> {
        make_directory(&self.0, key).await
    }

    async fn acquire(&self, key: &str) -> Result<String> {
        let directory = directory(key);
        let prefix = format!("{directory}/lock-");
        let (_, sequence) = self.0.create(&prefix, b"", &ephemeral()).await?;
        let siblings = self.0.list_children(&directory).await?;
        ensure!(siblings.len() == 1, "somebody else has the lock, where each task has a key of its own");
        Ok(format!("{prefix}{sequence}"))
    }

    async fn release(&self, held: String) -> Result<()> {
        Ok(self.0.delete(&held, None).await?)
    }
}
