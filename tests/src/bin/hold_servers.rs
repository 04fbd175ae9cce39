//! Starts servers and holds them, for the test that kills the process which holds servers.
//!
//! The arguments say which: `redis`, `paused-redis`, `movable-redis`, `zookeeper`. Prints `PORT DIRECTORY` for each and
//! waits for its input to end; then exits without running destructors.

use dlock_tests::{RedisServer, shared_redis, shared_zookeeper};
use std::io::{self, Read};
use std::path::Path;

fn main() -> io::Result<()> {
    for kind in std::env::args().skip(1) {
        hold(&kind);
    }
    io::stdin().read_to_end(&mut Vec::new())?;
    std::process::exit(0)
}

fn hold(kind: &str) {
    match kind {
        "redis" => announce(shared_redis().port(), shared_redis().directory()),
        "paused-redis" => hold_paused_redis(),
        "movable-redis" => std::mem::forget(announced(RedisServer::builder().movable_clock().start())),
        "zookeeper" => announce(shared_zookeeper().port(), shared_zookeeper().directory()),
        other => eprintln!("cannot hold {other}"),
    }
}

fn hold_paused_redis() {
    let mut server = RedisServer::start();
    server.pause();
    std::mem::forget(announced(server));
}

fn announced(server: RedisServer) -> RedisServer {
    announce(server.port(), server.directory());
    server
}

fn announce(port: u16, directory: &Path) {
    println!("{port} {}", directory.display());
}
