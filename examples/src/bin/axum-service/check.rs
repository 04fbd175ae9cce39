//! Asks the running service: what excludes each other loses nothing.

use anyhow::{Context as _, ensure};
use axum::body::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::task::JoinSet;

/// Shipments that come at the same time, and changes of address among them.
const SHIPMENTS: u32 = 40;

pub(crate) async fn all(service: SocketAddr) -> anyhow::Result<()> {
    let client = Customer { http: Client::builder(TokioExecutor::new()).build_http(), service };
    let mut requests = JoinSet::new();
    for number in 0..SHIPMENTS {
        let (shipping, moving) = (client.clone(), client.clone());
        requests.spawn(async move { shipping.ask(Method::POST, "/orders/42/ship", "").await });
        let address = format!("Elm Street {number}");
        requests.spawn(async move { moving.ask(Method::PUT, "/orders/42/address", &address).await });
    }
    while let Some(answer) = requests.join_next().await {
        let (status, body) = answer??;
        ensure!(status == StatusCode::OK, "answered {status}: {body}");
    }
    let (_, nightly) = client.ask(Method::POST, "/nightly", "").await?;
    ensure!(nightly.contains("done"), "the nightly job said: {nightly}");
    let (_, body) = client.ask(Method::GET, "/orders/42", "").await?;
    let order: Value = serde_json::from_str(&body)?;
    ensure!(
        order.get("parcels") == Some(&SHIPMENTS.into()),
        "{SHIPMENTS} shipments, but the order says: {order}"
    );
    println!("{SHIPMENTS} shipments and {SHIPMENTS} changes of address at once, none lost: {order}");
    Ok(())
}

#[derive(Clone)]
struct Customer {
    http: Client<HttpConnector, Full<Bytes>>,
    service: SocketAddr,
}

impl Customer {
    async fn ask(&self, method: Method, path: &str, body: &str) -> anyhow::Result<(StatusCode, String)> {
        let uri = format!("http://{}{path}", self.service);
        let request = Request::builder().method(method).uri(uri).body(Full::from(body.to_owned()))?;
        let response = self.http.request(request).await.context("the service does not answer")?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}
