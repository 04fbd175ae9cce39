//! A router of axum with the layer and without it, called without a network.

use super::{Cycle, LEASE, dlock};
use anyhow::Result;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::get;
use dlock_tower::{Key, LockLayer};
use http::Request;
use tower::ServiceExt as _;

/// A service that answers one request after the other.
pub(crate) struct Router(axum::Router);

pub(crate) fn bare() -> Router {
    Router(axum::Router::new().route("/orders/{id}", get(answer)))
}

pub(crate) fn with_layer() -> Result<Router> {
    let layer = LockLayer::new(dlock::embedded(LEASE)?, Key::new("order").path_param("id"));
    Ok(Router(axum::Router::new().route("/orders/{id}", get(answer).route_layer(layer))))
}

async fn answer(Path(id): Path<u64>) -> String {
    id.to_string()
}

impl Cycle for Router {
    /// The body is read to its end, where the layer releases.
    async fn cycle(&self) -> Result<()> {
        let request = Request::get("/orders/42").body(Body::empty())?;
        let response = self.0.clone().oneshot(request).await?;
        anyhow::ensure!(response.status().is_success(), "the router answered {}", response.status());
        axum::body::to_bytes(response.into_body(), usize::MAX).await?;
        Ok(())
    }
}
