//! HTTP written and read by hand, so that a test decides what is on the wire and when.

use super::soon;
use axum::Router;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Sends a request without a body, and leaves the connection open.
pub(crate) async fn send(address: SocketAddr, request: &str, headers: &[&str]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let text = format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// All that the server says to the request.
pub(crate) async fn receive(mut stream: TcpStream) -> Answer {
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    Answer(text)
}

pub(crate) async fn ask(address: SocketAddr, request: &str, headers: &[&str]) -> Answer {
    receive(send(address, request, headers).await).await
}

#[derive(Debug)]
pub(crate) struct Answer(pub(crate) String);

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.0.split(' ').nth(1).expect("a status line").parse().unwrap()
    }

    /// The least delay of which the answer's is a jittered one.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        let after: u64 = self.0.lines().find_map(|line| line.strip_prefix("retry-after: "))?.parse().unwrap();
        Some([1, 3].into_iter().find(|least| (*least..=2 * least).contains(&after)).unwrap())
    }

    pub(crate) fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").unwrap().1
    }

    pub(crate) fn assert_rejected(&self, status: u16, code: &str, retry_after: Option<u64>) {
        assert_eq!((self.status(), self.retry_after()), (status, retry_after), "{self:?}");
        assert!(self.body().contains(&format!(r#""code":"{code}""#)), "{self:?}");
        assert!(self.0.contains("content-type: application/problem+json\r\n"), "{self:?}");
    }
}

/// Reads up to and including `end`.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(soon(stream.read_u8()).await.unwrap());
    }
}
