//! The parts for tonic: named services, statuses.

use crate::rejection::LockRejection;
use crate::service::Lock;
use ::tonic::metadata::MetadataMap;
use ::tonic::server::NamedService;
use ::tonic::{Code, Status};
use http::header::RETRY_AFTER;

/// So that one service of a server can have a lock of its own: `add_service(layer.layer(GreeterServer::new(…)))`.
impl<S: NamedService, M> NamedService for Lock<S, M> {
    const NAME: &'static str = S::NAME;
}

/// So that a method with the attribute `#[distributed_lock]` can answer as the layer does, `Retry-After` included.
///
/// ```
/// use dlock_core::{ErrorKind, LockError};
/// use dlock_tower::LockRejection;
///
/// let busy = LockError::new(ErrorKind::Busy, "another owner held it");
/// let status = tonic::Status::from(LockRejection::from(busy));
/// assert_eq!(status.code(), tonic::Code::Aborted);
/// assert_eq!(status.message(), "Another request holds the lock");
/// assert!(status.metadata().contains_key("retry-after"));
/// ```
impl From<LockRejection> for Status {
    fn from(rejection: LockRejection) -> Self {
        rejection.report();
        let mut headers = http::HeaderMap::new();
        if let Some(after) = rejection.retry_after() {
            headers.insert(RETRY_AFTER, after.as_secs().into());
        }
        let code = Code::from_i32(rejection.grpc_status().into());
        Self::with_metadata(code, rejection.to_string(), MetadataMap::from_headers(headers))
    }
}
