//! The scripts: their texts, their hashes, and how a server learns them.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult};
use std::sync::LazyLock;

/// A script and the hash it is called by.
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

pub(super) static ACQUIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("scripts/grant.lua"), include_str!("scripts/acquire.lua")))
});
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("scripts/grant.lua"), include_str!("scripts/release.lua")))
});
pub(super) static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/renew.lua")));

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }

    /// Calls the script as the server knows it already, with no arguments yet.
    pub(super) fn by_hash(&self, keys: &[&[u8]]) -> Cmd {
        call("EVALSHA", &self.hash, keys)
    }

    /// The same with the script's whole text, for a server that has forgotten it.
    pub(super) fn by_text(&self, keys: &[&[u8]]) -> Cmd {
        call("EVAL", self.text, keys)
    }
}

fn call(name: &str, script: &str, keys: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len()).arg(keys);
    command
}

/// Makes the server know all scripts. A server forgets what only `EVAL` brought.
pub(super) async fn load(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let mut pipeline = redis::pipe();
    for script in [&*ACQUIRE, &*RELEASE, &*RENEW] {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(script.text).ignore();
    }
    pipeline.query_async(connection).await
}
