//! What a request costs in memory, over the handler and over the lock by hand, on the embedded backend.
//!
//! One test, for the counter is of the whole process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use bytes::Bytes;
use dlock_core::{EmbeddedBackend, KeyTemplate, LockManager};
use dlock_tower::{Key, LockLayer};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use std::convert::Infallible;
use tokio::runtime::Runtime;
use tower::{Layer as _, Service, service_fn};

/// What the layer adds to a handler with a lock by hand: one for the guard's `Arc`, and three for
/// the first extension of a request, which `Locked` is here (behind a router it is not, and takes one).
const OF_THE_LAYER: u64 = 4;

/// How often memory is asked for, once everything has its size.
fn allocations(mut step: impl FnMut()) -> u64 {
    for _ in 0..64 {
        step();
    }
    allocation_counter::measure(step).count_total
}

fn request() -> Request<()> {
    Request::builder().uri("/7").body(()).unwrap()
}

async fn handler(request: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    drop(request);
    Ok(Response::new(Full::from("hello")))
}

/// A request from its head to the end of its answer's body.
fn handle<S, B>(runtime: &Runtime, service: &mut S)
where
    S: Service<Request<()>, Response = Response<B>, Error: std::fmt::Debug>,
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    runtime.block_on(async {
        let mut body = std::pin::pin!(service.call(request()).await.unwrap().into_body());
        while let Some(frame) = body.frame().await {
            drop(frame.unwrap());
        }
    });
}

#[test]
fn the_layer_asks_for_no_memory_beyond_key_guard_and_view() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let locks = LockManager::builder(EmbeddedBackend::new()).build().unwrap();

    let mut bare = service_fn(handler);
    let of_the_handler = allocations(|| handle(&runtime, &mut bare));

    let of_the_lock = allocations(|| {
        runtime.block_on(async {
            let key = KeyTemplate::new().literal("order").literal(":").value("/7").finish().unwrap();
            drop(locks.lock(key).await.unwrap());
        });
    });

    let layer = LockLayer::new(locks.clone(), Key::new("order").uri_path());
    let mut locked = layer.layer(service_fn(handler));
    let in_all = allocations(|| handle(&runtime, &mut locked));

    let added = in_all - of_the_handler - of_the_lock;
    println!("handler {of_the_handler}, lock by hand {of_the_lock}, the layer {added}");
    assert!(added <= OF_THE_LAYER, "{added} more than a lock by hand");
}
