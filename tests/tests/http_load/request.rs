//! One connection of a client, and its requests.

use crate::soon;
use http::Request;
use http::header::{HOST, RETRY_AFTER};
use http_body_util::{BodyExt as _, Empty};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// What a request comes to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// With its whole body.
    Served,
    /// With an answer of the layer.
    Refused { status: u16, code: String, retry_after: bool },
    /// The body ended with an error.
    CutOff,
    /// By the client, before there was an answer.
    GivenUpBefore,
    /// By the client, within the body.
    GivenUpMidway,
}

/// When the client gives a request up.
pub(crate) enum Patience {
    Endless,
    /// After this time, or with the beginning of the answer if that comes earlier.
    Brief(Duration),
    /// With the first piece of the body.
    OnePiece,
}

/// A connection. Dropped, it is closed, whatever is on it.
pub(crate) struct Connection {
    requests: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<hyper::Result<()>>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = soon("a connection is accepted", TcpStream::connect(address)).await.unwrap();
        let (requests, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        Self { requests, driver: tokio::spawn(connection) }
    }

    /// Asks for work on `key`. After anything but `Served` and `Refused` the connection is of no more use.
    pub(crate) async fn ask(&mut self, key: &str, patience: Patience) -> Answer {
        match patience {
            Patience::Endless => read(self.head(key).await, usize::MAX).await,
            Patience::OnePiece => read(self.head(key).await, 1).await,
            Patience::Brief(limit) => {
                // Given up in either case.
                let _ = tokio::time::timeout(limit, self.head(key)).await;
                Answer::GivenUpBefore
            }
        }
    }

    async fn head(&mut self, key: &str) -> Response<Incoming> {
        let request = Request::post(format!("/work/{key}")).header(HOST, "load").body(Empty::new());
        soon("a connection takes a request", self.requests.ready()).await.unwrap();
        soon("a request is answered", self.requests.send_request(request.unwrap())).await.unwrap()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Has one request served over a connection of its own.
pub(crate) async fn whole(address: SocketAddr, key: &str) {
    let answer = Connection::open(address).await.ask(key, Patience::Endless).await;
    assert_eq!(answer, Answer::Served);
}

/// Reads the body, at most `most` pieces of it.
async fn read(response: Response<Incoming>, most: usize) -> Answer {
    let (status, retry_after) = (response.status().as_u16(), response.headers().contains_key(RETRY_AFTER));
    let mut body = response.into_body();
    let (mut text, mut pieces) = (Vec::new(), 0);
    while let Some(frame) = soon("a body goes on", body.frame()).await {
        let Ok(frame) = frame else { return Answer::CutOff };
        text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        pieces += 1;
        if status == 200 && pieces >= most {
            return Answer::GivenUpMidway;
        }
    }
    match status {
        200 => Answer::Served,
        status => Answer::Refused { status, code: code(&text), retry_after },
    }
}

/// The code of an `application/problem+json`; the whole text if it is none.
fn code(problem: &[u8]) -> String {
    let text = String::from_utf8_lossy(problem);
    let code = text.split_once(r#""code":""#).and_then(|(_, rest)| rest.split_once('"'));
    code.map_or(text.as_ref(), |(code, _)| code).to_owned()
}
