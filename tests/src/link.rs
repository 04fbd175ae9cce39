//! A way through the network that can be slow, blocked or closed.

use crate::error::{Doing, OrFail};
use crate::wait::poll;
use parking_lot::{Condvar, Mutex};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// Passes connections on to a server, each byte as late as the link is long.
///
/// It works in threads of its own, so that it goes on while a test blocks its runtime, and is as exact as the
/// system's timers. What a link is set to holds for the connections of this moment and for later ones. When it is
/// dropped its connections end, and new ones are refused.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    /// Told of every change of `state`.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    way: Way,
    delay: Duration,
    /// Both sockets of every connection since the link was last closed.
    open: Vec<TcpStream>,
    connects: usize,
    flights: usize,
}

/// One connection.
#[derive(Debug)]
struct Conversation {
    shared: Arc<Shared>,
    /// Whether the server has said something since the client last did.
    is_answered: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Bytes go in, and none comes out.
    Blocked,
    /// Connections end as soon as they are made.
    Closed,
    /// The link is gone.
    Over,
}

impl Link {
    /// A link to `server`, which need not listen yet.
    #[track_caller]
    pub fn to(server: SocketAddr) -> Self {
        Self::try_to(server).doing(format!("make a link to {server}")).or_fail()
    }

    pub(crate) fn try_to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state =
            State { way: Way::Open, delay: Duration::ZERO, open: Vec::new(), connects: 0, flights: 0 };
        let shared = Arc::new(Shared { server, state: Mutex::new(state), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { address, shared })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From here on each byte arrives so much later, in either direction: a round trip takes twice as long.
    pub fn delay(&self, each_way: Duration) {
        self.shared.change(|state| state.delay = each_way);
    }

    /// From here on nothing gets through, and neither side is told: a black hole.
    pub fn block(&self) {
        self.shared.change(|state| state.way = Way::Blocked);
    }

    /// Ends every connection, and each new one at once.
    pub fn close(&self) {
        self.shared.change(|state| {
            state.way = Way::Closed;
            state.end_connections();
        });
    }

    /// Lets everything through again, also what was kept by a block.
    pub fn open(&self) {
        self.shared.change(|state| state.way = Way::Open);
    }

    /// How many connections were made so far.
    #[must_use]
    pub fn connects(&self) -> usize {
        self.shared.state.lock().connects
    }

    /// How often clients sent something after an answer had come: that is how many round trips they waited for. What is
    /// sent without waiting for an answer belongs to one flight.
    #[must_use]
    pub fn flights(&self) -> usize {
        self.shared.state.lock().flights
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.change(|state| {
            state.way = Way::Over;
            state.end_connections();
        });
        // Wakes the thread that accepts, so that it ends and the port refuses.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    /// The present delay.
    fn delay(&self) -> Duration {
        self.state.lock().delay
    }

    fn is_over(&self) -> bool {
        self.state.lock().way == Way::Over
    }

    /// Enters a new connection; none if there is to be none.
    fn enter(&self, client: TcpStream, server: TcpStream) -> io::Result<Option<[TcpStream; 2]>> {
        let ends = [client, server];
        for end in &ends {
            end.set_nodelay(true)?;
        }
        let copies = [ends[0].try_clone()?, ends[1].try_clone()?];
        let mut state = self.state.lock();
        if matches!(state.way, Way::Closed | Way::Over) {
            return Ok(None);
        }
        state.open.extend(copies);
        Ok(Some(ends))
    }

    /// Waits until bytes may get through.
    fn pass(&self) {
        let mut state = self.state.lock();
        while state.way == Way::Blocked {
            self.changed.wait(&mut state);
        }
    }
}

impl State {
    fn end_connections(&mut self) {
        for end in self.open.drain(..) {
            // It may have ended by itself.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

impl Conversation {
    fn told(&self, direction: Direction) {
        match direction {
            Direction::Answers => self.is_answered.store(true, Ordering::SeqCst),
            Direction::Requests => {
                let begins = self.is_answered.swap(false, Ordering::SeqCst);
                self.shared.state.lock().flights += usize::from(begins);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Answers,
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.is_over() {
            return;
        }
        let Ok(client) = client else { continue };
        shared.state.lock().connects += 1;
        let shared = Arc::clone(shared);
        thread::spawn(move || carry(client, &shared));
    }
}

/// What goes wrong ends the connection, as it would without us.
fn carry(client: TcpStream, shared: &Arc<Shared>) {
    shared.pass();
    // A server that is just being started may listen a moment later.
    let Some(server) = poll(START, || TcpStream::connect(shared.server).ok()) else { return };
    let Ok(Some([client, server])) = shared.enter(client, server) else { return };
    let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { return };
    let conversation = Conversation { shared: Arc::clone(shared), is_answered: AtomicBool::new(true) };
    let conversation = Arc::new(conversation);
    let answers = Arc::clone(&conversation);
    let back = thread::spawn(move || deliver(from_server, client, &answers, Direction::Answers));
    deliver(from_client, server, &conversation, Direction::Requests);
    let _ = back.join();
}

/// Takes bytes as they come, and passes them on in order, when each is due.
fn deliver(mut from: TcpStream, mut to: TcpStream, of: &Arc<Conversation>, direction: Direction) {
    let (sender, under_way) = mpsc::channel();
    let passing = Arc::clone(of);
    let writer = thread::spawn(move || {
        let _ = write(&mut to, &under_way, &passing, direction);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = read(&mut from, &sender, of, direction);
    drop(sender);
    let _ = writer.join();
}

type Chunk = (Instant, Vec<u8>);

#[allow(clippy::disallowed_methods, reason = "a delay of a moment, of which no lease depends")]
fn read(
    from: &mut TcpStream,
    under_way: &Sender<Chunk>,
    of: &Conversation,
    direction: Direction,
) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        if direction == Direction::Requests {
            of.told(direction);
        }
        if under_way.send((Instant::now() + of.shared.delay(), bytes.to_vec())).is_err() {
            return Ok(());
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a thread of its own, in which nobody else runs")]
fn write(
    to: &mut TcpStream,
    under_way: &Receiver<Chunk>,
    of: &Conversation,
    direction: Direction,
) -> io::Result<()> {
    for (due, bytes) in under_way {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        of.shared.pass();
        if direction == Direction::Answers {
            of.told(direction);
        }
        to.write_all(&bytes)?;
    }
    Ok(())
}

/// How long a server may take until it listens.
const START: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::wait_until;

    const LIMIT: Duration = Duration::from_secs(30);

    /// A server that sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                thread::spawn(move || io::copy(&mut client.try_clone().unwrap(), &mut client));
            }
        });
        address
    }

    fn client(link: &Link) -> TcpStream {
        let client = TcpStream::connect(link.address()).unwrap();
        client.set_nodelay(true).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        client
    }

    fn said(client: &mut TcpStream, word: &[u8]) {
        client.write_all(word).unwrap();
        let mut answer = vec![0; word.len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, word);
    }

    #[test]
    fn flights_are_counted_and_not_requests() {
        let link = Link::to(echo());
        link.delay(Duration::from_millis(100));
        let mut client = client(&link);
        said(&mut client, b"one");
        assert_eq!(link.flights(), 1);
        client.write_all(b"two").unwrap();
        client.write_all(b"three").unwrap();
        client.read_exact(&mut [0; 8]).unwrap();
        assert_eq!((link.flights(), link.connects()), (2, 1));
    }

    #[test]
    fn a_blocked_link_keeps_what_is_sent_also_on_new_connections() {
        let link = Link::to(echo());
        let mut before = client(&link);
        said(&mut before, b"one");
        link.block();
        let mut after = client(&link);
        for client in [&mut before, &mut after] {
            client.write_all(b"two").unwrap();
            client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            assert!(client.read(&mut [0; 3]).is_err(), "it got through");
            client.set_read_timeout(Some(LIMIT)).unwrap();
        }
        link.open();
        for client in [&mut before, &mut after] {
            let mut answer = [0; 3];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"two");
        }
    }

    #[test]
    fn a_closed_link_ends_connections_until_it_is_opened() {
        let link = Link::to(echo());
        let mut before = client(&link);
        said(&mut before, b"one");
        link.close();
        assert_eq!(before.read(&mut [0; 3]).unwrap_or(0), 0);
        assert_eq!(client(&link).read(&mut [0; 3]).unwrap_or(0), 0);
        link.open();
        said(&mut client(&link), b"two");
    }

    #[test]
    fn a_dropped_link_refuses() {
        let link = Link::to(echo());
        let (address, mut before) = (link.address(), client(&link));
        said(&mut before, b"one");
        drop(link);
        assert_eq!(before.read(&mut [0; 3]).unwrap_or(0), 0);
        wait_until("the port refuses", LIMIT, || TcpStream::connect(address).is_err());
    }
}
