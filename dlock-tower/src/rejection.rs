//! The answers that the layer gives itself.

use crate::key_error::KeyError;
use bytes::Bytes;
use dlock_core::{ErrorKind, LockError, Operation};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Why a request was not handled under its lock, as an answer.
///
/// | `code` | HTTP | gRPC | `Retry-After` | when |
/// |---|---|---|---|---|
/// | `lock_busy` | 409 | 10 ABORTED | yes | another owner held the lock for the whole wait |
/// | `lock_queue_full` | 429 | 8 RESOURCE_EXHAUSTED | yes | as many requests wait as may |
/// | `lock_unavailable` | 503 | 14 UNAVAILABLE | yes | the backend did not answer in time |
/// | `lock_closed` | 503 | 14 UNAVAILABLE | yes | the manager is closed: the server is shutting down |
/// | `lock_key_invalid` | 400 | 3 INVALID_ARGUMENT | no | the request does not say what to lock, or in no valid form |
/// | `body_broken` | 400 | 3 INVALID_ARGUMENT | no | the body that was to be read first broke off |
/// | `body_too_large` | 413 | 8 RESOURCE_EXHAUSTED | no | the body is more than is read first |
/// | `lock_misconfigured` | 500 | 13 INTERNAL | no | the route, the manager or the backend is set up wrongly; logged |
/// | `lock_lost` | 500 | 13 INTERNAL | no | the lock was lost while the handler ran |
///
/// `Retry-After` is there exactly when the handler did not run and trying again can help. The body is
/// `application/problem+json` with `title`, `status` and `code`. A gRPC request has the content type
/// `application/grpc`, perhaps with a suffix, such as `application/grpc+proto`. Its answer is in the headers:
/// `grpc-status` and `grpc-message`. No answer contains the key.
///
/// Handlers with the attribute `#[distributed_lock]`, and handlers that call such functions, can return `Result<_,
/// LockRejection>`: `?` makes it from a [`LockError`](dlock_core::LockError). An error that did not come from
/// acquiring, such as a failed release, counts as `lock_lost`, since the work had begun.
///
/// ```
/// use dlock_core::{ErrorKind, LockError};
/// use dlock_tower::LockRejection;
///
/// let rejection = LockRejection::from(LockError::new(ErrorKind::Busy, "another owner held it"));
/// let response = rejection.to_http();
/// assert_eq!(response.status(), 409);
/// assert!(response.headers().contains_key("retry-after"));
/// assert_eq!(rejection.to_grpc().headers()["grpc-status"], "10");
/// assert!(response.body().ends_with(br#""status":409,"code":"lock_busy"}"#));
/// ```
#[derive(Debug)]
pub struct LockRejection {
    kind: RejectionKind,
    busy_status: StatusCode,
    retry_after: Duration,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RejectionKind {
    Busy,
    QueueFull,
    Unavailable,
    Closed,
    KeyInvalid,
    BodyBroken,
    BodyTooLarge,
    Misconfigured,
    #[cfg_attr(not(feature = "axum"), allow(dead_code, reason = "only extractors can miss it"))]
    NoLayer,
    Lost,
}

/// How a layer answers what it does not pass on.
#[derive(Debug, Clone)]
pub(crate) struct Answering {
    pub(crate) busy_status: StatusCode,
    pub(crate) retry_after: Duration,
    told: Arc<AtomicBool>,
}

impl Default for Answering {
    fn default() -> Self {
        Self { busy_status: StatusCode::CONFLICT, retry_after: Duration::from_secs(1), told: Arc::default() }
    }
}

impl Answering {
    /// `rejection` as this layer answers it. It goes into the log. A fault of the program is a warning once: further
    /// requests say the same.
    pub(crate) fn apply(&self, rejection: LockRejection) -> LockRejection {
        let known = rejection.is_programs_fault() && self.told.swap(true, Ordering::Relaxed);
        match known {
            true => rejection.report_again(),
            false => rejection.report(),
        }
        LockRejection { busy_status: self.busy_status, retry_after: jittered(self.retry_after), ..rejection }
    }
}

impl LockRejection {
    /// The status of the answer over HTTP.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.kind {
            RejectionKind::Busy => self.busy_status,
            RejectionKind::QueueFull => StatusCode::TOO_MANY_REQUESTS,
            RejectionKind::Unavailable | RejectionKind::Closed => StatusCode::SERVICE_UNAVAILABLE,
            RejectionKind::KeyInvalid | RejectionKind::BodyBroken => StatusCode::BAD_REQUEST,
            RejectionKind::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            RejectionKind::Misconfigured | RejectionKind::NoLayer | RejectionKind::Lost => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// The status of the answer over gRPC, by its number.
    #[must_use]
    pub fn grpc_status(&self) -> u8 {
        match self.kind {
            RejectionKind::KeyInvalid | RejectionKind::BodyBroken => 3,
            RejectionKind::QueueFull | RejectionKind::BodyTooLarge => 8,
            RejectionKind::Busy => 10,
            RejectionKind::Misconfigured | RejectionKind::NoLayer | RejectionKind::Lost => 13,
            RejectionKind::Unavailable | RejectionKind::Closed => 14,
        }
    }

