//! axum handlers under a lock.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use dlock_core::{ErrorKind, LockError, LockManager, assert_locked, distributed_lock};
use tower::ServiceExt as _;

#[derive(Clone)]
struct App {
    locks: LockManager,
}

impl AsRef<LockManager> for App {
    fn as_ref(&self) -> &LockManager {
        &self.locks
    }
}

struct Refused(ErrorKind);

impl From<LockError> for Refused {
    fn from(error: LockError) -> Self {
        Self(error.kind())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let busy = self.0 == ErrorKind::Busy;
        if busy { StatusCode::CONFLICT } else { StatusCode::INTERNAL_SERVER_ERROR }.into_response()
    }
}

#[distributed_lock("order:{id}", locks = app, wait = "0s", guard = lock)]
#[axum::debug_handler]
async fn on_top(Path(id): Path<u64>, State(app): State<App>) -> Result<impl IntoResponse, Refused> {
    assert!(app.locks.lock(lock.key()).try_acquire().await?.is_none());
    assert_locked!("order:{id}");
    Ok(lock.token().to_string())
}

#[axum::debug_handler]
#[distributed_lock("order:{id}", locks = app, wait = "0s")]
async fn below(Path(id): Path<u64>, State(app): State<App>) -> Result<impl IntoResponse, Refused> {
    let _state = app;
    assert_locked!("order:{id}");
    Ok(id.to_string())
}

#[tokio::test]
async fn a_handler_is_locked_with_its_debug_attribute_above_and_below() {
    let locks = LockManager::connect("memory:").await.unwrap();
    let app = Router::new()
        .route("/top/{id}", post(on_top))
        .route("/below/{id}", post(below))
        .with_state(App { locks: locks.clone() });
    let status = async |path: &str| {
        let request = Request::post(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap().status()
    };
    for path in ["/top/42", "/below/42"] {
        assert_eq!(status(path).await, StatusCode::OK, "{path}");
        let held = locks.lock("order:42").await.unwrap();
        assert_eq!(status(path).await, StatusCode::CONFLICT, "{path}");
        held.release().await.unwrap();
    }
}
