//! Holds one lock in Redis, for the tests that stop the process which holds it.
//!
//! The arguments are the server's URL, the key and the ttl in ms. Says the token once it has the lock, and then,
//! to each line of its input, whether its guard is valid. Ends with its input.

use dlock_core::{LockManager, RedisBackend};
use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("URL KEY TTL");
    let (url, key, ttl) = (next()?, next()?, Duration::from_millis(next()?.parse()?));
    let runtime = tokio::runtime::Runtime::new()?;
    let guard = runtime.block_on(async {
        let backend = RedisBackend::builder().url(url).build().await?;
        LockManager::builder(backend).ttl(ttl).build()?.lock(key).await
    })?;
    say(&guard.token().to_string())?;
    // On the main thread, with nothing awaited: what is said is what a caller would find without waiting.
    for line in std::io::stdin().lock().lines() {
        line?;
        say(&guard.is_valid().to_string())?;
    }
    Ok(())
}

fn say(text: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{text}")?;
    output.flush()
}
