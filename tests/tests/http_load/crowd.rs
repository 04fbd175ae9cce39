//! Clients that ask a service for work on a few keys, all at once.

use crate::request::{Answer, Connection, Patience};
use crate::tally::Tally;
use crate::{CONNECTIONS, KEYS, soon, until};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

/// Connections that each ask again and again until the crowd leaves.
pub(crate) struct Crowd {
    clients: JoinSet<()>,
    shared: Arc<Shared>,
}

struct Shared {
    tally: Mutex<Tally>,
    is_leaving: AtomicBool,
    /// A listener has room for some that it has not accepted yet, not for all.
    doors: Semaphore,
    all_are_here: Barrier,
}

impl Crowd {
    /// Opens all connections, in turn to each of the addresses, and then asks over all of them.
    pub(crate) async fn arrive(addresses: &[SocketAddr]) -> Self {
        let shared = Arc::new(Shared {
            tally: Mutex::default(),
            is_leaving: AtomicBool::new(false),
            doors: Semaphore::new(100),
            all_are_here: Barrier::new(CONNECTIONS + 1),
        });
        let mut clients = JoinSet::new();
        for (number, address) in (0..CONNECTIONS).zip(addresses.iter().copied().cycle()) {
            clients.spawn(ask_until_all_leave(address, number, Arc::clone(&shared)));
        }
        soon("all are connected", shared.all_are_here.wait()).await;
        Self { clients, shared }
    }

    /// Waits until this many more requests were served.
    pub(crate) async fn more_served(&self, requests: usize) {
        let served = || self.shared.tally.lock().of(&Answer::Served);
        let wanted = served() + requests;
        until("enough requests are served", async || served() >= wanted).await;
    }

    /// Waits until every request under way is answered, closes all connections, and tells what the answers were.
    pub(crate) async fn leave(mut self) -> Tally {
        self.shared.is_leaving.store(true, Ordering::SeqCst);
        while let Some(client) = soon("every request is answered", self.clients.join_next()).await {
            client.unwrap();
        }
        self.shared.tally.lock().clone()
    }
}

async fn ask_until_all_leave(address: SocketAddr, number: usize, shared: Arc<Shared>) {
    let mut connection = shared.connect(address).await;
    shared.all_are_here.wait().await;
    for turn in 0_usize.. {
        let key = format!("key-{}", (number + turn) / 2 % KEYS);
        let answer = connection.ask(&key, patience()).await;
        shared.tally.lock().add(answer.clone());
        if shared.is_leaving.load(Ordering::SeqCst) {
            return;
        }
        match answer {
            Answer::Served => {}
            // Later than it was told to, so that refusals are not most of the load.
            Answer::Refused { .. } => pause().await,
            Answer::CutOff | Answer::GivenUpBefore | Answer::GivenUpMidway => {
                drop(connection);
                connection = shared.connect(address).await;
            }
        }
    }
}

impl Shared {
    async fn connect(&self, address: SocketAddr) -> Connection {
        let _door = self.doors.acquire().await.unwrap();
        Connection::open(address).await
    }
}

/// One request in ten is given up.
fn patience() -> Patience {
    match fastrand::u32(0..20) {
        0 => Patience::Brief(Duration::from_millis(fastrand::u64(0..200))),
        1 => Patience::OnePiece,
        _ => Patience::Endless,
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(3_000..6_000))).await;
}
