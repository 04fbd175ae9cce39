//! A [Tower](https://docs.rs/tower) layer that locks the resource of a route.
//!
//! [`LockLayer`] reads a key from each request and acquires the lock on it from a
//! [`LockManager`](dlock_core::LockManager). Only then it calls the inner service. So requests about one thing are
//! handled one after the other, in all processes that share the manager's backend. [`Key`] says which part of a request
//! names the thing, [`Locked`] shows a handler its lock, and [`LockRejection`] is the answer to a request that was not
//! handled.
//!
//! # With axum
//!
//! The feature `axum` adds [`Key::path_param`](Key#method.path_param), the extractors [`Locked`] and
//! `Option<Locked>`, and `IntoResponse` for [`LockRejection`]. With it [`Key::uri_path`] knows the whole path inside of
//! `nest`.
//!
//! ```
//! # #[cfg(not(feature = "axum"))] fn main() {}
//! # #[cfg(feature = "axum")]
//! # mod example {
//! use axum::extract::{Path, State};
//! use axum::{Router, body::Body, routing::put};
//! use dlock_core::{EmbeddedBackend, LockManager};
//! use dlock_tower::{Key, LockLayer, Locked};
//! use http::{Request, StatusCode};
//! use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
//! use std::time::Duration;
//! use tower::ServiceExt as _;
//!
//! type Store = Arc<AtomicU64>;
//!
//! /// The store keeps the token of the last writer and refuses an older one.
//! async fn update(locked: Locked, Path(_id): Path<u64>, State(store): State<Store>) -> StatusCode {
//!     let token = locked.token().as_u64();
//!     let newest = store.fetch_max(token, Ordering::SeqCst) <= token;
//!     if newest { StatusCode::NO_CONTENT } else { StatusCode::CONFLICT }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let locks = LockManager::builder(EmbeddedBackend::new()).build()?;
//! let order = Key::new("order").path_param("id").parsed_as::<u64>(); // as the handler reads it
//! let one_writer = LockLayer::new(locks.clone(), order)
//!     .wait(Duration::from_millis(10));
//!
//! let app = Router::new()
//!     .route("/orders/{id}", put(update).route_layer(one_writer))
//!     .with_state(Store::default());
//!
//! let put = |id: u64| Request::put(format!("/orders/{id}")).body(Body::empty());
//! let done = app.clone().oneshot(put(42)?).await?;
//! assert_eq!(done.status(), StatusCode::NO_CONTENT);
//!
//! let guard = locks.lock("order:42").await?; // as a job elsewhere might
//! let busy = app.clone().oneshot(put(42)?).await?;
//! assert_eq!(busy.status(), StatusCode::CONFLICT);
//! assert!(busy.headers().contains_key("retry-after"));
//! let in_other_words = app.clone().oneshot(Request::put("/orders/%3042").body(Body::empty())?).await?;
//! assert_eq!(in_other_words.status(), StatusCode::CONFLICT);
//! let other = app.oneshot(put(43)?).await?;
//! assert_eq!(other.status(), StatusCode::NO_CONTENT);
//! # drop(guard); Ok(()) }
//! # }
//! # #[cfg(feature = "axum")]
//! # fn main() { example::main().unwrap() }
//! ```
//!
//! # With any Tower service
//!
//! Any `Service<Request<B>>` works whose response body has `Bytes` for data. The key may be a closure:
//!
//! ```
//! use bytes::Bytes;
//! use dlock_core::{EmbeddedBackend, LockManager};
//! use dlock_tower::{Key, KeyFromRequest as _, LockLayer, Locked};
//! use http::{Request, Response, request::Parts};
//! use http_body_util::{BodyExt as _, Full};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let locks = LockManager::builder(EmbeddedBackend::new()).build()?;
//! let file = Key::new("file").uri_path();
//! let key = move |parts: &Parts| match parts.method.is_safe() {
//!     true => Ok(None), // reads are not locked
//!     false => file.lock_key(parts),
//! };
//! let service = ServiceBuilder::new()
//!     .concurrency_limit(256) // outside, see below
//!     .layer(LockLayer::new(locks, key))
//!     .service(service_fn(async |request: Request<()>| {
//!         let key = request.extensions().get::<Locked>().map(|locked| locked.key().to_string());
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(key.unwrap_or_default()))))
//!     }));
//!
//! let response = service.oneshot(Request::put("/notes.txt").body(())?).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "file:%2Fnotes.txt");
//! # Ok(()) }
//! ```
//!
//! # With tonic
//!
//! The layer can stand on tonic's server, on one of its services or on its client. It recognizes gRPC requests by their
//! content type and answers them as gRPC does, without any feature. The key can be [`Key::uri_path`], which is the
//! method's name, together with a header. The feature `tonic` implements `NamedService` for [`Lock`], which a service
//! of a server needs. It also makes a `tonic::Status` of a [`LockRejection`], for methods that lock by hand.
//!
//! ```
//! # #[cfg(feature = "tonic")]
//! # mod example {
//! use dlock_core::{EmbeddedBackend, LockManager};
//! use dlock_tower::{Key, LockLayer};
//! use tower::Layer as _;
//! # use http::{Request, Response};
//! # use tonic::body::Body;
//! # #[derive(Clone)] struct Greeter;
//! # impl tonic::server::NamedService for Greeter { const NAME: &'static str = "test.Greeter"; }
//! # impl tower::Service<Request<Body>> for Greeter {
//! #     type Response = Response<Body>;
//! #     type Error = std::convert::Infallible;
//! #     type Future = std::future::Ready<Result<Response<Body>, Self::Error>>;
//! #     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
//! #         std::task::Poll::Ready(Ok(()))
//! #     }
//! #     fn call(&mut self, _: Request<Body>) -> Self::Future { unreachable!() }
//! # }
//!
//! # pub fn main() -> Result<(), dlock_core::LockError> {
//! let locks = LockManager::builder(EmbeddedBackend::new()).build()?;
//! let per_tenant = LockLayer::new(locks, Key::new("rpc").uri_path().header("x-tenant"));
//! let one_service = tonic::transport::Server::builder().add_service(per_tenant.layer(Greeter));
//! let all_services = tonic::transport::Server::builder().layer(per_tenant).add_service(Greeter);
//! # drop((one_service, all_services)); Ok(()) }
//! # }
//! # #[cfg(feature = "tonic")] fn main() { example::main().unwrap() }
//! # #[cfg(not(feature = "tonic"))] fn main() {}
//! ```
//!
//! # Options
//!
//! Each is a setter of [`LockLayer`], which says more about it.
//!
//! | option | unit | default | example | meaning |
//! |---|---|---|---|---|
//! | [`wait`](LockLayer::wait) | time | 2 s | `.wait(Duration::from_secs(5))` | how long a request may wait for its turn |
//! | [`try_once`](LockLayer::try_once) | – | off | `.try_once()` | do not wait |
//! | [`ttl`](LockLayer::ttl) | time, 100 ms to 24 h | the manager's | `.ttl(Duration::from_secs(10))` | the lease: how long a dead process keeps the lock |
//! | [`max_hold`](LockLayer::max_hold) | time | 60 s | `.max_hold(Duration::MAX)` | how long a request may hold the lock |
//! | [`max_waiting`](LockLayer::max_waiting) | requests per key, in all | 64, 4,096 | `.max_waiting(16, 1_000)` | how many may wait |
//! | [`hold`](LockLayer::hold) | [`HoldUntil`] | `BodyEnd` | `.hold(HoldUntil::Head)` | until when the lock is held |
//! | [`on_lost`](LockLayer::on_lost) | [`OnLost`] | `Abort` | `.on_lost(OnLost::Finish)` | what happens to a request whose lock is lost |
//! | [`on_unavailable`](LockLayer::on_unavailable) | [`OnUnavailable`] | `Reject` | `.on_unavailable(OnUnavailable::Proceed)` | what happens to a request while the backend is away |
//! | [`read_body_first`](LockLayer::read_body_first) | bytes | off | `.read_body_first(64 * 1024)` | read the request's body before the lock is asked for |
//! | [`busy_status`](LockLayer::busy_status) | status | 409 | `.busy_status(StatusCode::LOCKED)` | the answer to a busy lock |
//! | [`retry_after`](LockLayer::retry_after) | time, in whole seconds | 1 s, up to twice that | `.retry_after(Duration::from_secs(3))` | when to try again |
//! | [`reject_with`](LockLayer::reject_with) | function | problem+json, gRPC | `.reject_with(LockRejection::to_http)` | the answers |
//!
//! # What happens when…
//!
//! | …this happens | then |
//! |---|---|
//! | the lock stays busy for all of `wait` | 409 with `Retry-After`; the handler did not run |
//! | too many wait already | 429 with `Retry-After` at once; nothing is asked of the backend |
//! | the backend is out of reach | 503 with `Retry-After`, or handled without a lock (`on_unavailable`) |
//! | the client leaves while it waits | it leaves the queue, and holds no other request up |
//! | the client leaves while the handler runs | the server drops the handler, and with it the lock, as soon as it notices |
//! | the handler panics, or returns an error | the lock is released |
//! | the handler returns a body in one piece | the lock is released once the server has the piece |
//! | the handler returns a stream | the lock is held until its end, an error, or its drop (`hold`) |
//! | a client reads a stream slowly or not at all | the lock is held until `max_hold` is over |
//! | a client sends its body slowly | the lock is held meanwhile, unless the body is read first (`read_body_first`) |
//! | the connection becomes a WebSocket | the lock is released, unless its task has the guard of [`Locked::hold`] |
//! | the handler spawns work | the work is not under the lock, unless it has that guard |
//! | the lock is lost while the handler runs | the handler is dropped and 500 answered, or it goes on (`on_lost`) |
//! | the lock is lost while the body is sent | the body ends with an error, or goes on (`on_lost`) |
//! | the lock is lost before the handler began | 503 with `Retry-After`, as if the backend were out of reach |
//! | two layers want one lock for a request | the inner one lets it pass; both are under the same guard |
//! | the handler asks for the lock it is under | `ErrorKind::Reentrant` at once; so do annotated functions |
//! | the manager is closed | requests that wait, and new ones, get 503 with `Retry-After`; holders finish |
//! | one resource is spelled in two ways, such as `/orders/42` and `/orders/%34%32` | one key: see [`Key::uri_path`] and [`Key::parsed_as`] |
//! | two parameters of a route have one name, such as in `/shops/{id}/orders/{id}` | 500, logged once with the name |
//! | no key for the request | handled without a lock (`Ok(None)`); 400 if the client should have sent one; 500 if it is the route's fault, logged once |
//!
//! # How a service ends
//!
//! It closes the manager, lets the server finish its requests, and shuts the manager down. Without the first step, the
//! server waits for requests that still wait for locks.
//!
//! ```
//! # use dlock_core::LockManager;
//! # async fn run(
//! #     listener: tokio::net::TcpListener, app: axum::Router, locks: LockManager,
//! #     terminated: impl Future<Output = ()> + Send + 'static,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let closing = locks.clone();
//! axum::serve(listener, app)
//!     .with_graceful_shutdown(async move {
//!         terminated.await; // SIGTERM
//!         closing.close(); // requests that wait are answered 503; those that hold a lock finish
//!     })
//!     .await?;
//! locks.shutdown().await?; // every release is confirmed, within 10 seconds
//! # Ok(()) }
//! ```
//!
//! The layer needs no runtime. Its timers run on the library's own thread, and so does the end of a lock whose
//! response's body is not polled.
//!
//! # Until when the lock is held
//!
//! From before the handler is called until the response's body is at its end ([`HoldUntil::BodyEnd`], the
//! default), or until the handler has returned ([`HoldUntil::Head`]):
//!
//! - A body in one piece, an empty body and the answer to HEAD release at once, however slowly the client reads, since
//!   the server already has the last piece.
//! - A streamed body holds the lock until its last frame, its first error, or until it is dropped. So a client that
//!   reads slowly holds it long. Server-sent events are such a body.
//! - A WebSocket is not a body: its upgrade response releases at once. Keep the lock with [`Locked::hold`].
//! - Work that the handler spawns is not waited for. Give it the guard from [`Locked::hold`].
//! - After [`LockLayer::max_hold`] the lock is given up in any case, unless there is a guard from [`Locked::hold`].
//! - A handler that panics, fails or is dropped releases. The release is sent in the background, after the response. A
//!   dead process's lock ends with its lease, see [`LockLayer::ttl`].
//!
//! The lock may be *lost* meanwhile: the backend cannot be reached for a whole lease, or it gave the lock away. Then
//! the handler is dropped at its next await, and the request is answered 500 `lock_lost`. If the head was already sent,
//! the body ends with an error. So whatever the handler began should be undone when it is dropped, as a database
//! transaction is. [`OnLost::Finish`] lets both go on instead.
//!
//! # Order of layers
//!
//! ```text
//! authentication      outside: refuses strangers before they can wait for a lock, and sets the tenant
//! timeout             outside, and longer than LockLayer::wait: it covers the waiting too
//! limits, load shed   outside: waiting requests count as well; the lock is always ready
//! LockLayer
//! transaction         inside: it ends before the lock is released
//! handler
//! ```
//!
//! axum's `layer` and `route_layer` put the *last* one added outside. A timeout shorter than the wait turns every busy
//! lock into a timeout. A limit inside works, too, and counts a request only once the lock is held. Retries belong in
//! the client, or outside.
//!
//! Several `LockLayer`s on one route acquire several locks, the outermost first. Use one order everywhere, or two
//! requests can wait for each other until `wait` is over. A layer whose lock the request already has, from the same
//! manager, lets the request pass. Then the settings of the outer layer apply.
//!
//! # Answers
//!
//! See [`LockRejection`]. Clients should repeat a request only if the answer has `Retry-After`: then its handler did
//! not run.
//!
//! # What it does not do
//!
//! - **It is not idempotency.** Two equal requests are handled one after the other, but both are handled. To answer the
//!   second with the first one's result, look that up under the lock.
//! - **It does not always notice that a client has left.** When a connection is closed, the server drops its handler,
//!   and the lock or the place in the queue with it. But while the server has unread bytes of the client, such as a
//!   pipelined request or an unread body, it may not notice before the handler is done. A handler that must not be cut
//!   short belongs in a spawned task, with the guard from [`Locked::hold`].
//! - **It does not read the request's body first**, unless [`LockLayer::read_body_first`] is set. Without it, the lock
//!   is held while the handler waits for a slow upload.
//! - **It is only a lease.** A process that was stopped for longer than its lease may go on for a moment beside the
//!   next holder. If two writers would corrupt data, pass [`Locked::token`] to a store that refuses smaller tokens than
//!   it has seen.
//! - **It is not for reads.** All methods are locked unless the key says `None` for some, and all locks are exclusive:
//!   there is none that readers share.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod acquiring;
#[cfg(feature = "axum")]
mod axum;
mod background;
mod body;
mod future;
mod held;
mod key;
mod key_error;
mod layer;
mod locked;
mod path;
mod policy;
mod read_first;
mod rejection;
mod service;
mod settings;
#[cfg(feature = "tonic")]
mod tonic;
mod wait_limit;

pub use body::LockBody;
pub use future::ResponseFuture;
pub use key::{Key, KeyFromRequest};
pub use key_error::KeyError;
pub use layer::LockLayer;
pub use locked::Locked;
pub use policy::{HoldUntil, OnLost, OnUnavailable};
pub use read_first::{AsItComes, ReadFirst, ReadFirstFuture};
pub use rejection::LockRejection;
pub use service::Lock;
