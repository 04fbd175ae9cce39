//! The routes, and what their handlers share.

use crate::orders::{change_address, one_writer, read, ship};
use crate::payments::{one_payment, pay};
use crate::refusal::Refusal;
use crate::reports::{Reports, one_report, report};
use crate::shop::Shop;
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post, put};
use dlock_core::LockManager;
use std::time::Duration;

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) locks: LockManager,
    pub(crate) shop: Shop,
    pub(crate) reports: Reports,
}

impl App {
    pub(crate) fn new(locks: LockManager, shop: Shop) -> Self {
        Self { locks, shop, reports: Reports::default() }
    }
}

impl AsRef<LockManager> for App {
    fn as_ref(&self) -> &LockManager {
        &self.locks
    }
}

pub(crate) fn router(app: App) -> Router {
    let locks = &app.locks;
    Router::new()
        .route("/orders/{id}", get(read))
        .route("/orders/{id}/address", put(change_address).route_layer(one_writer(locks)))
        .route("/orders/{id}/ship", post(ship))
        .route("/payments", post(pay).route_layer(one_payment(locks)))
        .route("/reports/{name}", get(report).route_layer(one_report(locks)))
        .route("/nightly", post(nightly))
        .with_state(app)
}

/// By hand: a request that comes while the job runs is told so, and does not wait.
async fn nightly(State(app): State<App>) -> Result<&'static str, Refusal> {
    let Some(guard) = app.locks.lock("nightly").try_acquire().await? else {
        return Ok("the job is running already\n");
    };
    guard.run(think()).await?;
    guard.release().await?;
    Ok("the job is done\n")
}

/// Where a real service would call a second service.
pub(crate) async fn think() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}