    /// The machine-readable name of the answer, such as `"lock_busy"`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            RejectionKind::Busy => "lock_busy",
            RejectionKind::QueueFull => "lock_queue_full",
            RejectionKind::Unavailable => "lock_unavailable",
            RejectionKind::Closed => "lock_closed",
            RejectionKind::KeyInvalid => "lock_key_invalid",
            RejectionKind::BodyBroken => "body_broken",
            RejectionKind::BodyTooLarge => "body_too_large",
            RejectionKind::Misconfigured | RejectionKind::NoLayer => "lock_misconfigured",
            RejectionKind::Lost => "lock_lost",
        }
    }

    /// After how many whole seconds to try again, if that can help: at random between
    /// [`LockLayer::retry_after`](crate::LockLayer::retry_after) and twice that.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let helps = matches!(
            self.kind,
            RejectionKind::Busy
                | RejectionKind::QueueFull
                | RejectionKind::Unavailable
                | RejectionKind::Closed
        );
        helps.then_some(self.retry_after)
    }

    /// The answer over HTTP.
    #[must_use]
    pub fn to_http(&self) -> Response<Bytes> {
        let mut response = self.response("application/problem+json");
        *response.status_mut() = self.status();
        *response.body_mut() = self.problem().into();
        response
    }

    /// The answer over gRPC. It has no body, and what would be trailers is in the headers.
    #[must_use]
    pub fn to_grpc(&self) -> Response<Bytes> {
        let mut response = self.response("application/grpc");
        let headers = response.headers_mut();
        headers.insert("grpc-status", HeaderValue::from(u16::from(self.grpc_status())));
        headers.insert("grpc-message", HeaderValue::from_static(self.kind.title()));
        response
    }

    fn response(&self, content_type: &'static str) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(after) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        response
    }

    pub(crate) fn lost() -> Self {
        Self::new(RejectionKind::Lost)
    }

    pub(crate) fn queue_full() -> Self {
        Self::new(RejectionKind::QueueFull)
    }

    pub(crate) fn body_too_large() -> Self {
        Self::new(RejectionKind::BodyTooLarge)
    }

    pub(crate) fn body_broken(cause: Box<dyn StdError + Send + Sync>) -> Self {
        Self::new(RejectionKind::BodyBroken).caused_by(cause)
    }

    #[cfg(feature = "axum")]
    pub(crate) fn no_layer(cause: KeyError) -> Self {
        Self::new(RejectionKind::NoLayer).caused_by(cause)
    }

    pub(crate) fn is_unavailable(&self) -> bool {
        self.kind == RejectionKind::Unavailable
    }

    fn is_programs_fault(&self) -> bool {
        matches!(self.kind, RejectionKind::Misconfigured | RejectionKind::NoLayer)
    }

    fn new(kind: RejectionKind) -> Self {
        let Answering { busy_status, retry_after, .. } = Answering::default();
        Self { kind, busy_status, retry_after: jittered(retry_after), cause: None }
    }

    fn caused_by(self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    fn problem(&self) -> String {
        format!(
            r#"{{"title":"{}","status":{},"code":"{}"}}"#,
            self.kind.title(),
            self.status().as_u16(),
            self.code()
        )
    }

    /// What was told as a warning before.
    fn report_again(&self) {
        let (code, error) = (self.code(), self.source());
        tracing::debug!(code, error, "request not handled");
    }

    /// What the answer does not say goes into the log.
    pub(crate) fn report(&self) {
        let (code, error) = (self.code(), self.source());
        match self.kind {
            RejectionKind::Misconfigured | RejectionKind::NoLayer => {
                tracing::warn!(code, error, "{}", self.kind.title());
            }
            RejectionKind::Unavailable => tracing::warn!(code, error, "request not handled"),
            // The manager has logged the loss.
            RejectionKind::Lost => {}
            _ => tracing::debug!(code, error, "request not handled"),
        }
    }
}

