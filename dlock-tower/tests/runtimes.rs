//! The layer where there is no runtime, or one that has no timers, or whose time stands still.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{Fed, Feed, LONG, data};
use dlock_core::{EmbeddedBackend, ErrorKind, LockError, LockManager};
use dlock_tower::{Key, LockBody, LockLayer, OnLost};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;
use tower::{Layer as _, ServiceExt as _, service_fn};

const KEY: &str = "order:%2F7";
const SHORT: Duration = Duration::from_millis(20);

fn locks() -> LockManager {
    LockManager::builder(EmbeddedBackend::new()).build().unwrap()
}

fn layer(locks: &LockManager) -> LockLayer {
    LockLayer::new(locks.clone(), Key::new("order").uri_path()).wait(LONG)
}

fn request() -> Request<()> {
    Request::builder().uri("/7").body(()).unwrap()
}

/// The status of an answer.
async fn ask(layer: &LockLayer) -> u16 {
    let service = layer.layer(service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello")))
    }));
    service.oneshot(request()).await.unwrap().status().as_u16()
}

/// A response whose body waits for the feed.
async fn streamed(layer: &LockLayer) -> (Feed, LockBody<Fed>) {
    let (feed, body) = Fed::new();
    let body = Arc::new(Mutex::new(Some(body)));
    let service = layer.layer(service_fn(move |_: Request<()>| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Ok::<_, Infallible>(Response::new(body)) }
    }));
    (feed, service.oneshot(request()).await.unwrap().into_body())
}

fn is_pending(body: Pin<&mut LockBody<Fed>>) -> bool {
    body.poll_frame(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn without_timers() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

#[test]
fn a_request_waits_for_its_turn_without_a_runtime() {
    let locks = locks();
    let held = locks.lock(KEY).blocking_acquire().unwrap();
    let waiting = thread::spawn({
        let layer = layer(&locks);
        move || pollster::block_on(ask(&layer))
    });
    assert_eq!(pollster::block_on(ask(&layer(&locks).wait(SHORT))), 409);
    held.blocking_release().unwrap();
    assert_eq!(waiting.join().unwrap(), 200);
}

#[test]
fn a_request_waits_for_its_turn_in_a_runtime_without_timers() {
    let locks = locks();
    let _held = locks.lock(KEY).blocking_acquire().unwrap();
    assert_eq!(without_timers().block_on(ask(&layer(&locks).wait(SHORT))), 409);
}

/// The time of the program stands still in such a runtime; that of the locks does not.
#[tokio::test(start_paused = true)]
async fn a_request_does_not_give_up_early_in_a_runtime_whose_time_is_paused() {
    let locks = locks();
    let held = locks.lock(KEY).await.unwrap();
    let layer = layer(&locks);
    let waiting = tokio::spawn(async move { ask(&layer).await });
    // Longer than the wait, by the time of the runtime.
    tokio::time::sleep(2 * LONG).await;
    held.release().await.unwrap();
    assert_eq!(waiting.await.unwrap(), 200);
}

#[test]
fn a_body_that_waits_is_polled_without_a_runtime() {
    let (feed, body) = pollster::block_on(streamed(&layer(&locks())));
    let mut body = pin!(body);
    assert!(is_pending(body.as_mut()));
    feed.send(data("later")).unwrap();
    drop(feed);
    assert_eq!(pollster::block_on(body.collect()).unwrap().to_bytes(), "later");
}

#[test]
fn max_hold_ends_a_body_without_a_runtime_and_in_one_without_timers() {
    let (runtime, locks) = (without_timers(), locks());
    let layer = layer(&locks).max_hold(SHORT);
    let frame = async |body: &mut LockBody<Fed>| body.frame().await.unwrap().unwrap_err();
    for block_on in [&|frame| pollster::block_on(frame), &|frame| runtime.block_on(frame)] as [Block<'_>; 2] {
        let (_feed, mut body) = pollster::block_on(streamed(&layer));
        let error = block_on(Box::pin(frame(&mut body)));
        assert_eq!(error.downcast::<LockError>().unwrap().kind(), ErrorKind::Lost);
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Block<'a> = &'a dyn for<'b> Fn(Pin<Box<dyn Future<Output = BoxError> + 'b>>) -> BoxError;

/// As by a server whose client does not read; it may have ended its runtime.
#[test]
fn max_hold_frees_the_lock_of_a_body_that_is_not_polled() {
    for on_lost in [OnLost::Abort, OnLost::Finish] {
        let locks = locks();
        let layer = layer(&locks).max_hold(SHORT).on_lost(on_lost);
        let (_feed, body) = without_timers().block_on(streamed(&layer));
        let mut body = pin!(body);
        assert!(is_pending(body.as_mut()));
        let next = locks.lock(KEY).wait(LONG).blocking_acquire().unwrap();
        assert!(next.is_valid());
        assert_eq!(is_pending(body), on_lost == OnLost::Finish);
    }
}
