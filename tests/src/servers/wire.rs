//! Connections to a server, with a limit to how long it may stay silent.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection whose opening and whose every read ends within `patience`.
pub(super) fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// For a test's question: long enough for a busy machine, short enough to notice a paused server.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// For a question that is asked again anyway. A server that is just starting may take a connection and
/// never answer on it (ZooKeeper does), and answer the next one at once.
pub(super) const PROBE_PATIENCE: Duration = Duration::from_millis(500);