impl RejectionKind {
    fn of(error: &LockError) -> Self {
        if !matches!(error.operation(), None | Some(Operation::Connect | Operation::Acquire)) {
            return Self::Lost;
        }
        match error.kind() {
            ErrorKind::Busy => Self::Busy,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Closed => Self::Closed,
            ErrorKind::InvalidKey => Self::KeyInvalid,
            ErrorKind::Lost => Self::Lost,
            _ => Self::Misconfigured,
        }
    }

    /// Goes into a JSON string and into a header as it is.
    fn title(self) -> &'static str {
        match self {
            Self::Busy => "Another request holds the lock",
            Self::QueueFull => "Too many requests wait for the lock",
            Self::Unavailable => "The lock service is unavailable",
            Self::Closed => "The server is shutting down",
            Self::KeyInvalid => "The request does not say what to lock",
            Self::BodyBroken => "The body of the request broke off",
            Self::BodyTooLarge => "The body of the request is too large",
            Self::Misconfigured => "The lock of this route is misconfigured",
            Self::NoLayer => "`Locked` was asked for on a route without `LockLayer`",
            Self::Lost => "The lock was lost while the request was handled",
        }
    }
}

/// Whole seconds from `span` up to twice that. Less than one becomes one: zero would mean "at once".
fn jittered(span: Duration) -> Duration {
    let rounded_up = span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0)).max(1);
    Duration::from_secs(rounded_up.saturating_add(fastrand::u64(0..=rounded_up)))
}

/// Whether the answer has to be one of gRPC. Its own variants have a suffix; gRPC-Web is another protocol, which
/// has the word in it, too.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return false };
    match content_type.as_bytes().strip_prefix(b"application/grpc") {
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';')),
        None => false,
    }
}

impl From<LockError> for LockRejection {
    fn from(error: LockError) -> Self {
        Self::new(RejectionKind::of(&error)).caused_by(error)
    }
}

impl From<KeyError> for LockRejection {
    fn from(error: KeyError) -> Self {
        let kind =
            if error.is_client_fault() { RejectionKind::KeyInvalid } else { RejectionKind::Misconfigured };
        Self::new(kind).caused_by(error)
    }
}

impl fmt::Display for LockRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.title())
    }
}

impl StdError for LockRejection {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [ErrorKind; 13] = [
        ErrorKind::Busy,
        ErrorKind::Unavailable,
        ErrorKind::Lost,
        ErrorKind::InvalidKey,
        ErrorKind::InvalidOption,
        ErrorKind::Auth,
        ErrorKind::Corrupt,
        ErrorKind::Closed,
        ErrorKind::NotConfigured,
        ErrorKind::Unsupported,
        ErrorKind::SequenceExhausted,
        ErrorKind::NotHeld,
        ErrorKind::Reentrant,
    ];

    fn rejection(kind: ErrorKind, operation: Operation) -> LockRejection {
        LockError::new(kind, "detail").with_operation(operation).into()
    }

    #[test]
    fn retry_after_is_there_exactly_if_the_handler_did_not_run_and_trying_again_helps() {
        for kind in KINDS {
            let response = rejection(kind, Operation::Acquire).to_http();
            let again = matches!(response.status().as_u16(), 409 | 503);
            assert_eq!(response.headers().contains_key(RETRY_AFTER), again, "{kind:?}");
        }
    }

    #[test]
    fn an_error_after_the_work_began_is_a_loss() {
        for kind in KINDS {
            for operation in [Operation::Renew, Operation::Release, Operation::Run] {
                let rejection = rejection(kind, operation);
                assert_eq!((rejection.code(), rejection.retry_after()), ("lock_lost", None), "{kind:?}");
            }
        }
    }

    #[test]
    fn each_kind_has_its_answer() {
        let answers = KINDS.map(|kind| {
            let rejection = rejection(kind, Operation::Acquire);
            (rejection.status().as_u16(), rejection.code())
        });
        let misconfigured = (500, "lock_misconfigured");
        assert_eq!(
            answers,
            [
                (409, "lock_busy"),
                (503, "lock_unavailable"),
                (500, "lock_lost"),
                (400, "lock_key_invalid"),
                misconfigured,
                misconfigured,
                misconfigured,
                (503, "lock_closed"),
                misconfigured,
                misconfigured,
                misconfigured,
                misconfigured,
                misconfigured,
            ]
        );
    }

