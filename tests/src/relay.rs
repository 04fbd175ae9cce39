//! A TCP relay that can hold back what clients send, and what they are answered.

use parking_lot::Mutex;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Sits between clients and a server. To be made inside a Tokio runtime; ends when dropped.
///
/// A connection whose client has gone stays open towards the server until all that the client sent is
/// delivered: so a request can arrive long after its sender gave up.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    /// One for each connection, in order of their making.
    gates: Gates,
    kept: Arc<Kept>,
    _accepting: JoinSet<()>,
}

/// What a connection swallows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swallowed {
    /// What the client sends.
    Requests,
    /// What the server sends.
    Answers,
    /// What either sends.
    All,
}

impl Swallowed {
    /// Each way.
    pub const EACH: [Self; 3] = [Self::Requests, Self::Answers, Self::All];
}

type Gates = Arc<Mutex<Vec<watch::Sender<Gate>>>>;

/// What a connection keeps from getting through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Gate {
    holds_requests: bool,
    holds_answers: bool,
    /// To the client the connection is at its end.
    cut: bool,
}

/// How many bytes are kept from getting through, and how many got through.
#[derive(Debug, Default)]
struct Kept {
    requests: Traffic,
    answers: Traffic,
}

/// What goes one way.
#[derive(Debug, Default)]
struct Traffic {
    kept: AtomicUsize,
    delivered: AtomicUsize,
}

impl Relay {
    /// A relay to `server`.
    ///
    /// # Errors
    /// If no port can be listened on.
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, gates) = (listener.local_addr()?, Arc::default());
        let kept = Arc::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, Arc::clone(&gates), Arc::clone(&kept)));
        Ok(Self { address, gates, kept, _accepting: accepting })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From here on nothing that is sent on the connections of this moment arrives. Later ones are free.
    pub fn hold(&self) {
        self.change(|gate| gate.holds_requests = true);
    }

    /// From here on nothing that is sent on the connection that was made last arrives. The others are free.
    pub fn hold_newest(&self) {
        if let Some(gate) = self.gates.lock().last() {
            gate.send_modify(|gate| gate.holds_requests = true);
        }
    }

    /// From here on the connection that was made as this one, counted from 0, swallows what is sent this way, and neither
    /// side is told: as when a balancer has forgotten it.
    pub fn swallow(&self, connection: usize, way: Swallowed) {
        if let Some(gate) = self.gates.lock().get(connection) {
            gate.send_modify(|gate| {
                gate.holds_requests |= way != Swallowed::Answers;
                gate.holds_answers |= way != Swallowed::Requests;
            });
        }
    }

    /// How many connections were made so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.gates.lock().len()
    }

    /// From here on nothing that the server sends on the connections of this moment arrives: answers, or
    /// what a primary sends to a replica that follows it by this relay. Later connections are free.
    pub fn hold_answers(&self) {
        self.change(|gate| gate.holds_answers = true);
    }

    /// Ends the connections of this moment for their clients, and keeps what they sent. Later ones are free.
    pub fn cut(&self) {
        self.change(|gate| (gate.holds_requests, gate.cut) = (true, true));
    }

    /// Delivers what was held back, in both directions.
    pub fn let_go(&self) {
        self.change(|gate| *gate = Gate::default());
    }

    /// Delivers what was held back of what the server sends.
    pub fn let_answers_go(&self) {
        self.change(|gate| gate.holds_answers = false);
    }

    /// How many bytes of clients arrived here and were not delivered.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.requests.kept.load(Ordering::SeqCst)
    }

    /// How many bytes of clients were delivered.
    #[must_use]
    pub fn delivered(&self) -> usize {
        self.kept.requests.delivered.load(Ordering::SeqCst)
    }

    /// How many bytes of the server arrived here and were not delivered.
    #[must_use]
    pub fn kept_answers(&self) -> usize {
        self.kept.answers.kept.load(Ordering::SeqCst)
    }

    fn change(&self, change: impl Fn(&mut Gate)) {
        for gate in self.gates.lock().iter() {
            gate.send_modify(&change);
        }
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, gates: Gates, kept: Arc<Kept>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (gate, state) = watch::channel(Gate::default());
        gates.lock().push(gate);
        connections.spawn(relay(client, server, state, Arc::clone(&kept)));
    }
}

/// Either direction may end without the other. What goes wrong ends the connection, as it would without us.
async fn relay(client: TcpStream, server: SocketAddr, state: watch::Receiver<Gate>, kept: Arc<Kept>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let mut ended = state.clone();
    let requests = deliver(from_client, to_server, state.clone(), |gate| gate.holds_requests, &kept.requests);
    let answers = deliver(from_server, to_client, state, |gate| gate.holds_answers, &kept.answers);
    let answers = async move {
        tokio::select! {
            _ = answers => {}
            _ = ended.wait_for(|gate| gate.cut) => {}
        }
    };
    let _ = tokio::join!(requests, answers);
}

async fn deliver(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<Gate>,
    is_held: fn(&Gate) -> bool,
    traffic: &Traffic,
) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let length = from.read(&mut buffer).await?;
        traffic.kept.fetch_add(length, Ordering::SeqCst);
        // An error means that the relay is gone.
        state.wait_for(|gate| !is_held(gate)).await.map_err(io::Error::other)?;
        traffic.kept.fetch_sub(length, Ordering::SeqCst);
        match buffer.get(..length) {
            Some(bytes) if length > 0 => to.write_all(bytes).await?,
            _ => return to.shutdown().await,
        }
        traffic.delivered.fetch_add(length, Ordering::SeqCst);
    }
}
