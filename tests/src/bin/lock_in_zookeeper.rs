//! Locks with dlock as it is told, so that a test can kill the process. The orders and answers are those of
//! `src/foreign/dialogue.rs`. The arguments: `HOSTS SESSION_MS DIALECT`.

use dlock_core::backend::zookeeper::Dialect;
use dlock_core::{ErrorKind, LockError, LockGuard, LockManager, ZooKeeperBackend};
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::time::Duration;
use tokio::sync::mpsc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, hosts, session_ms, dialect] = arguments.as_slice() else {
        return Err("HOSTS SESSION_MS DIALECT".into());
    };
    let mut client = Client::start(hosts, session_ms.parse()?, dialect).await?;
    let mut orders = orders();
    say("ready");
    while let Some(order) = orders.recv().await {
        say(client.obey(&order).await?);
    }
    Ok(())
}

/// The input is read in a thread, so that its end also ends a program that waits.
fn orders() -> mpsc::UnboundedReceiver<String> {
    let (sender, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for order in io::stdin().lines().map_while(Result::ok) {
            // It is received until the program ends.
            let _ = sender.send(order);
        }
        std::process::exit(0)
    });
    orders
}

fn say(answer: &str) {
    println!("{answer}");
}

struct Client {
    locks: LockManager,
    guard: Option<LockGuard>,
}

impl Client {
    async fn start(hosts: &str, session_ms: u64, dialect: &str) -> Result<Self, Box<dyn Error>> {
        let backend = ZooKeeperBackend::builder()
            .hosts(hosts)
            .session_timeout(Duration::from_millis(session_ms))
            .dialect(match dialect {
                "curator" => Dialect::Curator,
                "kazoo" => Dialect::Kazoo,
                other => return Err(format!("no dialect: {other}").into()),
            });
        let locks = LockManager::builder(backend.build().await?).wait(LIMIT).build()?;
        Ok(Self { locks, guard: None })
    }

    async fn obey(&mut self, order: &str) -> Result<&'static str, Box<dyn Error>> {
        match order.split(' ').collect::<Vec<_>>().as_slice() {
            ["try", key, _ttl] => Ok(if self.try_acquire(key).await? { "held" } else { "busy" }),
            ["acquire", key, _ttl] => self.acquire(key).await,
            ["release"] => Ok(if self.release().await? { "released" } else { "lost" }),
            ["count", key, _ttl, counter, journal, times] => {
                self.count(key, counter, journal, times.parse()?).await
            }
            _ => Err(format!("no order: {order}").into()),
        }
    }

    async fn try_acquire(&mut self, key: &str) -> Result<bool, LockError> {
        self.guard = self.locks.lock(key).try_acquire().await?;
        Ok(self.guard.is_some())
    }

    async fn acquire(&mut self, key: &str) -> Result<&'static str, Box<dyn Error>> {
        if !self.try_acquire(key).await? {
            say("waiting");
            self.guard = Some(self.locks.lock(key).await?);
        }
        Ok("held")
    }

    /// Whether the lock was still held.
    async fn release(&mut self) -> Result<bool, Box<dyn Error>> {
        match self.guard.take().ok_or("nothing is held")?.release().await {
            Err(error) if error.kind() == ErrorKind::Lost => Ok(false),
            released => Ok(released.map(|()| true)?),
        }
    }

    async fn count(
        &mut self,
        key: &str,
        counter: &str,
        journal: &str,
        times: usize,
    ) -> Result<&'static str, Box<dyn Error>> {
        for _ in 0..times {
            self.guard = Some(self.locks.lock(key).await?);
            let count: usize = fs::read_to_string(counter)?.trim().parse().unwrap_or(0);
            File::options().append(true).open(journal)?.write_all(b"dlock\n")?;
            fs::write(counter, (count + 1).to_string())?;
            if !self.release().await? {
                return Ok("lost");
            }
        }
        Ok("counted")
    }
}

const LIMIT: Duration = Duration::from_secs(60);
