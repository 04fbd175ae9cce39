//! The clients: many connections, each with one grab under way at a time, until every grab is answered.

use crate::addresses::Addresses;
use crate::progress::Progress;
use crate::protocol::{Answered, Packet};
use crate::tally::{Outcome, Tally};
use dlock_core::Moment;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// All clients that grab from one packet.
#[derive(Debug)]
pub(crate) struct Crowd {
    http: Client<HttpConnector, Empty<axum::body::Bytes>>,
    servers: Addresses,
    packet: Packet,
    grabs: u32,
    next: AtomicU32,
}

impl Crowd {
    /// `grabs` grabs at `packet`.
    pub(crate) fn new(servers: Addresses, packet: Packet, grabs: u32) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Self { http, servers, packet, grabs, next: AtomicU32::new(0) }
    }

    /// Grabs over that number of connections at a time, until every grab is answered or given up.
    pub(crate) async fn grab_all(self, connections: u16, progress: Arc<Progress>) -> anyhow::Result<Tally> {
        let (crowd, start) = (Arc::new(self), Moment::now());
        let mut clients = JoinSet::new();
        for client in 0..usize::from(connections) {
            clients.spawn(Arc::clone(&crowd).client(client, Arc::clone(&progress)));
        }
        let mut outcomes = Vec::new();
        while let Some(answered) = clients.join_next().await {
            outcomes.extend(answered?);
        }
        Ok(Tally::new(outcomes, Moment::now().since(start)))
    }

    /// One client: takes the next grab until there is none.
    async fn client(self: Arc<Self>, client: usize, progress: Arc<Progress>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        loop {
            let grab = self.next.fetch_add(1, Ordering::Relaxed);
            if grab >= self.grabs {
                return outcomes;
            }
            outcomes.push(self.grab(grab, client).await);
            progress.step();
        }
    }

    /// Asks until there is an answer, another server each time. The grab keeps its number, so that it is paid
    /// once however often it is asked for.
    async fn grab(&self, grab: u32, client: usize) -> Outcome {
        let start = Moment::now();
        let mut outcome = Outcome { answered: None, waited: Duration::ZERO, refused: 0, broken: 0 };
        for turn in client.. {
            let pause = match self.ask(grab, turn).await {
                Reply::Answered(answered) => {
                    outcome.answered = Some(answered);
                    break;
                }
                Reply::Wrong => break,
                Reply::Refused(pause) => {
                    outcome.refused += 1;
                    pause
                }
                Reply::Broken => {
                    outcome.broken += 1;
                    PAUSE
                }
            };
            if Moment::now().since(start) > PATIENCE {
                break;
            }
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        }
        outcome.waited = Moment::now().since(start);
        outcome
    }

    async fn ask(&self, grab: u32, turn: usize) -> Reply {
        tokio::time::timeout(REQUEST_LIMIT, self.request(grab, turn))
            .await
            .ok()
            .flatten()
            .unwrap_or(Reply::Broken)
    }

    /// `None` if the connection could not be made, or broke.
    async fn request(&self, grab: u32, turn: usize) -> Option<Reply> {
        let uri = self.packet.uri(self.servers.pick(turn)?, grab);
        let request = Request::post(uri).body(Empty::new()).ok()?;
        let response = self.http.request(request).await.ok()?;
        match response.status() {
            StatusCode::OK => {
                let body = response.into_body().collect().await.ok()?.to_bytes();
                serde_json::from_slice(&body).ok().map(Reply::Answered)
            }
            // Even a lost lock is no reason to stop: the grab is paid once at most.
            StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => Some(Reply::Refused(pause(&response))),
            status if status.is_server_error() => Some(Reply::Refused(pause(&response))),
            _ => Some(Reply::Wrong),
        }
    }
}

/// What one request came to.
enum Reply {
    Answered(Answered),
    /// Not this time; again after a while.
    Refused(Duration),
    /// No answer at all. The grab may have been paid.
    Broken,
    /// A request that no repetition helps.
    Wrong,
}

/// The pause that the server asks for, or a short one.
fn pause<B>(response: &Response<B>) -> Duration {
    let seconds = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    seconds.map_or(PAUSE, Duration::from_secs)
}

/// Between two requests of one grab, unless the server says otherwise.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one request may take: longer than a server lets it wait for the lock.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
/// How long one grab is asked for.
const PATIENCE: Duration = Duration::from_secs(90);
