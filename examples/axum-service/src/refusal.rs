//! Why a request was not carried out.

use crate::shop::Stale;
use axum::response::{IntoResponse, Response};
use dlock_core::LockError;
use dlock_tower::LockRejection;
use http::StatusCode;

pub(crate) enum Refusal {
    /// The lock was not acquired, or lost.
    Lock(LockRejection),
    /// The database has seen a greater token.
    Stale,
    /// The idempotency key is no text.
    NoText,
    /// Something else was paid with this idempotency key.
    OtherPayment,
    /// The database failed.
    Database(anyhow::Error),
}

impl From<LockError> for Refusal {
    fn from(error: LockError) -> Self {
        Self::Lock(error.into())
    }
}

impl From<Stale> for Refusal {
    fn from(Stale: Stale) -> Self {
        Self::Stale
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Lock(rejection) => rejection.into_response(),
            Self::Stale => (StatusCode::CONFLICT, "a newer holder of the lock was faster\n").into_response(),
            Self::NoText => (StatusCode::BAD_REQUEST, "the idempotency key is no text\n").into_response(),
            Self::OtherPayment => {
                (StatusCode::UNPROCESSABLE_ENTITY, "this key paid something else\n").into_response()
            }
            Self::Database(error) => {
                eprintln!("error: {error:#}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
