//! Workers of several instances that share a few permits: a renderer with four licences, whichever instance uses them.
//!
//! `cargo run -p worker-pool` lets three instances of this process render some pictures and ends.
//! `-- --backend URL` puts the permits where separate processes would share them.
//!
//! A large picture takes three permits in one request. It waits its turn like any other, and is not passed by small ones for
//! ever. A job that hangs is dropped after `max_hold`, and its permits come back. An instance that dies gives its permits back
//! after their lease.

use anyhow::ensure;
use clap::Parser;
use dlock_core::{EmbeddedBackend, ErrorKind, Guarantees, LockError, LockManager, Semaphore};
use futures_util::future::{join_all, try_join_all};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[derive(Debug, Parser)]
struct Arguments {
    /// Where the permits are, if not in this process.
    #[arg(long, value_name = "URL")]
    backend: Option<String>,
}

const INSTANCES: usize = 3;
const LICENCES: u32 = 4;
/// No picture takes longer.
const LONGEST: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let licences = Arc::new(Licences::default());
    let instances = instances(Arguments::parse().backend.as_deref(), &licences).await?;
    let jobs = instances.iter().flat_map(|instance| JOBS.map(|job| instance.render(job)));
    let outcomes = join_all(jobs).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    let (rendered, dropped) = (count(Outcome::Rendered), count(Outcome::Dropped));
    let most = licences.most.load(Ordering::SeqCst);
    println!(
        "{rendered} pictures rendered, {dropped} dropped, at most {most} of {LICENCES} licences at once"
    );
    ensure!(most <= LICENCES, "{most} licences were used at once");
    try_join_all(instances.iter().map(|instance| instance.locks.shutdown())).await?;
    for instance in &instances {
        let free = instance.renderer.available_permits().await?;
        ensure!(free == LICENCES, "{free} permits are free at the end");
    }
    Ok(())
}

/// A picture: how many licences it takes, and whether it is one that the renderer hangs over.
#[derive(Debug, Clone, Copy)]
struct Job {
    licences: u32,
    hangs: bool,
}

const JOBS: [Job; 5] = [SMALL, LARGE, SMALL, HANGS, SMALL];
const SMALL: Job = Job { licences: 1, hangs: false };
const LARGE: Job = Job { licences: 3, hangs: false };
const HANGS: Job = Job { licences: 1, hangs: true };

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Rendered,
    /// It hung, and its permits were lost.
    Dropped,
}

/// One instance of the service, with connections of its own.
struct Instance {
    locks: LockManager,
    renderer: Semaphore,
    licences: Arc<Licences>,
}

impl Instance {
    /// The work runs while its permits are held, and is dropped if they are lost.
    async fn render(&self, job: Job) -> Result<Outcome, LockError> {
        let request = self.renderer.permits(job.licences).max_hold(LONGEST);
        let work = async |permit: &dlock_core::Permit| {
            let _used = self.licences.take(permit.permits());
            let time = if job.hangs { Duration::MAX } else { Duration::from_millis(20) };
            tokio::time::sleep(time).await;
        };
        match request.run(work).await {
            Ok(()) => Ok(Outcome::Rendered),
            Err(lost) if lost.kind() == ErrorKind::Lost => Ok(Outcome::Dropped),
            Err(error) => Err(error),
        }
    }
}

async fn instances(backend: Option<&str>, licences: &Arc<Licences>) -> Result<Vec<Instance>, LockError> {
    let shared = EmbeddedBackend::new();
    let mut instances = Vec::new();
    for _ in 0..INSTANCES {
        let builder = match backend {
            Some(url) => LockManager::builder_from_url(url).await?,
            None => LockManager::builder(shared.clone()),
        };
        // A backend that keeps no permits is refused here, and not at the first picture.
        let locks = builder.require(Guarantees::SHARES).build()?;
        let renderer = locks.semaphore("renderer", LICENCES);
        instances.push(Instance { locks, renderer, licences: Arc::clone(licences) });
    }
    Ok(instances)
}

/// The licences in use, as the renderer would count them.
#[derive(Debug, Default)]
struct Licences {
    used: AtomicU32,
    most: AtomicU32,
}

/// Some licences, until this is dropped.
struct Used<'a> {
    licences: &'a Licences,
    number: u32,
}

impl Licences {
    fn take(&self, number: u32) -> Used<'_> {
        let used = self.used.fetch_add(number, Ordering::SeqCst) + number;
        self.most.fetch_max(used, Ordering::SeqCst);
        Used { licences: self, number }
    }
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        self.licences.used.fetch_sub(self.number, Ordering::SeqCst);
    }
}
