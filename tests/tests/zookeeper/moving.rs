//! Names that stand for several servers, and servers that move.

use super::*;
use dlock_tests::{Holder, NameService};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const NAME: &str = "ensemble.test";
/// Longer than any way to the servers that is tried in vain.
const SESSION: Duration = Duration::from_secs(8);

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// A way to a server, by an address of its own. It ends when this is dropped.
struct Way {
    connections: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Way {
    /// The address may be taken, where a port is not given.
    async fn to(server: &ZooKeeperServer, at: SocketAddr) -> (Self, u16) {
        let (listener, server) = (TcpListener::bind(at).await.unwrap(), server.address());
        let port = listener.local_addr().unwrap().port();
        let (mut task, connections) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&connections);
        task.spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                carried.spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        (Self { connections, _task: task }, port)
    }

    fn is_used(&self) -> bool {
        self.connections.load(Ordering::SeqCst) > 0
    }
}

/// An address that swallows what is sent there: more connections wait than it takes.
struct DeadAddress {
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl DeadAddress {
    async fn at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let (listener, mut waiting) = (socket.listen(1).unwrap(), Vec::new());
        let patience = Duration::from_millis(300);
        while let Ok(connected) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
            waiting.push(connected.unwrap());
        }
        Self { _listener: listener, _waiting: waiting }
    }
}

async fn holder(names: &NameService, port: u16) -> Holder {
    let program = names.program(env!("CARGO_BIN_EXE_hold_lock"));
    let (url, key) = (format!("zookeeper://{NAME}:{port}/locks"), fresh_key("moving"));
    tokio::task::spawn_blocking(move || Holder::start(program, &url, &key, SESSION)).await.unwrap()
}

/// The first of a name's addresses was tried each time, and took all the time there was.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_first_address_keeps_no_connection_from_the_others() {
    let (server, names) = (ZooKeeperServer::start(), NameService::start());
    let (_way, port) = Way::to(&server, SocketAddr::new(address(3), 0)).await;
    let _dead = DeadAddress::at(SocketAddr::new(address(2), port)).await;
    names.set(NAME, &[address(2), address(3)]);
    let mut holder = holder(&names, port).await;
    holder.ask();
    assert!(holder.answer());
}

/// All members are replaced while the program runs: the name is looked up again, and the session goes on.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_move_are_found_again_by_their_name() {
    for together in [1, 2] {
        let (server, names) = (ZooKeeperServer::start(), NameService::start());
        let (first, port) = Way::to(&server, SocketAddr::new(address(2), 0)).await;
        let addresses = |from: u8| (from..from + together).map(address).collect::<Vec<_>>();
        names.set(NAME, &addresses(2));
        let mut holder = holder(&names, port).await;
        assert!(first.is_used());
        let (moved, _) = Way::to(&server, SocketAddr::new(address(12), port)).await;
        names.set(NAME, &addresses(12));
        drop(first);
        until("the server is found where it is now", async || moved.is_used()).await;
        until("the session goes on", async || holder.state() == "Held").await;
        holder.ask();
        assert!(holder.answer(), "{together} addresses");
    }
}
