//! A server that answers what a test wants, by itself or in front of a real one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Speaks as much of Redis' protocol (RESP2) as is needed to answer commands. To be made inside a Tokio runtime; ends
/// when dropped.
#[derive(Debug)]
pub struct FakeRedis {
    address: SocketAddr,
    _accepting: JoinSet<io::Result<()>>,
}

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fake {
    /// It is answered with this, as it stands on the wire.
    Answer(String),
    /// It is never answered, nor is what follows on the connection.
    Silence,
    /// The connection ends.
    End,
    /// The server behind answers; without one it is `OK`.
    Pass,
}

type Say = Arc<dyn Fn(&[String]) -> Fake + Send + Sync>;
type Stream = BufReader<TcpStream>;

impl Fake {
    /// An error.
    pub fn error(words: &str) -> Self {
        Self::Answer(format!("-{words}\r\n"))
    }

    /// A list of texts.
    pub fn list(texts: &[&str]) -> Self {
        let items: String = texts.iter().map(|text| format!("${}\r\n{text}\r\n", text.len())).collect();
        Self::Answer(format!("*{}\r\n{items}", texts.len()))
    }
}

impl FakeRedis {
    /// A server that says what `say` says to a command.
    ///
    /// # Errors
    /// If no port can be listened on.
    pub async fn start(say: impl Fn(&[String]) -> Fake + Send + Sync + 'static) -> io::Result<Self> {
        Self::listen(None, Arc::new(say)).await
    }

    /// The same in front of `server`, as a proxy. Only for clients that have not asked for RESP3, and for commands with
    /// one answer each.
    ///
    /// # Errors
    /// If no port can be listened on.
    pub async fn before(
        server: SocketAddr,
        say: impl Fn(&[String]) -> Fake + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::listen(Some(server), Arc::new(say)).await
    }

    async fn listen(server: Option<SocketAddr>, say: Say) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, mut accepting) = (listener.local_addr()?, JoinSet::new());
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(serve(client, server, Arc::clone(&say)));
            }
            Ok(())
        });
        Ok(Self { address, _accepting: accepting })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

/// What goes wrong ends the connection.
async fn serve(client: TcpStream, server: Option<SocketAddr>, say: Say) -> io::Result<()> {
    let (mut client, mut behind) = (BufReader::new(client), None);
    if let Some(server) = server {
        behind = Some(BufReader::new(TcpStream::connect(server).await?));
    }
    loop {
        let raw = read_value(&mut client).await?;
        let answer = match (say(&words(&raw)), &mut behind) {
            (Fake::Answer(answer), _) => answer.into_bytes(),
            (Fake::Silence, _) => {
                return tokio::io::copy(&mut client, &mut tokio::io::sink()).await.map(drop);
            }
            (Fake::End, _) => return Ok(()),
            (Fake::Pass, None) => b"+OK\r\n".to_vec(),
            (Fake::Pass, Some(behind)) => {
                behind.write_all(&raw).await?;
                read_value(behind).await?
            }
        };
        client.write_all(&answer).await?;
    }
}

/// One command or answer, as it stands on the wire.
async fn read_value(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let (mut raw, mut values) = (Vec::new(), 1_i64);
    while values > 0 {
        let start = raw.len();
        stream.read_until(b'\n', &mut raw).await?;
        let line = raw.get(start..).unwrap_or_default();
        let (kind, rest) = line.split_first().ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = || String::from_utf8_lossy(rest).trim().parse::<i64>().map_err(io::Error::other);
        match kind {
            b'*' => values += length()?.max(0),
            b'$' => {
                if let Ok(length) = u64::try_from(length()?) {
                    let _ = stream.take(length + 2).read_to_end(&mut raw).await?;
                }
            }
            _ => {}
        }
        values -= 1;
    }
    Ok(raw)
}

/// The words of a command. None holds a line break.
fn words(raw: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(raw);
    text.split("\r\n").skip(2).step_by(2).map(str::to_owned).collect()
}
