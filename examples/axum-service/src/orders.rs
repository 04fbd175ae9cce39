//! Orders: one writer each, named by the path. Each handler reads, thinks and writes, as if it were alone.

use crate::refusal::Refusal;
use crate::routes::{App, think};
use crate::shop::Order;
use axum::Json;
use axum::extract::{Path, State};
use dlock_core::{FencingToken, LockManager, distributed_lock};
use dlock_tower::{Key, LockLayer, Locked};
use std::time::Duration;

pub(crate) fn one_writer(locks: &LockManager) -> LockLayer {
    LockLayer::new(locks.clone(), Key::new("order").path_param("id").parsed_as::<u32>())
        .wait(Duration::from_secs(5))
}

pub(crate) async fn read(State(app): State<App>, Path(id): Path<u32>) -> Result<Json<Order>, Refusal> {
    Ok(Json(app.shop.order(id).await?))
}

/// The layer has the lock before this is called, and lets it go when the response is sent.
pub(crate) async fn change_address(
    State(app): State<App>,
    locked: Locked,
    Path(id): Path<u32>,
    address: String,
) -> Result<Json<Order>, Refusal> {
    let before = app.shop.read(id, locked.token()).await??;
    write(&app, Order { address, ..before }, locked.token()).await
}

/// The annotation locks the same thing, so a shipment and a change of address exclude each other.
#[distributed_lock("order:{id}", wait = "5s", locks = app, guard = lock)]
pub(crate) async fn ship(State(app): State<App>, Path(id): Path<u32>) -> Result<Json<Order>, Refusal> {
    let before = app.shop.read(id, lock.token()).await??;
    let parcels = before.parcels + 1;
    write(&app, Order { parcels, ..before }, lock.token()).await
}

async fn write(app: &App, order: Order, token: FencingToken) -> Result<Json<Order>, Refusal> {
    think().await;
    app.shop.write(order.clone(), token).await??;
    Ok(Json(order))
}