    /// Every rejection there is.
    fn all() -> impl Iterator<Item = LockRejection> {
        [
            RejectionKind::Busy,
            RejectionKind::QueueFull,
            RejectionKind::Unavailable,
            RejectionKind::Closed,
            RejectionKind::KeyInvalid,
            RejectionKind::BodyBroken,
            RejectionKind::BodyTooLarge,
            RejectionKind::Misconfigured,
            RejectionKind::NoLayer,
            RejectionKind::Lost,
        ]
        .into_iter()
        .map(LockRejection::new)
    }

    #[test]
    fn both_protocols_say_the_same() {
        let answers: Vec<_> = all()
            .map(|rejection| {
                let (http, grpc) = (rejection.to_http(), rejection.to_grpc());
                let after = http.headers().contains_key(RETRY_AFTER);
                assert_eq!(after, grpc.headers().contains_key(RETRY_AFTER));
                assert_eq!((grpc.status(), grpc.body().len()), (StatusCode::OK, 0));
                assert_eq!(grpc.headers()[CONTENT_TYPE], "application/grpc");
                assert_eq!(grpc.headers()["grpc-message"], rejection.to_string());
                let status = grpc.headers()["grpc-status"].to_str().unwrap().to_owned();
                (rejection.code(), http.status().as_u16(), status, after)
            })
            .collect();
        let expected = [
            ("lock_busy", 409, "10", true),
            ("lock_queue_full", 429, "8", true),
            ("lock_unavailable", 503, "14", true),
            ("lock_closed", 503, "14", true),
            ("lock_key_invalid", 400, "3", false),
            ("body_broken", 400, "3", false),
            ("body_too_large", 413, "8", false),
            ("lock_misconfigured", 500, "13", false),
            ("lock_misconfigured", 500, "13", false),
            ("lock_lost", 500, "13", false),
        ];
        assert_eq!(answers, expected.map(|(code, http, grpc, after)| (code, http, grpc.to_owned(), after)));
    }

    #[test]
    fn grpc_is_told_by_the_content_type() {
        let is = |content_type| {
            is_grpc(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]))
        };
        assert!(["application/grpc", "application/grpc+proto", "application/grpc;x=y"].into_iter().all(is));
        assert!(
            !["application/json", "application/grpc-web", "text/application/grpc", ""].into_iter().any(is)
        );
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn retry_after_is_whole_seconds_up_to_twice_as_long_and_not_always_the_same() {
        for (millis, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (60_000, 60)] {
            let said: std::collections::BTreeSet<_> =
                (0..200).map(|_| jittered(Duration::from_millis(millis)).as_secs()).collect();
            assert!(said.iter().all(|said| (seconds..=2 * seconds).contains(said)), "{said:?}");
            assert!(said.len() > 1, "{said:?}");
        }
        assert!(jittered(Duration::MAX) > Duration::ZERO, "and does not overflow");
    }

    #[test]
    fn the_answer_is_a_problem_without_the_key() {
        let key = dlock_core::LockKey::new("order:4711").unwrap();
        let error = LockError::new(ErrorKind::Busy, "another owner held it").with_key(&key);
        let answering = Answering { busy_status: StatusCode::LOCKED, ..Answering::default() };
        let response = answering.apply(error.into()).to_http();
        assert_eq!(response.status(), StatusCode::LOCKED);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            response.body(),
            r#"{"title":"Another request holds the lock","status":423,"code":"lock_busy"}"#
        );
    }

    /// What is logged from level info upwards while a layer answers `rejections`.
    fn logged(rejections: impl IntoIterator<Item = LockRejection>) -> String {
        #[derive(Clone, Default)]
        struct Log(Arc<std::sync::Mutex<Vec<u8>>>);
        impl std::io::Write for Log {
            fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(text)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let answering = Answering::default();
        // While there is only one subscriber, an event that another test's thread is the first to reach is off for good.
        let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        tracing::subscriber::with_default(subscriber, || {
            rejections.into_iter().for_each(|rejection| drop(answering.apply(rejection)));
        });
        let text = log.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_fault_of_the_program_is_logged_once_and_one_of_the_client_is_not() {
        let wiring = || KeyError::wiring("put the layer elsewhere").into();
        let log = logged([wiring(), wiring()]);
        assert!(log.contains("WARN") && log.contains("put the layer elsewhere"), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
        assert_eq!(logged([KeyError::client("no header").into()]), "");
        assert_eq!(logged([rejection(ErrorKind::Busy, Operation::Acquire)]), "");
    }
}
