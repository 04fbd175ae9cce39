//! A TCP relay that can hold back what clients send.

use parking_lot::Mutex;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
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
    kept: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

type Gates = Arc<Mutex<Vec<watch::Sender<Gate>>>>;

/// What a connection lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// What the client sends is kept.
    Held,
    /// The same, and to the client the connection is at its end.
    Cut,
}

impl Relay {
    /// A relay to `server`.
    ///
    /// # Errors
    /// If no port can be listened on.
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, gates) = (listener.local_addr()?, Arc::default());
        let kept = Arc::new(AtomicUsize::new(0));
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
        self.set(Gate::Held);
    }

    /// Ends the connections of this moment for their clients, and keeps what they sent. Later ones are free.
    pub fn cut(&self) {
        self.set(Gate::Cut);
    }

    /// Delivers what was held back.
    pub fn let_go(&self) {
        self.set(Gate::Open);
    }

    /// How many bytes arrived here and were not delivered.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.load(Ordering::SeqCst)
    }

    fn set(&self, state: Gate) {
        for gate in self.gates.lock().iter() {
            gate.send_replace(state);
        }
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, gates: Gates, kept: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (gate, state) = watch::channel(Gate::Open);
        gates.lock().push(gate);
        connections.spawn(relay(client, server, state, Arc::clone(&kept)));
    }
}

/// Either direction may end without the other. What goes wrong ends the connection, as it would without us.
async fn relay(client: TcpStream, server: SocketAddr, state: watch::Receiver<Gate>, kept: Arc<AtomicUsize>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((from_client, mut to_client), (mut from_server, to_server)) =
        (client.into_split(), server.into_split());
    let mut ended = state.clone();
    let answers = async move {
        tokio::select! {
            _ = copy(&mut from_server, &mut to_client) => {}
            _ = ended.wait_for(|state| *state == Gate::Cut) => {}
        }
    };
    let requests = async {
        let _ = deliver(from_client, to_server, state, &kept).await;
    };
    tokio::join!(requests, answers);
}

async fn deliver(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<Gate>,
    kept: &AtomicUsize,
) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let length = from.read(&mut buffer).await?;
        kept.fetch_add(length, Ordering::SeqCst);
        // An error means that the relay is gone.
        state.wait_for(|state| *state == Gate::Open).await.map_err(io::Error::other)?;
        kept.fetch_sub(length, Ordering::SeqCst);
        match buffer.get(..length) {
            Some(bytes) if length > 0 => to.write_all(bytes).await?,
            _ => return to.shutdown().await,
        }
    }
}
