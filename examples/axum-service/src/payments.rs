//! Payments: requests with one idempotency key one after the other. The first pays; the others find what it paid.
//!
//! The lock alone would only put them in a row, and each would pay.

use crate::refusal::Refusal;
use crate::routes::{App, think};
use crate::shop::Payment;
use axum::Json;
use axum::extract::State;
use dlock_core::LockManager;
use dlock_tower::{Key, LockLayer, ReadFirst};
use http::HeaderMap;
use std::time::Duration;

const HEADER: &str = "idempotency-key";

/// A request without the header is refused with 400. The body is read before the lock is asked for, so that no request
/// waits for a slow client.
pub(crate) fn one_payment(locks: &LockManager) -> LockLayer<ReadFirst> {
    let layer = LockLayer::new(locks.clone(), Key::new("payment").header(HEADER));
    layer.wait(Duration::from_secs(5)).read_body_first(64 * 1024)
}

pub(crate) async fn pay(
    State(app): State<App>,
    headers: HeaderMap,
    Json(payment): Json<Payment>,
) -> Result<Json<Payment>, Refusal> {
    let key = headers.get(HEADER).and_then(|key| key.to_str().ok()).ok_or(Refusal::NoText)?;
    if let Some(paid) = app.shop.payment(key).await? {
        return if paid == payment { Ok(Json(paid)) } else { Err(Refusal::OtherPayment) };
    }
    think().await;
    app.shop.charge(payment).await?;
    app.shop.note(key, payment).await??;
    Ok(Json(payment))
}
