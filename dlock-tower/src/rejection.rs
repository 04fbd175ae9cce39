//! The answers the layer gives itself.

use crate::key::KeyError;
use bytes::Bytes;
use dlock_core::{ErrorKind, LockError, Operation};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// Why a request was not handled under its lock, as an answer.
///
/// | `code` | status | `Retry-After` | when |
/// |---|---|---|---|
/// | `lock_busy` | 409 | yes | another owner held the lock for the whole wait |
/// | `lock_unavailable` | 503 | yes | the backend did not answer in time |
/// | `lock_closed` | 503 | yes | the manager is closed: the server is shutting down |
/// | `lock_key_invalid` | 400 | no | the request does not say what to lock, or in no valid form |
/// | `lock_misconfigured` | 500 | no | the route, the manager or the backend is set up wrongly; logged |
/// | `lock_lost` | 500 | no | the lock was lost while the handler ran |
///
/// `Retry-After` is there exactly when the handler did not run and trying again can help. The body is
/// `application/problem+json` with `title`, `status` and `code`; the key is never in it.
///
/// Handlers with the attribute `#[distributed_lock]` can return `Result<_, LockRejection>`: it is made of a
/// [`LockError`]. An error of anything but acquiring, such as a failed release, counts as `lock_lost`, since
/// the work was begun.
///
/// ```
/// use dlock_core::{ErrorKind, LockError};
/// use dlock_tower::LockRejection;
///
/// let rejection = LockRejection::from(LockError::new(ErrorKind::Busy, "another owner held it"));
/// let response = rejection.to_http();
/// assert_eq!(response.status(), 409);
/// assert_eq!(response.headers()["retry-after"], "1");
/// assert!(response.body().ends_with(br#""status":409,"code":"lock_busy"}"#));
/// ```
#[derive(Debug)]
pub struct LockRejection {
    kind: Kind,
    busy_status: StatusCode,
    retry_after: Duration,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Busy,
    Unavailable,
    Closed,
    KeyInvalid,
    Misconfigured,
    #[cfg_attr(not(feature = "axum"), allow(dead_code, reason = "only extractors can miss it"))]
    NoLayer,
    Lost,
}

impl LockRejection {
    pub(crate) const BUSY_STATUS: StatusCode = StatusCode::CONFLICT;
    pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.kind {
            Kind::Busy => self.busy_status,
            Kind::Unavailable | Kind::Closed => StatusCode::SERVICE_UNAVAILABLE,
            Kind::KeyInvalid => StatusCode::BAD_REQUEST,
            Kind::Misconfigured | Kind::NoLayer | Kind::Lost => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The machine-readable name of the answer, such as `"lock_busy"`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            Kind::Busy => "lock_busy",
            Kind::Unavailable => "lock_unavailable",
            Kind::Closed => "lock_closed",
            Kind::KeyInvalid => "lock_key_invalid",
            Kind::Misconfigured | Kind::NoLayer => "lock_misconfigured",
            Kind::Lost => "lock_lost",
        }
    }

    /// After how long to try again, if that can help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        matches!(self.kind, Kind::Busy | Kind::Unavailable | Kind::Closed).then_some(self.retry_after)
    }

    /// The answer.
    #[must_use]
    pub fn to_http(&self) -> Response<Bytes> {
        let mut response = Response::new(self.problem().into());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        response
    }

    /// The answer, given for good: what it does not say goes into the log.
    pub(crate) fn answer(&self) -> Response<Bytes> {
        self.report();
        self.to_http()
    }

    pub(crate) fn lost() -> Self {
        Self::new(Kind::Lost)
    }

    #[cfg(feature = "axum")]
    pub(crate) fn no_layer() -> Self {
        Self::new(Kind::NoLayer)
    }

    pub(crate) fn answered_with(self, busy_status: StatusCode, retry_after: Duration) -> Self {
        Self { busy_status, retry_after, ..self }
    }

    fn new(kind: Kind) -> Self {
        Self { kind, busy_status: Self::BUSY_STATUS, retry_after: Self::RETRY_AFTER, cause: None }
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

    fn report(&self) {
        let (code, error) = (self.code(), self.source());
        match self.kind {
            Kind::Misconfigured | Kind::NoLayer => tracing::warn!(code, error, "{}", self.kind.title()),
            Kind::Unavailable => tracing::warn!(code, error, "request not handled"),
            Kind::Busy | Kind::Closed | Kind::KeyInvalid => {
                tracing::debug!(code, error, "request not handled");
            }
            // The manager has told of it.
            Kind::Lost => {}
        }
    }
}

impl Kind {
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

    /// Goes into a JSON string as it is.
    fn title(self) -> &'static str {
        match self {
            Self::Busy => "Another request holds the lock",
            Self::Unavailable => "The lock service is unavailable",
            Self::Closed => "The server is shutting down",
            Self::KeyInvalid => "The request does not say what to lock",
            Self::Misconfigured => "The lock of this route is misconfigured",
            Self::NoLayer => "`Locked` was asked for on a route without `LockLayer`",
            Self::Lost => "The lock was lost while the request was handled",
        }
    }
}

/// Sub-second waits become a second: zero would mean "at once".
fn whole_seconds(span: Duration) -> u64 {
    let rounded_up = span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0));
    rounded_up.max(1)
}

impl From<LockError> for LockRejection {
    fn from(error: LockError) -> Self {
        Self::new(Kind::of(&error)).caused_by(error)
    }
}

impl From<KeyError> for LockRejection {
    fn from(error: KeyError) -> Self {
        let kind = if error.is_client_fault() { Kind::KeyInvalid } else { Kind::Misconfigured };
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

    const KINDS: [ErrorKind; 12] = [
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
            ]
        );
    }

    #[test]
    fn retry_after_is_sent_in_whole_seconds() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (60_000, "60")] {
            let rejection = rejection(ErrorKind::Busy, Operation::Acquire)
                .answered_with(StatusCode::CONFLICT, Duration::from_millis(millis));
            assert_eq!(rejection.to_http().headers()[RETRY_AFTER], seconds);
        }
    }

    #[test]
    fn the_answer_is_a_problem_without_the_key() {
        let key = dlock_core::LockKey::new("order:4711").unwrap();
        let error = LockError::new(ErrorKind::Busy, "another owner held it").with_key(&key);
        let response = LockRejection::from(error).answered_with(StatusCode::LOCKED, Duration::ZERO).to_http();
        assert_eq!(response.status(), StatusCode::LOCKED);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            response.body(),
            r#"{"title":"Another request holds the lock","status":423,"code":"lock_busy"}"#
        );
    }

    /// What is logged from level info upwards while `rejection` is answered.
    fn logged(rejection: &LockRejection) -> String {
        #[derive(Clone, Default)]
        struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
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
        tracing::subscriber::with_default(subscriber, || rejection.answer());
        let text = log.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_fault_of_the_program_is_logged_with_its_detail_and_one_of_the_client_is_not() {
        let log = logged(&KeyError::wiring("put the layer elsewhere").into());
        assert!(log.contains("WARN") && log.contains("put the layer elsewhere"), "{log}");
        assert_eq!(logged(&KeyError::client("no header").into()), "");
        assert_eq!(logged(&rejection(ErrorKind::Busy, Operation::Acquire)), "");
    }
}
