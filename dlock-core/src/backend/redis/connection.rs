//! The one connection: commands and pushes in wire order, made anew by itself.

use super::failure::{breaks_connection, classify, met_dead_connection};
use super::owner::Inbox;
use super::scripts;
use crate::backend::wakeups::Wakeups;
use crate::error::{ErrorKind, LockError};
use crate::lease::FencingToken;
use crate::time::{Moment, backoff};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, PushInfo, PushKind, RedisResult, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the parts of a request may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) connect: Duration,
    pub(super) request: Duration,
}

/// Carries every request of one backend value. Whoever finds the connection dead makes the next one.
pub(super) struct Connection {
    client: Client,
    limits: Limits,
    inbox: Inbox,
    wakeups: Arc<Wakeups<FencingToken>>,
    live: Mutex<Option<Live>>,
    connecting: tokio::sync::Mutex<Pause>,
}

/// A connection that worked when it was last used.
#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    broken: Arc<AtomicBool>,
}

impl Connection {
    pub(super) fn new(
        client: Client,
        limits: Limits,
        inbox: Inbox,
        wakeups: Arc<Wakeups<FencingToken>>,
    ) -> Self {
        Self {
            client,
            limits,
            inbox,
            wakeups,
            live: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// Sends one command. A command that met a dead connection is sent once more over a new one: every
    /// script may be run twice for one owner (I5).
    pub(super) async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<Reply<T>, CallError> {
        match self.call_once(command).await {
            Err(CallError::Redis(cause)) if met_dead_connection(&cause) => {
                let value = self.call_once(command).await?;
                Ok(Reply { value, repeated: true })
            }
            outcome => Ok(Reply { value: outcome?, repeated: false }),
        }
    }

    async fn call_once<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, CallError> {
        let mut live = self.get().await.map_err(CallError::Connect)?;
        command.query_async(&mut live.connection).await.map_err(|cause| {
            if breaks_connection(&cause) {
                live.broken.store(true, Ordering::Release);
            }
            CallError::Redis(cause)
        })
    }

    /// Makes sure that there is a connection.
    pub(super) async fn ensure(&self) -> Result<(), LockError> {
        self.get().await.map(drop)
    }

    async fn get(&self) -> Result<Live, LockError> {
        match self.working() {
            Some(live) => Ok(live),
            None => self.reconnect().await,
        }
    }

    fn working(&self) -> Option<Live> {
        self.live.lock().clone().filter(|live| !live.broken.load(Ordering::Acquire))
    }

    /// One attempt for all who wait for it, none before the pause after the last failure is over.
    async fn reconnect(&self) -> Result<Live, LockError> {
        let mut pause = self.connecting.lock().await;
        if let Some(live) = self.working() {
            return Ok(live);
        }
        pause.check()?;
        let again = self.live.lock().is_some();
        match self.connect().await {
            Ok(live) => {
                *self.live.lock() = Some(live.clone());
                pause.over();
                if again {
                    tracing::info!(backend = "redis", "reconnected");
                }
                Ok(live)
            }
            Err(error) => {
                tracing::warn!(backend = "redis", %error, "connecting failed");
                pause.begin(error.kind());
                Err(error)
            }
        }
    }

    /// A new connection that listens to the inbox before it carries a command, and knows the scripts.
    async fn connect(&self) -> Result<Live, LockError> {
        let broken = Arc::new(AtomicBool::new(false));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.limits.connect))
            .set_response_timeout(Some(self.limits.request))
            .set_pipeline_buffer_size(4_096)
            .set_push_sender(self.receiver(Arc::clone(&broken)));
        let mut connection =
            self.client.get_multiplexed_async_connection_with_config(&config).await.map_err(classify)?;
        connection.subscribe(self.inbox.channel()).await.map_err(classify)?;
        scripts::load(&mut connection).await.map_err(classify)?;
        // Whoever waits may have missed a push.
        self.wakeups.wake_all();
        Ok(Live { connection, broken })
    }

    /// Runs in the task that reads the socket, so it must not block.
    fn receiver(
        &self,
        broken: Arc<AtomicBool>,
    ) -> impl Fn(PushInfo) -> RedisResult<()> + Send + Sync + use<> {
        let (inbox, wakeups) = (self.inbox, Arc::clone(&self.wakeups));
        move |push| {
            match push.kind {
                PushKind::Message => message(&push)
                    .and_then(|text| inbox.parse(text))
                    .into_iter()
                    .for_each(|(owner, token)| wakeups.wake(owner, token)),
                PushKind::Disconnection => {
                    broken.store(true, Ordering::Release);
                    wakeups.wake_all();
                }
                _ => {}
            }
            Ok(())
        }
    }
}

/// The text of a pub/sub message: channel, text.
fn message(push: &PushInfo) -> Option<&[u8]> {
    match push.data.get(1)? {
        Value::BulkString(text) => Some(text),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// The answer to a command.
pub(super) struct Reply<T> {
    pub(super) value: T,
    /// Whether it was sent twice. Then the first copy may still be under way.
    pub(super) repeated: bool,
}

/// Why a call failed.
pub(super) enum CallError {
    /// No connection could be made.
    Connect(LockError),
    /// The connection or the server failed the command.
    Redis(redis::RedisError),
}

impl From<CallError> for LockError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Connect(error) => error,
            CallError::Redis(cause) => classify(cause),
        }
    }
}

/// The pause after attempts that failed, longer with each.
struct Pause {
    lengths: Box<dyn Iterator<Item = Duration> + Send>,
    until: Moment,
    /// What the last failure was.
    kind: ErrorKind,
}

impl Default for Pause {
    fn default() -> Self {
        let lengths = backoff(Duration::from_millis(20), Duration::from_secs(2));
        Self { lengths: Box::new(lengths), until: Moment::START, kind: ErrorKind::Unavailable }
    }
}

impl Pause {
    fn check(&self) -> Result<(), LockError> {
        if Moment::now() >= self.until {
            return Ok(());
        }
        Err(LockError::new(self.kind, "connecting failed a moment ago; see the log for why"))
    }

    fn begin(&mut self, kind: ErrorKind) {
        self.kind = kind;
        self.until = Moment::now().after(self.lengths.next().unwrap_or_default());
    }

    fn over(&mut self) {
        *self = Self::default();
    }
}
