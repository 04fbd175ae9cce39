//! A TCP relay that can hold back what clients send.

use parking_lot::Mutex;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
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
    /// For each connection, in order of their making, whether it is held.
    gates: Arc<Mutex<Vec<watch::Sender<bool>>>>,
    _accepting: JoinSet<()>,
}

impl Relay {
    /// A relay to `server`.
    ///
    /// # Errors
    /// If no port can be listened on.
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, gates) = (listener.local_addr()?, Arc::default());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, Arc::clone(&gates)));
        Ok(Self { address, gates, _accepting: accepting })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From here on nothing that is sent on the connections of this moment arrives. Later ones are free.
    pub fn hold(&self) {
        self.set(true);
    }

    /// Delivers what was held back.
    pub fn let_go(&self) {
        self.set(false);
    }

    fn set(&self, held: bool) {
        for gate in self.gates.lock().iter() {
            gate.send_replace(held);
        }
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, gates: Arc<Mutex<Vec<watch::Sender<bool>>>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (gate, held) = watch::channel(false);
        gates.lock().push(gate);
        connections.spawn(relay(client, server, held));
    }
}

/// Either direction may end without the other. What goes wrong ends the connection, as it would without us.
async fn relay(client: TcpStream, server: SocketAddr, held: watch::Receiver<bool>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((from_client, mut to_client), (mut from_server, to_server)) =
        (client.into_split(), server.into_split());
    let answers = async {
        let _ = copy(&mut from_server, &mut to_client).await;
    };
    let requests = async {
        let _ = deliver(from_client, to_server, held).await;
    };
    tokio::join!(requests, answers);
}

async fn deliver(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut held: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let length = from.read(&mut buffer).await?;
        // An error means that the relay is gone.
        held.wait_for(|held| !held).await.map_err(io::Error::other)?;
        match buffer.get(..length) {
            Some(bytes) if length > 0 => to.write_all(bytes).await?,
            _ => return to.shutdown().await,
        }
    }
}
