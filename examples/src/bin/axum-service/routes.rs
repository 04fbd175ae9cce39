//! The routes. Each handler reads, thinks and writes, as if it were alone.

use crate::orders::{Order, Orders, Stale};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use dlock_core::{FencingToken, LockError, LockManager, distributed_lock};
use dlock_tower::{Key, LockLayer, LockRejection, Locked};
use http::StatusCode;
use std::time::Duration;

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) locks: LockManager,
    pub(crate) orders: Orders,
}

impl AsRef<LockManager> for App {
    fn as_ref(&self) -> &LockManager {
        &self.locks
    }
}

pub(crate) fn router(app: App) -> Router {
    let one_writer =
        LockLayer::new(app.locks.clone(), Key::new("order").path_param("id")).wait(Duration::from_secs(2));
    Router::new()
        .route("/orders/{id}", get(read))
        .route("/orders/{id}/address", put(change_address).route_layer(one_writer))
        .route("/orders/{id}/ship", post(ship))
        .route("/nightly", post(nightly))
        .with_state(app)
}

async fn read(State(app): State<App>, Path(id): Path<u64>) -> Json<Order> {
    Json(app.orders.read(id))
}

/// The layer has the lock before this is called, and lets it go when the response is sent.
async fn change_address(
    State(app): State<App>,
    locked: Locked,
    Path(id): Path<u64>,
    address: String,
) -> Result<Json<Order>, Refusal> {
    let order = Order { address, ..app.orders.read(id) };
    write(&app, id, order, locked.token()).await
}

/// The annotation locks the same thing, so a shipment and a change of address exclude each other.
#[distributed_lock("order:{id}", wait = "2s", locks = app, guard = lock)]
async fn ship(State(app): State<App>, Path(id): Path<u64>) -> Result<Json<Order>, Refusal> {
    let before = app.orders.read(id);
    let order = Order { parcels: before.parcels + 1, ..before };
    write(&app, id, order, lock.token()).await
}

/// By hand: whoever comes while the job runs is told so, and does not wait.
async fn nightly(State(app): State<App>) -> Result<&'static str, Refusal> {
    let Some(guard) = app.locks.lock("nightly").try_acquire().await? else {
        return Ok("the job is running already\n");
    };
    guard.run(think()).await?;
    guard.release().await?;
    Ok("the job is done\n")
}

async fn write(app: &App, id: u64, order: Order, token: FencingToken) -> Result<Json<Order>, Refusal> {
    think().await;
    app.orders.write(id, order, token)?;
    Ok(Json(app.orders.read(id)))
}

/// Where a real service would ask another one.
async fn think() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Why a request was not carried out.
pub(crate) enum Refusal {
    /// The lock was not acquired, or lost.
    Lock(LockRejection),
    /// The store has seen a greater token.
    Stale,
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

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Lock(rejection) => rejection.into_response(),
            Self::Stale => (StatusCode::CONFLICT, "somebody else was faster\n").into_response(),
        }
    }
}
