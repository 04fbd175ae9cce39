//! The recipe as it is often written, on the client library alone: the control for what the backend does beyond it.

use super::*;
use zookeeper::{Acls, Client, CreateMode, Error, SessionState};

pub(super) struct TextbookClient {
    client: Client,
    dir: String,
}

impl TextbookClient {
    /// A client that contends for `key`, whose directory must be there.
    pub(super) async fn at(hosts: &str, session_timeout: Duration, key: &LockKey) -> Self {
        let connector = Client::connector().with_session_timeout(session_timeout);
        let client = soon("the client of the control is connected", connector.connect(hosts)).await.unwrap();
        Self { client, dir: format!("/locks/{key}") }
    }

    /// Makes a node whose name begins with `prefix`; its name.
    pub(super) async fn enqueue(&self, prefix: &str) -> Result<String, Error> {
        let options = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
        let (_, number) = self.client.create(&format!("{}/{prefix}", self.dir), &[], &options).await?;
        Ok(format!("{prefix}{number}"))
    }

    /// The queue as its server has it, which it does not ask to catch up.
    pub(super) async fn queue(&self) -> Vec<String> {
        let mut nodes = self.client.list_children(&self.dir).await.unwrap();
        nodes.sort_by_key(|node| node.rsplit_once('-').unwrap().1.to_owned());
        nodes
    }

    /// Its node, known by its name alone, whichever session made it.
    pub(super) async fn find(&self, prefix: &str) -> Option<String> {
        self.queue().await.into_iter().find(|node| node.starts_with(prefix))
    }

    /// Whether it takes itself for the holder: it is connected, and its node is the first.
    pub(super) async fn believes_in(&self, node: &str) -> bool {
        self.is_connected() && self.queue().await.first().is_some_and(|first| first == node)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.state() == SessionState::SyncConnected
    }
}
