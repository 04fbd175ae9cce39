//! An HTTP service that locks what its route is about, for the tests that load several such processes.
//!
//! The arguments are the backend's URL and in ms the ttl, or for ZooKeeper the session's timeout; or `bare`, for the
//! same service without the layer. Says its port. To each line of its input it says how many tasks it has and how many
//! responses are under way. At the end of its input it shuts down, and says what was done under which lock, a line
//! each: `KEY TOKEN FROM UNTIL`, in ns of a clock that all processes share.

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::{Router, routing::post};
use dlock_core::backend::Backend;
use dlock_core::{LockError, LockManager, RedisBackend, ZooKeeperBackend};
use dlock_tower::{Key, LockLayer, Locked};
use futures_util::stream;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

/// The pieces of a response, and how far they are apart: what is done under the lock.
const PIECES: usize = 4;
const APART: Duration = Duration::from_millis(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("URL LEASE | bare")?;
    let locks = match url.as_str() {
        "bare" => None,
        url => Some(manager(url, Duration::from_millis(arguments.next().ok_or("LEASE")?.parse()?)).await?),
    };
    let journal = Arc::new(Journal::default());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    let serving = axum::serve(listener, router(locks.as_ref(), Arc::clone(&journal)));
    serving.with_graceful_shutdown(answer_until_the_end(locks.clone(), Arc::clone(&journal))).await?;
    if let Some(locks) = locks {
        // The journal is wanted all the same: the server may be gone.
        locks.shutdown().await.unwrap_or_else(|error| eprintln!("{error}"));
    }
    journal.lines.lock().iter().for_each(|line| println!("{line}"));
    Ok(())
}

async fn manager(url: &str, lease: Duration) -> Result<LockManager, LockError> {
    let limit = Duration::from_secs(1);
    let (backend, ttl): (Arc<dyn Backend>, _) = match url.starts_with("zookeeper:") {
        true => {
            let builder = ZooKeeperBackend::builder().url(url).session_timeout(lease);
            (Arc::new(builder.request_timeout(limit).build().await?), Duration::from_secs(30))
        }
        false => (Arc::new(RedisBackend::builder().url(url).request_timeout(limit).build().await?), lease),
    };
    LockManager::builder(backend).ttl(ttl).build()
}

fn router(locks: Option<&LockManager>, journal: Arc<Journal>) -> Router {
    let route = post(work);
    let route = match locks {
        Some(locks) => route.route_layer(layer(locks)),
        None => route,
    };
    Router::new().route("/work/{key}", route).with_state(journal)
}

/// Fewer may wait for a key than come, so that some are refused.
fn layer(locks: &LockManager) -> LockLayer {
    LockLayer::new(locks.clone(), Key::new("load").path_param("key"))
        .wait(Duration::from_secs(3))
        .max_waiting(16, 4_096)
}

/// Streams a response, and writes down from when until when it was under the lock.
async fn work(State(journal): State<Arc<Journal>>, Path(key): Path<String>, locked: Option<Locked>) -> Body {
    let section = Section::begin(journal, key, locked);
    Body::from_stream(stream::unfold((section, PIECES), async |(mut section, left)| {
        section.look();
        let next = left.checked_sub(1)?;
        tokio::time::sleep(APART).await;
        section.look();
        Some((Ok::<_, Infallible>(Bytes::from_static(b"a piece of work\n")), (section, next)))
    }))
}

async fn answer_until_the_end(locks: Option<LockManager>, journal: Arc<Journal>) {
    let mut questions = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = questions.next_line().await {
        let tasks = Handle::current().metrics().num_alive_tasks();
        println!("{tasks} {}", journal.under_way.load(Ordering::SeqCst));
    }
    if let Some(locks) = locks {
        locks.close();
    }
}

#[derive(Debug, Default)]
struct Journal {
    lines: Mutex<Vec<String>>,
    under_way: AtomicUsize,
}

/// What is done under one lock, until its end or until it is dropped.
struct Section {
    journal: Arc<Journal>,
    key: String,
    locked: Option<Locked>,
    from: u128,
    until: u128,
}

impl Section {
    fn begin(journal: Arc<Journal>, key: String, locked: Option<Locked>) -> Self {
        journal.under_way.fetch_add(1, Ordering::SeqCst);
        let now = shared_now();
        let mut section = Self { journal, key, locked, from: now, until: now };
        section.look();
        section
    }

    /// Goes on until now if the lock is valid. What is asked after the look at the clock was true then: the process
    /// may stand still in between. Without a lock, whatever is done is done until now.
    fn look(&mut self) {
        let now = shared_now();
        if self.locked.as_ref().is_none_or(Locked::is_valid) {
            self.until = now;
        }
    }

    /// Without a lock there is nothing but the order of beginning.
    fn token(&self) -> u128 {
        self.locked.as_ref().map_or(self.from, |locked| locked.token().as_u64().into())
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        self.look();
        let line = format!("{} {} {} {}", self.key, self.token(), self.from, self.until);
        self.journal.lines.lock().push(line);
        self.journal.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The same for all processes of the machine.
fn shared_now() -> u128 {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default()).as_nanos()
}
