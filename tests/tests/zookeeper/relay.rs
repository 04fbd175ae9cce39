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

/// What a server makes of a request that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It says so, or that the client may not, by one of ZooKeeper's codes.
    Answer(i32),
    /// It drops the connection, as ClickHouse Keeper does.
    End,
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
    connections: usize,
    events: usize,
    is_holding: bool,
    refused: Vec<(i32, Refusal)>,
}

#[derive(Clone, Copy)]
struct Gate {
    open: bool,
    cuts: usize,
    /// Requests with this code stay here, and on their connections all that comes after them.
    holds: Option<i32>,
}

impl Relay {
    pub(super) async fn to(server: &ZooKeeperServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::<Mutex<Book>>::default();
        let gate = watch::Sender::new(Gate { open: true, cuts: 0, holds: None });
        let mut task = JoinSet::new();
        task.spawn(accept(listener, server.address(), Arc::clone(&book), gate.subscribe()));
        Self { address, book, gate, _task: task }
    }

    pub(super) fn hosts(&self) -> String {
        self.address.to_string()
    }

    /// From here on the server does not know requests with this code.
    pub(super) fn refuse(&self, code: i32, refusal: Refusal) {
        self.book.lock().unwrap().refused.push((code, refusal));
    }

    pub(super) fn play(&self, trick: Trick) {
        self.book.lock().unwrap().to_play = Some(trick);
    }

    /// How many tricks were played.
    pub(super) fn played(&self) -> usize {
        self.book.lock().unwrap().played
    }

    /// The codes of the requests that were sent on to the server since the last call.
    pub(super) fn take_requests(&self) -> Vec<i32> {
        std::mem::take(&mut self.book.lock().unwrap().requests)
    }

    /// How many connections were made, those included that were dropped at once.
    pub(super) fn connections(&self) -> usize {
        self.book.lock().unwrap().connections
    }

    /// How many events of watches came.
    pub(super) fn events(&self) -> usize {
        self.book.lock().unwrap().events
    }

    /// From here on requests with this code do not arrive.
    pub(super) fn hold(&self, code: i32) {
        self.book.lock().unwrap().is_holding = false;
        self.gate.send_modify(|gate| gate.holds = Some(code));
    }

    /// Whether a request was held back since `hold`.
    pub(super) fn is_holding(&self) -> bool {
        self.book.lock().unwrap().is_holding
    }

    pub(super) fn let_go(&self) {
        self.gate.send_modify(|gate| gate.holds = None);
    }

    /// Drops the connections, and takes new ones.
    pub(super) fn cut(&self) {
        self.gate.send_modify(|gate| gate.cuts += 1);
    }

    /// Drops the connections, and every new one.
    pub(super) fn close(&self) {
        self.gate.send_modify(|gate| *gate = Gate { open: false, cuts: gate.cuts + 1, ..*gate });
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
        let Gate { open, cuts, .. } = *gate.borrow();
        book.lock().unwrap().connections += 1;
        if !open {
            continue;
        }
        connections.spawn(async move {
            tokio::select! {
                () = carry(client, server, book, gate.clone()) => {}
                _ = gate.wait_for(|gate| gate.cuts != cuts) => {}
            }
        });
    }
}

async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    book: Arc<Mutex<Book>>,
    mut gate: watch::Receiver<Gate>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (awaited, refused) = (Mutex::new(None), Mutex::default());
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let trick = tokio::select! {
        () = carry_requests(&mut from_client, &mut to_server, &book, (&awaited, &refused), &mut gate) => None,
        trick = carry_answers(&mut from_server, &mut to_client, &book, (&awaited, &refused)) => trick,
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
/// The numbers of the requests that are refused, and the answers to them.
type Refused = Mutex<Vec<(i32, i32)>>;

async fn carry_requests(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    book: &Mutex<Book>,
    (awaited, refused): (&Awaited, &Refused),
    gate: &mut watch::Receiver<Gate>,
) {
    // The first frame greets, and has neither number nor code.
    let mut is_greeting = true;
    while let Some(mut frame) = read_frame(from).await {
        let code = (!std::mem::take(&mut is_greeting)).then(|| word(&frame, 8));
        if let Some(code) = code {
            let is_held = |gate: &Gate| gate.holds == Some(code);
            {
                let mut book = book.lock().unwrap();
                book.is_holding |= is_held(&gate.borrow());
                if let Some(trick) = book.to_play.take_if(|trick| trick.code() == code) {
                    *awaited.lock().unwrap() = Some((word(&frame, 4), trick));
                }
            }
            // An error means that the relay is gone.
            let _ = gate.wait_for(|gate| !is_held(gate)).await;
        }
        let refusal =
            book.lock().unwrap().refused.iter().find(|(refused, _)| Some(*refused) == code).copied();
        match refusal {
            Some((_, Refusal::End)) => return,
            // Something harmless instead, so that the answer has its place among the others.
            Some((_, Refusal::Answer(answer))) => {
                refused.lock().unwrap().push((word(&frame, 4), answer));
                frame = look_at_root(word(&frame, 4));
            }
            None => {}
        }
        if to.write_all(&frame).await.is_err() {
            return;
        }
        book.lock().unwrap().requests.extend(code);
    }
}

async fn carry_answers(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    book: &Mutex<Book>,
    (awaited, refused): (&Awaited, &Refused),
) -> Option<Trick> {
    // The first frame greets here, too.
    let mut is_greeting = true;
    while let Some(mut frame) = read_frame(from).await {
        let is_event = !std::mem::take(&mut is_greeting) && word(&frame, 4) == EVENT;
        book.lock().unwrap().events += usize::from(is_event);
        let caught = awaited.lock().unwrap().filter(|(number, _)| *number == word(&frame, 4));
        if let Some((_, trick)) = caught {
            return Some(trick);
        }
        let refusal = refused.lock().unwrap().iter().find(|(number, _)| *number == word(&frame, 4)).copied();
        if let Some((_, answer)) = refusal {
            frame.truncate(16);
            frame[..4].copy_from_slice(&16i32.to_be_bytes());
            frame.extend(answer.to_be_bytes());
        }
        to.write_all(&frame).await.ok()?;
    }
    None
}

/// ZooKeeper's word for what it does not know.
pub(super) const UNIMPLEMENTED: Refusal = Refusal::Answer(-6);
pub(super) const NO_AUTH: Refusal = Refusal::Answer(-102);

/// The request with this number whether the root is there.
fn look_at_root(number: i32) -> Vec<u8> {
    let words = [14, number, super::op_code::EXISTS, 1].map(i32::to_be_bytes).concat();
    [&words[..], b"/", &[0]].concat()
}

/// The number that an event of a watch bears, in the place of a request's.
const EVENT: i32 = -1;

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
