//! Drops acquires of one lock that another process holds, for the test that looks what is left of them.
//!
//! The arguments are the hosts of ZooKeeper and the key. Each line of its input is a number. It drops this many
//! acquires, each at a different moment, and waits until the servers have confirmed that nothing of them is left. Then
//! it says how many KiB of memory it has. Ends with its input.

use dlock_core::{HandOver, LockManager, ZooKeeperBackend};
use std::error::Error;
use std::io::Write as _;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("HOSTS KEY");
    let (hosts, key) = (next()?, next()?);
    let backend = ZooKeeperBackend::builder().hosts(hosts).session_timeout(SESSION).build().await?;
    for line in std::io::stdin().lines() {
        let count: usize = line?.parse()?;
        for _ in 0..count.div_ceil(AT_ONCE) {
            drop_acquires(&backend, &key).await?;
        }
        say(&resident()?.to_string())?;
    }
    Ok(())
}

/// Drops some acquires, each later than the one before.
async fn drop_acquires(backend: &ZooKeeperBackend, key: &str) -> Result<(), Box<dyn Error>> {
    // Not those of one process behind each other: each is in the servers' queue.
    let locks = LockManager::builder(backend.clone()).hand_over(HandOver::OFF).build()?;
    let mut running = JoinSet::new();
    for number in 0..AT_ONCE {
        let acquire = locks.lock(key).acquire();
        let moment = Duration::from_micros(200 * u64::try_from(number)?);
        running.spawn(async move { drop(timeout(moment, acquire).await) });
    }
    running.join_all().await;
    locks.shutdown().await?;
    Ok(())
}

/// The pages of this process that are in memory, in KiB.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim_end_matches("kB").trim().parse()?)
}

fn say(text: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{text}")?;
    output.flush()
}

const SESSION: Duration = Duration::from_secs(60);
const AT_ONCE: usize = 50;
