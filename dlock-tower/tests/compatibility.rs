//! The same layer on other stacks: tonic's server, one of its services, its client; hyper without a router.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{Failing, LONG, Probe, assert_freed, soon};
use dlock_core::{ErrorKind, LockManager};
use dlock_tower::{Key, LockLayer, Locked};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

/// The path of the one method there is, and the key of its lock.
const METHOD: &str = "/test.Greeter/Hello";
const KEY: &str = "rpc:%2Ftest.Greeter%2FHello";

fn layer(locks: &LockManager) -> LockLayer {
    LockLayer::new(locks.clone(), Key::new("rpc").uri_path()).try_once()
}

/// A service of gRPC that answers with an empty message, and only under a lock.
#[derive(Clone)]
struct Greeter;

impl NamedService for Greeter {
    const NAME: &'static str = "test.Greeter";
}

impl Service<Request<Body>> for Greeter {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let status = if request.extensions().get::<Locked>().is_some() { "0" } else { "2" };
        let response = Response::builder().header("content-type", "application/grpc");
        ready(Ok(response.header("grpc-status", status).body(Body::empty()).unwrap()))
    }
}

fn listen() -> (TcpIncoming, SocketAddr) {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    (incoming, address)
}

fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

fn call() -> Request<Body> {
    let request = Request::post(METHOD).header("content-type", "application/grpc").header("te", "trailers");
    request.body(Body::empty()).unwrap()
}

/// What a call comes to, and whether it says when to try again.
async fn grpc_status<B>(
    service: impl Service<Request<Body>, Response = Response<B>, Error: std::fmt::Debug>,
) -> (String, bool) {
    let response = soon(service.oneshot(call())).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let status = response.headers().get("grpc-status").unwrap().to_str().unwrap().to_owned();
    (status, response.headers().contains_key("retry-after"))
}

/// What a client is told while the method is free, and while another has it.
async fn assert_locks(locks: &LockManager, address: SocketAddr) {
    assert_eq!(grpc_status(channel(address)).await, ("0".to_owned(), false));
    let holder = locks.lock(KEY).wait(LONG).await.unwrap();
    assert_eq!(grpc_status(channel(address)).await, ("10".to_owned(), true));
    holder.release().await.unwrap();
}

#[tokio::test]
async fn a_layer_on_a_server_of_tonic() {
    let locks = Probe::default().manager();
    let (incoming, address) = listen();
    let server = Server::builder().layer(layer(&locks)).add_service(Greeter);
    tokio::spawn(server.serve_with_incoming(incoming));
    assert_locks(&locks, address).await;
}

#[tokio::test]
async fn a_layer_on_one_service_of_tonic() {
    let locks = Probe::default().manager();
    let (incoming, address) = listen();
    let server = Server::builder().add_service(layer(&locks).layer(Greeter));
    tokio::spawn(server.serve_with_incoming(incoming));
    assert_locks(&locks, address).await;
}

#[tokio::test]
async fn a_layer_on_a_client_of_tonic() {
    let locks = Probe::default().manager();
    let (incoming, address) = listen();
    let on_server = Probe::default().manager();
    tokio::spawn(
        Server::builder().layer(layer(&on_server)).add_service(Greeter).serve_with_incoming(incoming),
    );
    let client = layer(&locks).layer(channel(address));
    assert_eq!(grpc_status(client.clone()).await, ("0".to_owned(), false));
    assert_freed(&locks, KEY).await;
    let _holder = locks.lock(KEY).await.unwrap();
    assert_eq!(grpc_status(client).await, ("10".to_owned(), true));
}

#[tokio::test]
async fn a_method_of_tonic_says_what_kept_it_from_its_lock() {
    let (incoming, address) = listen();
    let failing = LockManager::builder(Failing(ErrorKind::Unavailable)).build().unwrap();
    let server = Server::builder().layer(layer(&failing)).add_service(Greeter);
    tokio::spawn(server.serve_with_incoming(incoming));
    assert_eq!(grpc_status(channel(address)).await, ("14".to_owned(), true));
}

#[tokio::test]
async fn hyper_without_a_router() {
    let probe = Probe::default();
    let locks = probe.manager();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = layer(&locks).layer(service_fn(async |request: Request<hyper::body::Incoming>| {
        let key = request.extensions().get::<Locked>().unwrap().key().to_string();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(key))))
    }));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    assert_eq!(common::raw::ask(address, "GET /a", &[]).await.body(), "rpc:%2Fa");
    let _holder = locks.lock("rpc:%2Fa").wait(LONG).await.unwrap();
    common::raw::ask(address, "GET /a", &[]).await.assert_rejected(409, "lock_busy", Some(1));
}
