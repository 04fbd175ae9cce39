//! The scripts: their texts, their hashes, and how a server learns them.

use redis::aio::ConnectionLike;
use redis::{Cmd, RedisResult};
use std::sync::LazyLock;

/// A script and the hash it is called by.
pub(super) struct Script {
    text: &'static str,
    hash: LazyLock<String>,
}

macro_rules! script {
    ($name:ident: $($file:literal),+) => {
        pub(super) static $name: Script = {
            const TEXT: &str = concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+);
            Script { text: TEXT, hash: LazyLock::new(|| redis::Script::new(TEXT).get_hash().to_owned()) }
        };
    };
}

script!(ACQUIRE: "keys", "prelude", "number", "acquire_free", "acquire_held", "tell", "grant", "acquire");
script!(RELEASE: "keys", "release_only", "prelude", "number", "tell", "release_next", "grant", "release");
script!(RENEW: "renew");
script!(BATCH: "number", "batch");
script!(REMOVE: "remove");
script!(TAKE_OVER: "take_over");
script!(REPLACE: "replace");
script!(CHECK: "check");
script!(PROPOSE: "propose");
script!(INSPECT: "inspect");
script!(FORCE: "keys", "number", "tell", "force");

impl Script {
    /// Calls the script as the server knows it already, with no arguments yet.
    pub(super) fn by_hash(&self, keys: &[&[u8]]) -> Cmd {
        call("EVALSHA", &self.hash, keys)
    }

    /// The same with the script's whole text, for a server that has forgotten it.
    pub(super) fn by_text(&self, keys: &[&[u8]]) -> Cmd {
        call("EVAL", self.text, keys)
    }
}

/// How many arguments mostly follow the keys, and how many bytes they have together.
const ARGUMENTS: (usize, usize) = (4, 128);

fn call(name: &str, script: &str, keys: &[&[u8]]) -> Cmd {
    let bytes = name.len() + script.len() + keys.iter().map(|key| key.len()).sum::<usize>() + ARGUMENTS.1;
    let mut command = Cmd::with_capacity(3 + keys.len() + ARGUMENTS.0, bytes);
    command.arg(name).arg(script).arg(keys.len()).arg(keys);
    command
}

/// Makes the server know the scripts. It forgets what only `EVAL` brought.
pub(super) async fn load(
    connection: &mut (impl ConnectionLike + Send),
    scripts: &[&Script],
) -> RedisResult<()> {
    if scripts.is_empty() {
        return Ok(());
    }
    let mut pipeline = redis::pipe();
    for script in scripts {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(script.text).ignore();
    }
    pipeline.query_async(connection).await
}
