//! The error of all operations.

use crate::guarantees::Guarantees;
use crate::key::{LockKey, Namespace};
use crate::label::Label;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why something could not be done with a lock.
///
/// Match on [`kind`](LockError::kind). The text names the operation, the key, what happened and what helps. It leaves
/// out the cause, which is in [`source`](StdError::source). Clones share the cause.
///
/// ```
/// use dlock_core::{EmbeddedBackend, ErrorKind, LockManager};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
/// let locks = LockManager::builder(EmbeddedBackend::new()).build()?;
/// let held = locks.lock("order:42").await?;
/// let busy = locks.lock("order:42").wait(Duration::from_millis(5)).await.unwrap_err();
/// assert_eq!(busy.kind(), ErrorKind::Busy);
/// assert!(busy.to_string().contains("order:42"));
/// # held.release().await }
/// ```
#[derive(Clone)]
pub struct LockError(Box<Details>);

#[derive(Clone)]
struct Details {
    kind: ErrorKind,
    operation: Option<Operation>,
    backend: Option<&'static str>,
    server: Option<Arc<str>>,
    key: Option<LockKey>,
    /// That of the manager or the backend. The key is named without it.
    namespace: Option<Namespace>,
    detail: Cow<'static, str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    /// How many releases were not confirmed.
    unflushed: usize,
    /// What was required of a backend that does not promise it.
    missing: Guarantees,
    remainder: Remainder,
    busy: Option<Box<BusyDetails>>,
}

/// What was seen of a lock when a wait for it ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct BusyDetails {
    pub(crate) label: Option<Label>,
    pub(crate) held_for: Option<Duration>,
    pub(crate) place: Option<usize>,
}

/// What a request that failed may have left with the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(dead_code, reason = "only backends that ask servers know more")]
enum Remainder {
    /// It may have been carried out, or may be yet.
    #[default]
    Unknown,
    /// It never left this process.
    Nothing,
    /// Something that the end of a lease does not end. The backend says when it is gone.
    UntilToldGone,
}

/// What sort of failure a [`LockError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another owner held the lock for the whole wait. Try again later.
    Busy,
    /// The backend did not answer in time, or could not be reached. It is unknown whether a request was carried out;
    /// whatever it may have left is undone in the background. Try again later.
    Unavailable,
    /// The caller is inside the scope of this very lock, and would wait for itself. The backend was not asked.
    Reentrant,
    /// The lease is over: it expired, or the backend gave the lock to another owner.
    Lost,
    /// The key is empty, too long, or not of a form that the backend can store.
    InvalidKey,
    /// A setting (a duration, a URL, a root) is out of its range.
    InvalidOption,
    /// The backend refused the credentials, or the account lacks a right.
    Auth,
    /// The backend holds data at dlock's place that dlock did not write.
    Corrupt,
    /// The manager was closed.
    Closed,
    /// No manager was installed, or this process was forked after one was built.
    NotConfigured,
    /// The backend cannot do what was asked.
    Unsupported,
    /// ZooKeeper's numbers for the waiters of this key are nearly used up. An operator has to act: the text says how to
    /// start them again.
    SequenceExhausted,
    /// The lock has no holder that could be asked to let go.
    NotHeld,
}

impl ErrorKind {
    /// Whether the same call may succeed later although nothing was changed.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable)
    }

    fn summary(self) -> &'static str {
        match self {
            Self::Busy => "the lock is busy",
            Self::Unavailable => "the backend is unavailable",
            Self::Reentrant => "the lock is held by the caller",
            Self::Lost => "the lock is lost",
            Self::InvalidKey => "invalid key",
            Self::InvalidOption => "invalid option",
            Self::Auth => "access denied",
            Self::Corrupt => "foreign data in the way",
            Self::Closed => "the lock manager is closed",
            Self::NotConfigured => "not configured",
            Self::Unsupported => "not supported",
            Self::SequenceExhausted => "the key's numbers are used up",
            Self::NotHeld => "the lock is not held",
        }
    }
}

