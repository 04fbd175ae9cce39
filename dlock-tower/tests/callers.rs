//! Requests and bodies that are polled by something else than a whole Tokio runtime.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{Fed, LONG, Probe, assert_freed, data, soon};
use dlock_core::{ErrorKind, LockError, LockManager};
use dlock_tower::{Key, LockBody, LockLayer, OnLost};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tower::{BoxError, Layer as _, Service, ServiceExt as _, service_fn};

const KEY: &str = "order:%2F7";

fn layer(locks: &LockManager) -> LockLayer {
    LockLayer::new(locks.clone(), Key::new("order").uri_path()).wait(LONG)
}

fn request() -> Request<()> {
    Request::builder().uri("/7").body(()).unwrap()
}

/// A runtime as `Builder::build` makes it when nothing is enabled.
fn bare() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn whole() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A response with a body that has nothing yet.
fn begun(runtime: &Runtime, probe: &Probe, body: Fed) -> LockBody<Fed> {
    let body = Arc::new(Mutex::new(Some(body)));
    let service = layer(&probe.manager()).layer(service_fn(move |_: Request<()>| {
        let body = body.lock().unwrap().take().unwrap();
        async { Ok::<_, Infallible>(Response::new(body)) }
    }));
    runtime.block_on(service.oneshot(request())).unwrap().into_body()
}

/// The rest of a body, read by an executor without a runtime. Says first whether the body has to wait.
fn read(mut body: LockBody<Fed>) -> (oneshot::Receiver<bool>, JoinHandle<Result<Bytes, BoxError>>) {
    let (sender, is_pending) = oneshot::channel();
    let read = async move {
        sender.send(futures_util::poll!(&mut body.frame()).is_pending()).unwrap();
        body.collect().await.map(http_body_util::Collected::to_bytes)
    };
    (is_pending, thread::spawn(|| futures_executor::block_on(read)))
}

#[test]
fn a_body_is_sent_by_an_executor_without_a_runtime() {
    let (probe, runtime, (feed, fed)) = (Probe::default(), whole(), Fed::new());
    let body = begun(&runtime, &probe, fed);
    drop(runtime);
    let (is_pending, reading) = read(body);
    assert!(whole().block_on(soon(is_pending)).expect("a poll is no panic"));
    feed.send(data("later")).unwrap();
    drop(feed);
    assert_eq!(reading.join().expect("no panic").unwrap(), "later");
    whole().block_on(probe.emptied());
}

#[test]
fn a_body_whose_lock_is_lost_is_cut_off_without_a_runtime() {
    let (probe, runtime, (feed, fed)) = (Probe::default(), whole(), Fed::new());
    let (is_pending, reading) = read(begun(&runtime, &probe, fed));
    assert!(runtime.block_on(soon(is_pending)).expect("a poll is no panic"));
    probe.lose_all();
    let error = reading.join().expect("no panic").expect_err("it does not end as if it were whole");
    assert_eq!(error.downcast::<LockError>().unwrap().kind(), ErrorKind::Lost);
    drop(feed);
}

#[test]
fn a_request_waits_for_its_lock_in_a_runtime_without_timers() {
    let probe = Probe::default();
    let (locks, runtime) = (probe.manager(), whole());
    let holder = runtime.block_on(locks.lock(KEY).acquire()).unwrap();
    runtime.block_on(probe.acquire_asked());
    let mut service = layer(&locks).layer(service_fn(hello));
    let waiting = thread::spawn(move || bare().block_on(service.call(request())).unwrap().status());
    runtime.block_on(async {
        // A panic over there is to be told as such.
        let asked = async {
            while probe.acquires() == 0 && !waiting.is_finished() {
                tokio::task::yield_now().await;
            }
        };
        soon(asked).await;
        holder.release().await.unwrap();
    });
    assert_eq!(waiting.join().expect("no panic"), StatusCode::OK);
    runtime.block_on(assert_freed(&locks, KEY));
}

#[test]
fn a_request_is_served_by_an_executor_without_a_runtime() {
    let probe = Probe::default();
    let mut service = layer(&probe.manager()).layer(service_fn(hello));
    let serving = thread::spawn(move || futures_executor::block_on(service.call(request())).unwrap());
    let response = serving.join().expect("no panic");
    assert_eq!(response.status(), StatusCode::OK);
    drop(response);
    whole().block_on(probe.emptied());
}

async fn hello(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

/// The handler does not await, so it cannot be dropped: what is known when it ends counts.
#[test]
fn a_handler_that_never_awaits_and_loses_its_lock_is_answered_as_lost() {
    assert_eq!(answer_after_loss(OnLost::Abort), StatusCode::INTERNAL_SERVER_ERROR);
}

/// The control.
#[test]
fn a_handler_that_is_to_finish_is_answered_by_itself() {
    assert_eq!(answer_after_loss(OnLost::Finish), StatusCode::OK);
}

fn answer_after_loss(on_lost: OnLost) -> StatusCode {
    let (probe, runtime) = (Probe::default(), whole());
    let losing = probe.clone();
    let mut service = layer(&probe.manager()).on_lost(on_lost).layer(service_fn(move |_: Request<()>| {
        losing.lose_all();
        hello(request())
    }));
    runtime.block_on(service.call(request())).unwrap().status()
}
