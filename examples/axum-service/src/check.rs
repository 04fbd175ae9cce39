//! Asks the running service: what excludes each other loses nothing.

use anyhow::{Context as _, ensure};
use axum::body::Bytes;
use http::header::CONTENT_TYPE;
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
/// One payment, sent so often.
const REPEATS: usize = 20;
const REPORTS: usize = 4;

pub(crate) async fn all(service: SocketAddr) -> anyhow::Result<()> {
    let http = Client::builder(TokioExecutor::new()).build_http();
    // An order and a payment that are new, whatever database and locks there are already.
    let customer = Customer { http, service, order: fastrand::u32(1..1 << 31) };
    customer.ship_and_move().await?;
    customer.pay_again_and_again().await?;
    customer.report_at_once().await?;
    let (_, nightly) = customer.ask(Method::POST, "/nightly", &[], "").await?;
    ensure!(nightly.contains("the job is"), "the nightly job said: {nightly}");
    println!("the nightly job: {}", nightly.trim_end());
    Ok(())
}

#[derive(Clone)]
struct Customer {
    http: Client<HttpConnector, Full<Bytes>>,
    service: SocketAddr,
    order: u32,
}

impl Customer {
    async fn ship_and_move(&self) -> anyhow::Result<()> {
        let mut requests = JoinSet::new();
        for number in 0..SHIPMENTS {
            let (shipping, moving) = (self.clone(), self.clone());
            let order = self.order;
            requests.spawn(async move {
                shipping.ask(Method::POST, &format!("/orders/{order}/ship"), &[], "").await
            });
            let address = format!("Elm Street {number}");
            requests.spawn(async move {
                moving.ask(Method::PUT, &format!("/orders/{order}/address"), &[], &address).await
            });
        }
        all_ok(requests).await?;
        let order = self.order().await?;
        ensure!(
            order.get("parcels") == Some(&SHIPMENTS.into()),
            "{SHIPMENTS} shipments, but it says: {order}"
        );
        println!("{SHIPMENTS} shipments and {SHIPMENTS} changes of address at once, none lost: {order}");
        Ok(())
    }

    async fn pay_again_and_again(&self) -> anyhow::Result<()> {
        let key = format!("payment of {}", self.order);
        let mut requests = JoinSet::new();
        for _ in 0..REPEATS {
            let (customer, key) = (self.clone(), key.clone());
            requests.spawn(async move { customer.pay(Some(&key), 1_000).await });
        }
        all_ok(requests).await?;
        let order = self.order().await?;
        ensure!(order.get("paid_cents") == Some(&1_000.into()), "paid {REPEATS} times with one key: {order}");
        let (status, _) = self.pay(Some(&key), 999).await?;
        ensure!(status == StatusCode::UNPROCESSABLE_ENTITY, "another payment with this key: {status}");
        let (status, body) = self.pay(None, 1_000).await?;
        ensure!(status == StatusCode::BAD_REQUEST && body.contains("lock_key_invalid"), "{status}: {body}");
        println!("one payment sent {REPEATS} times at once, charged once; without a key it is refused");
        Ok(())
    }

    async fn report_at_once(&self) -> anyhow::Result<()> {
        let mut requests = JoinSet::new();
        for _ in 0..REPORTS {
            let customer = self.clone();
            requests.spawn(async move { customer.ask(Method::GET, "/reports/orders", &[], "").await });
        }
        for report in all_ok(requests).await? {
            let own = format!("{};Elm Street", self.order);
            ensure!(report.contains(&own), "the order is missing: {report}");
            ensure!(report.ends_with("reports at once: 1\n"), "{report}");
        }
        println!("{REPORTS} reports asked for at once, streamed one after the other");
        Ok(())
    }

    async fn order(&self) -> anyhow::Result<Value> {
        let (_, body) = self.ask(Method::GET, &format!("/orders/{}", self.order), &[], "").await?;
        Ok(serde_json::from_str(&body)?)
    }

    async fn pay(&self, key: Option<&str>, cents: u32) -> anyhow::Result<(StatusCode, String)> {
        let body = serde_json::json!({ "order": self.order, "cents": cents }).to_string();
        let json = (CONTENT_TYPE.as_str(), "application/json");
        let headers: Vec<_> = key.map(|key| ("idempotency-key", key)).into_iter().chain([json]).collect();
        self.ask(Method::POST, "/payments", &headers, &body).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> anyhow::Result<(StatusCode, String)> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.service));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned()))?;
        let response = self.http.request(request).await.context("the service does not answer")?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// The bodies, if all were answered with 200.
async fn all_ok(mut requests: JoinSet<anyhow::Result<(StatusCode, String)>>) -> anyhow::Result<Vec<String>> {
    let mut bodies = Vec::new();
    while let Some(answer) = requests.join_next().await {
        let (status, body) = answer??;
        ensure!(status == StatusCode::OK, "answered {status}: {body}");
        bodies.push(body);
    }
    Ok(bodies)
}