/// What was being done when a [`LockError`] occurred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Connecting to a backend.
    Connect,
    /// Acquiring a lock, waiting included.
    Acquire,
    /// Renewing a lease.
    Renew,
    /// Releasing a lock.
    Release,
    /// Making a reader of a writer.
    Downgrade,
    /// Making a writer of a reader.
    Upgrade,
    /// Running a future under a lock.
    Run,
    /// Looking who holds a lock.
    Inspect,
    /// Looking which locks are held.
    List,
    /// Taking a lock away from its holder.
    ForceRelease,
    /// Asking a lock's holder to let go.
    Revoke,
    /// Shutting a manager down.
    Shutdown,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Acquire => "acquire",
            Self::Renew => "renew",
            Self::Release => "release",
            Self::Downgrade => "downgrade",
            Self::Upgrade => "upgrade",
            Self::Run => "run",
            Self::Inspect => "inspect",
            Self::List => "list",
            Self::ForceRelease => "force the release of",
            Self::Revoke => "revoke",
            Self::Shutdown => "shut down",
        })
    }
}

impl LockError {
    /// An error of `kind`. `detail` says what happened and what helps. It holds no secret, and not the cause's own
    /// text.
    ///
    /// Backends of other crates build their errors with this and the `with_…` methods.
    #[must_use]
    pub fn new(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        let (operation, backend, server, key, namespace, source) = Default::default();
        let (unflushed, missing, remainder, busy) = Default::default();
        Self(Box::new(Details {
            kind,
            operation,
            backend,
            server,
            key,
            namespace,
            detail,
            source,
            unflushed,
            missing,
            remainder,
            busy,
        }))
    }

    /// Says that the request never left this process, so that there is nothing to undo.
    #[must_use]
    #[cfg(any(feature = "redis", feature = "zookeeper", test))]
    pub(crate) fn unsent(mut self) -> Self {
        self.0.remainder = Remainder::Nothing;
        self
    }

    /// Takes back what [`unsent`](Self::unsent) said: an earlier request of the same owner was sent.
    #[must_use]
    #[cfg(feature = "redis")]
    pub(crate) fn after_a_request(mut self) -> Self {
        self.0.remainder = Remainder::Unknown;
        self
    }

    /// Says that a release is to be repeated until the backend says that the owner has nothing any longer, even after
    /// the lease.
    #[must_use]
    #[cfg(any(feature = "zookeeper", test))]
    pub(crate) fn until_told_gone(mut self) -> Self {
        self.0.remainder = Remainder::UntilToldGone;
        self
    }

    /// Whether only the backend can tell the end of what was left.
    pub(crate) fn outlives_the_lease(&self) -> bool {
        self.0.remainder == Remainder::UntilToldGone
    }

    /// Whether the request left nothing that is to be undone.
    pub(crate) fn leaves_nothing(&self) -> bool {
        self.0.remainder == Remainder::Nothing
    }

    /// Names the operation, unless one is named already.
    #[must_use]
    pub fn with_operation(mut self, operation: Operation) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Names the backend, unless one is named already.
    #[must_use]
    pub fn with_backend(mut self, backend: &'static str) -> Self {
        self.0.backend.get_or_insert(backend);
        self
    }

    /// Names the server, such as `10.0.0.5:6379`, unless one is named already. An address holds no password.
    #[must_use]
    pub fn with_server(mut self, server: &str) -> Self {
        self.0.server.get_or_insert_with(|| server.into());
        self
    }

    /// The same where the server is named beside it.
    #[must_use]
    #[cfg(any(feature = "redis", feature = "zookeeper"))]
    pub(crate) fn without_server(&self) -> Self {
        let mut error = self.clone();
        error.0.server = None;
        error
    }

    /// The error of a wait that went on for `waited` and met this until its end.
    #[must_use]
    pub(crate) fn after_waiting(mut self, waited: Duration) -> Self {
        self.0.remainder = Remainder::Unknown;
        self.adding(&format!("; so it went until the end of the wait, after {waited:?}"))
    }

    /// Adds `words` to what the error says of itself.
    #[must_use]
    pub(crate) fn adding(mut self, words: &str) -> Self {
        self.0.detail = format!("{}{words}", self.0.detail).into();
        self
    }

