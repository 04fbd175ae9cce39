//! Sits between a client and its server, to break the connection at the wrong moment.

use dlock_tests::ZooKeeperServer;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the client gets instead of the answer to a request with this code, once. The request arrives.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trick {
    End(i32),
    Reset(i32),
    /// Nothing more comes, and nothing says so.
    Silence(i32),
}

impl Trick {
    fn code(self) -> i32 {
        match self {
            Self::End(code) | Self::Reset(code) | Self::Silence(code) => code,
        }
    }
}

pub(super) struct Relay {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    gate: watch::Sender<Gate>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct Book {
    to_play: Option<Trick>,
    played: usize,
    requests: Vec<i32>,
}

#[derive(Clone, Copy)]
struct Gate {
    open: bool,
    cuts: usize,
}

impl Relay {
    pub(super) async fn to(server: &ZooKeeperServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::<Mutex<Book>>::default();
        let gate = watch::Sender::new(Gate { open: true, cuts: 0 });
        let mut task = JoinSet::new();
        task.spawn(accept(listener, server.address(), Arc::clone(&book), gate.subscribe()));
        Self { address, book, gate, _task: task }
    }

    pub(super) fn hosts(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn play(&self, trick: Trick) {
        self.book.lock().unwrap().to_play = Some(trick);
    }

    /// How many tricks were played.
    pub(super) fn played(&self) -> usize {
        self.book.lock().unwrap().played
    }

    /// The codes of the requests since the last call.
    pub(super) fn take_requests(&self) -> Vec<i32> {
        std::mem::take(&mut self.book.lock().unwrap().requests)
    }

    /// Drops the connections, and takes new ones.
    pub(super) fn cut(&self) {
        self.gate.send_modify(|gate| gate.cuts += 1);
    }

    /// Drops the connections, and every new one.
    pub(super) fn close(&self) {
        self.gate.send_modify(|gate| *gate = Gate { open: false, cuts: gate.cuts + 1 });
    }

    pub(super) fn reopen(&self) {
        self.gate.send_modify(|gate| gate.open = true);
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    book: Arc<Mutex<Book>>,
    gate: watch::Receiver<Gate>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (book, mut gate) = (Arc::clone(&book), gate.clone());
        let Gate { open, cuts } = *gate.borrow();
        if !open {
            continue;
        }
        connections.spawn(async move {
            tokio::select! {
                () = carry(client, server, book) => {}
                _ = gate.wait_for(|gate| gate.cuts != cuts) => {}
            }
        });
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, book: Arc<Mutex<Book>>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let awaited = Mutex::new(None);
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let trick = tokio::select! {
        () = carry_requests(&mut from_client, &mut to_server, &book, &awaited) => None,
        trick = carry_answers(&mut from_server, &mut to_client, &awaited) => trick,
    };
    let Some(trick) = trick else { return };
    book.lock().unwrap().played += 1;
    match trick {
        Trick::End(_) => {}
        Trick::Reset(_) => client.set_zero_linger().unwrap(),
        Trick::Silence(_) => std::future::pending().await,
    }
}

/// The number of the request whose answer is not to arrive, and the trick.
type Awaited = Mutex<Option<(i32, Trick)>>;

async fn carry_requests(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    book: &Mutex<Book>,
    awaited: &Awaited,
) {
    // The first frame greets, and has neither number nor code.
    let mut is_greeting = true;
    while let Some(frame) = read_frame(from).await {
        if !std::mem::take(&mut is_greeting) {
            let (number, code) = (word(&frame, 4), word(&frame, 8));
            let mut book = book.lock().unwrap();
            book.requests.push(code);
            if let Some(trick) = book.to_play.take_if(|trick| trick.code() == code) {
                *awaited.lock().unwrap() = Some((number, trick));
            }
        }
        if to.write_all(&frame).await.is_err() {
            return;
        }
    }
}

async fn carry_answers(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    awaited: &Awaited,
) -> Option<Trick> {
    while let Some(frame) = read_frame(from).await {
        let caught = awaited.lock().unwrap().filter(|(number, _)| *number == word(&frame, 4));
        if let Some((_, trick)) = caught {
            return Some(trick);
        }
        to.write_all(&frame).await.ok()?;
    }
    None
}

async fn read_frame(from: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<u8>> {
    let length = from.read_u32().await.ok()?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(4 + length as usize, 0);
    from.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame)
}

fn word(frame: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(frame[at..at + 4].try_into().unwrap())
}
