//! Forks while it holds one lock in Redis or ZooKeeper and one in memory, for the test of what the child can do.
//!
//! The arguments are the server's URL and the key. The child drops what it inherited and tries to lock. It says what came
//! of each in a line of its own, and ends. Then the process itself says whether its guards are valid. At the end of its
//! input it releases the lock, and says that it has.

#[cfg(target_os = "linux")]
mod forking {
    use dlock_core::{EmbeddedBackend, LockError, LockGuard, LockManager};
    use fork::{Fork, fork, waitpid};
    use futures_util::FutureExt as _;
    use std::error::Error;
    use std::io::{Read as _, Write as _};
    use std::time::Duration;

    /// What a process has of one backend.
    struct Held {
        locks: LockManager,
        guard: LockGuard,
    }

    impl Held {
        async fn of(locks: LockManager, key: &str) -> Result<Self, LockError> {
            Ok(Self { guard: locks.lock(key).await?, locks })
        }

        /// What a child can do: each is over once it is said.
        fn inherit(self, name: &str) -> std::io::Result<()> {
            drop(self.guard);
            say(&format!("{name} guard dropped"))?;
            let asked = self.locks.lock("in the child").wait(Duration::MAX).acquire().now_or_never();
            say(&match asked {
                Some(Ok(_)) => format!("{name} granted"),
                Some(Err(error)) => format!("{name} {:?}", error.kind()),
                None => format!("{name} waits"),
            })?;
            drop(self.locks);
            say(&format!("{name} manager dropped"))
        }
    }

    pub(super) fn run() -> Result<(), Box<dyn Error>> {
        let mut arguments = std::env::args().skip(1);
        let mut next = || arguments.next().ok_or("URL KEY");
        let (url, key) = (next()?, next()?);
        let runtime = tokio::runtime::Runtime::new()?;
        let (server, memory) = runtime.block_on(async {
            let server = Held::of(LockManager::connect(&url).await?, &key).await?;
            let memory = Held::of(LockManager::builder(EmbeddedBackend::new()).build()?, &key).await?;
            Ok::<_, LockError>((server, memory))
        })?;
        match fork()? {
            Fork::Child => {
                memory.inherit("memory")?;
                server.inherit("server")?;
                // The threads of the runtime are not here, so it cannot be dropped.
                std::process::exit(0);
            }
            Fork::Parent(child) => waitpid(child)?,
        };
        say(&format!("valid {} {}", server.guard.is_valid(), memory.guard.is_valid()))?;
        std::io::stdin().read_to_end(&mut Vec::new())?;
        runtime.block_on(server.guard.release())?;
        runtime.block_on(memory.guard.release())?;
        say("released")?;
        Ok(())
    }

    fn say(text: &str) -> std::io::Result<()> {
        let mut output = std::io::stdout().lock();
        writeln!(output, "{text}")?;
        output.flush()
    }
}

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    forking::run()
}

#[cfg(not(target_os = "linux"))]
fn main() {}