    /// Says what was seen of the lock when the wait ended.
    #[must_use]
    pub(crate) fn with_busy_details(self, seen: BusyDetails) -> Self {
        let mut error = self.adding(&seen.to_string());
        error.0.busy = Some(Box::new(seen));
        error
    }

    /// Names the key, unless one is named already.
    #[must_use]
    pub fn with_key(mut self, key: &LockKey) -> Self {
        self.0.key.get_or_insert_with(|| key.clone());
        self
    }

    /// Replaces the key: the error names it as a backend within this one knows it.
    #[must_use]
    pub(crate) fn about_key(mut self, key: &LockKey) -> Self {
        self.0.key = Some(key.clone());
        self
    }

    /// Says in which namespace the key is.
    #[must_use]
    pub(crate) fn with_namespace(mut self, namespace: Option<&Namespace>) -> Self {
        if self.0.namespace.is_none() {
            self.0.namespace = namespace.cloned();
        }
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    pub(crate) fn with_unflushed(mut self, unflushed: usize) -> Self {
        self.0.unflushed = unflushed;
        self
    }

    /// How many releases were not confirmed when a [`shutdown`](crate::LockManager::shutdown) ended; zero for every
    /// other error.
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.0.unflushed
    }

    /// What the holder calls itself that kept the caller waiting, if it was seen when the wait ended. Only a
    /// [`Busy`](ErrorKind::Busy) of a wait has one; a try asks for no more than its answer.
    ///
    /// ```
    /// use dlock_core::{EmbeddedBackend, LockManager};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = LockManager::builder(EmbeddedBackend::new()).label("worker-7").build()?;
    /// let _held = locks.lock("order:42").await?;
    /// let busy = locks.lock("order:42").wait(Duration::from_millis(5)).await.unwrap_err();
    /// assert_eq!(busy.holder_label().map(|label| label.as_str()), Some("worker-7"));
    /// assert!(busy.held_for().is_some());
    /// assert_eq!(busy.queue_place(), Some(1));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn holder_label(&self) -> Option<&Label> {
        self.0.busy.as_ref()?.label.as_ref()
    }

    /// For how long the holder had held the lock when the wait ended, as
    /// [`HolderView::held_for`](crate::backend::HolderView::held_for) says.
    #[must_use]
    pub fn held_for(&self) -> Option<Duration> {
        self.0.busy.as_ref()?.held_for
    }

    /// Where the caller stood in the queue when its wait ended: 1 if it was the next.
    #[must_use]
    pub fn queue_place(&self) -> Option<usize> {
        self.0.busy.as_ref()?.place
    }

    /// An error that names what a backend does not promise, and what helps.
    pub(crate) fn missing(missing: Guarantees, backend: &'static str) -> Self {
        let detail = format!("the backend does not promise {missing}; {}", missing.remedies());
        let mut error = Self::new(ErrorKind::Unsupported, detail).with_backend(backend);
        error.0.missing = missing;
        error
    }

    /// What was [required](crate::LockManagerBuilder::require) and is not promised by the backend; empty for every other
    /// error.
    #[must_use]
    pub fn missing_guarantees(&self) -> Guarantees {
        self.0.missing
    }

    /// What sort of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// The backend's name.
    #[must_use]
    pub fn backend(&self) -> Option<&'static str> {
        self.0.backend
    }

    /// The server that the request went to, if the backend knows it: a host and a port, or a list of them.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.0.server.as_deref()
    }

    /// The key, as the caller named it: without the namespace of the manager.
    #[must_use]
    pub fn key(&self) -> Option<&LockKey> {
        self.0.key.as_ref()
    }

    /// The namespace that the key is in, if the manager or its backend has one.
    #[must_use]
    pub fn namespace(&self) -> Option<&Namespace> {
        self.0.namespace.as_ref()
    }
}

/// As words behind those of a wait that ended.
impl fmt::Display for BusyDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(label) = &self.label {
            write!(f, "; its holder is {:?}", label.as_str())?;
        }
        if let Some(held_for) = self.held_for {
            write!(f, "; it was held for {:?}", Duration::from_millis(whole_millis(held_for)))?;
        }
        match self.place {
            Some(place) => write!(f, "; this request was number {place} in the queue"),
            None => Ok(()),
        }
    }
}

fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// `acquire "order:42" in "shop:" on redis at 10.0.0.5:6379: the lock is busy: …`, as far as each is known.
impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place();
        let separator = if place.is_empty() { "" } else { ": " };
        write!(f, "{place}{separator}{}: {}", self.0.kind.summary(), self.0.detail)
    }
}

impl LockError {
    /// What could not be done, to which key, and where.
    fn place(&self) -> String {
        let Details { operation, backend, server, key, namespace, .. } = &*self.0;
        let namespace = key.as_ref().and(namespace.as_ref());
        let parts = [
            operation.map(|operation| operation.to_string()),
            key.as_ref().map(|key| format!("\"{key}\"")),
            namespace.map(|namespace| format!("in \"{namespace}\"")),
            backend.map(|backend| format!("on {backend}")),
            server.as_ref().map(|server| format!("at {server}")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details {
            kind, operation, backend, server, key, namespace, detail, source, unflushed, busy, ..
        } = &*self.0;
        f.debug_struct("LockError")
            .field("kind", kind)
            .field("operation", operation)
            .field("backend", backend)
            .field("server", server)
            .field("key", key)
            .field("namespace", namespace)
            .field("detail", detail)
            .field("source", source)
            .field("unflushed", unflushed)
            .field("busy", busy)
            .finish()
    }
}

impl StdError for LockError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// So that a value that already is a [`LockKey`] can be passed wherever one can be made.
impl From<std::convert::Infallible> for LockError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_operation_key_backend_and_remedy_but_not_the_cause() {
        let key = LockKey::new("order:42").unwrap();
        let error = LockError::new(ErrorKind::Busy, "another owner held it for all of 2s; try again later")
            .with_operation(Operation::Acquire)
            .with_operation(Operation::Release)
            .with_key(&key)
            .with_backend("redis")
            .with_source(std::io::Error::other("the cause"));
        assert_eq!(
            error.to_string(),
            "acquire \"order:42\" on redis: the lock is busy: another owner held it for all of 2s; try again later"
        );
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("the cause"));
        let shop = Namespace::new("shop:").unwrap();
        let text = error.with_namespace(Some(&shop)).to_string();
        assert!(text.starts_with("acquire \"order:42\" in \"shop:\" on redis: the lock is busy"), "{text}");
        assert_eq!(LockError::new(ErrorKind::InvalidKey, "empty").to_string(), "invalid key: empty");
    }

    #[test]
    fn a_wait_that_ended_tells_what_was_seen() {
        let label = Some(Label::new("web-1").unwrap());
        let held_for = Some(Duration::from_micros(3_200_400));
        let busy = LockError::new(ErrorKind::Busy, "held").with_busy_details(BusyDetails {
            label,
            held_for,
            place: Some(2),
        });
        assert_eq!(
            busy.to_string(),
            "the lock is busy: held; its holder is \"web-1\"; it was held for 3.2s; this request was number 2 in the queue"
        );
        assert_eq!((busy.held_for(), busy.queue_place()), (held_for, Some(2)));
        let unseen = LockError::new(ErrorKind::Busy, "held").with_busy_details(BusyDetails::default());
        assert_eq!(unseen.to_string(), "the lock is busy: held");
    }

    #[test]
    fn the_text_has_no_gap_where_something_is_not_known() {
        let away = || LockError::new(ErrorKind::Unavailable, "away").with_operation(Operation::Connect);
        assert_eq!(away().to_string(), "connect: the backend is unavailable: away");
        let named = away().with_backend("redis").with_server("a:1").with_server("b:2");
        assert_eq!(named.to_string(), "connect on redis at a:1: the backend is unavailable: away");
        assert_eq!(named.server(), Some("a:1"));
        let key = LockKey::new("k").unwrap();
        assert_eq!(away().with_key(&key).to_string(), "connect \"k\": the backend is unavailable: away");
    }
}
