//! Holds one lock in Redis or ZooKeeper, for the tests that stop or end the process which holds it.
//!
//! The arguments are the server's URL, the key, and in ms the ttl, or for ZooKeeper the session's timeout. Says the
//! token once it has the lock, and then, to each line of its input, whether its guard is valid, or to the line `state`
//! what its guard knows. At the end of its input it shuts its manager down and ends.

use dlock_core::{LockError, LockManager};
use dlock_tests::backend_at;
use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("URL KEY LEASE");
    let (url, key, lease) = (next()?, next()?, Duration::from_millis(next()?.parse()?));
    let runtime = tokio::runtime::Runtime::new()?;
    let (locks, guard) = runtime.block_on(async {
        let locks = LockManager::builder(backend_at(&url, lease).await?).ttl(lease).build()?;
        let guard = locks.lock(key).await?;
        Ok::<_, LockError>((locks, guard))
    })?;
    say(&guard.token().to_string())?;
    // On the main thread, with nothing awaited: what is said is what a caller would find without waiting.
    for line in std::io::stdin().lock().lines() {
        match line?.as_str() {
            "state" => say(&format!("{:?}", guard.state()))?,
            _ => say(&guard.is_valid().to_string())?,
        }
    }
    drop(guard);
    runtime.block_on(locks.shutdown())?;
    Ok(())
}

fn say(text: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{text}")?;
    output.flush()
}
