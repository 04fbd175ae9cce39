//! The contract between services: which service is readied, when, and what wraps what.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{LONG, Probe, assert_freed, assert_held, soon};
use dlock_core::LockManager;
use dlock_tower::{Key, LockLayer};
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_test::mock;

const KEY: &str = "order:%2F7";

type Answer = Response<Full<Bytes>>;

fn layer(locks: &LockManager) -> LockLayer {
    LockLayer::new(locks.clone(), Key::new("order").uri_path()).wait(LONG)
}

fn request(path: &str) -> Request<()> {
    Request::builder().uri(path).body(()).unwrap()
}

fn mock() -> (mock::Mock<Request<()>, Answer>, mock::Handle<Request<()>, Answer>) {
    mock::pair()
}

/// Answers the next request that reaches the mock.
async fn answer_next(handle: &mut mock::Handle<Request<()>, Answer>) {
    let (_, responder) = soon(handle.next_request()).await.unwrap();
    responder.send_response(Response::new(Full::default()));
}

#[tokio::test]
async fn it_is_ready_while_the_inner_service_is_not() {
    let (inner, mut handle) = mock();
    handle.allow(0);
    let mut service = layer(&Probe::default().manager()).layer(inner);
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
}

#[tokio::test]
async fn the_inner_service_is_readied_under_the_lock() {
    let probe = Probe::default();
    let locks = probe.manager();
    let holder = locks.lock(KEY).await.unwrap();
    probe.acquire_asked().await;
    let (inner, mut handle) = mock();
    handle.allow(0);
    let handled = tokio::spawn(layer(&locks).layer(inner).oneshot(request("/7")));
    probe.acquire_asked().await;
    holder.release().await.unwrap();
    // The request has the lock now, and waits for the inner service.
    assert_held(&locks, KEY).await;
    handle.allow(1);
    answer_next(&mut handle).await;
    assert_eq!(soon(handled).await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn each_of_many_calls_is_of_an_instance_that_was_readied() {
    let (inner, mut handle) = mock();
    let service = layer(&Probe::default().manager()).layer(inner);
    for path in ["/1", "/2", "/3"] {
        let mut caller = service.clone();
        let handled = tokio::spawn(async move { caller.call(request(path)).await });
        answer_next(&mut handle).await;
        assert_eq!(soon(handled).await.unwrap().unwrap().status(), 200);
    }
}

/// The control of the tests above: the mock notices a call that was not readied.
#[tokio::test]
async fn a_twin_that_calls_a_clone_it_did_not_ready_is_noticed() {
    let (inner, handle) = mock();
    let mut readied = inner.clone();
    // The mock's panic leaves a poisoned mutex, and every later drop would panic on it, too.
    std::mem::forget((inner, handle));
    let called = tokio::spawn(async move {
        readied.ready().await.unwrap();
        readied.clone().call(request("/7")).await
    });
    assert!(soon(called).await.unwrap_err().is_panic());
}

#[tokio::test]
async fn an_error_of_the_readiness_is_returned_and_the_lock_released() {
    let probe = Probe::default();
    let (inner, mut handle) = mock();
    handle.send_error("out of order");
    let error = soon(layer(&probe.manager()).layer(inner).oneshot(request("/7"))).await.unwrap_err();
    assert_eq!(error.to_string(), "out of order");
    assert_eq!(probe.acquires(), 1);
    probe.emptied().await;
}

#[tokio::test]
async fn dropped_between_ready_and_call_nothing_was_asked() {
    let probe = Probe::default();
    let (inner, _handle) = mock();
    let mut service = layer(&probe.manager()).layer(inner);
    service.ready().await.unwrap();
    drop(service);
    assert_eq!(probe.acquires(), 0);
}

#[tokio::test]
async fn a_buffer_outside_passes_requests_on() {
    let (inner, mut handle) = mock();
    let service = ServiceBuilder::new().buffer(2).layer(layer(&Probe::default().manager())).service(inner);
    let handled = tokio::spawn(service.oneshot(request("/7")));
    answer_next(&mut handle).await;
    assert_eq!(soon(handled).await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_buffer_inside_has_a_slot_reserved_for_the_call() {
    let (inner, mut handle) = mock();
    let service = ServiceBuilder::new().layer(layer(&Probe::default().manager())).buffer(1).service(inner);
    for path in ["/1", "/2"] {
        let handled = tokio::spawn(service.clone().oneshot(request(path)));
        answer_next(&mut handle).await;
        assert_eq!(soon(handled).await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_limit_outside_counts_waiting_requests() {
    let probe = Probe::default();
    let locks = probe.manager();
    let holder = locks.lock(KEY).await.unwrap();
    probe.acquire_asked().await;
    let (inner, mut handle) = mock();
    let mut service = ServiceBuilder::new().concurrency_limit(1).layer(layer(&locks)).service(inner);
    let waiting = tokio::spawn(service.ready().await.unwrap().call(request("/7")));
    probe.acquire_asked().await;
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending());
    holder.release().await.unwrap();
    answer_next(&mut handle).await;
    soon(waiting).await.unwrap().unwrap();
    soon(service.ready()).await.unwrap();
}

#[tokio::test]
async fn load_shed_outside_sheds_nothing_for_a_busy_lock() {
    let probe = Probe::default();
    let locks = probe.manager();
    let holder = locks.lock(KEY).await.unwrap();
    probe.acquire_asked().await;
    let (inner, mut handle) = mock();
    handle.allow(0);
    let service = ServiceBuilder::new().load_shed().layer(layer(&locks)).service(inner);
    let waiting = tokio::spawn(service.oneshot(request("/7")));
    probe.acquire_asked().await;
    holder.release().await.unwrap();
    handle.allow(1);
    answer_next(&mut handle).await;
    assert_eq!(soon(waiting).await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn load_shed_inside_sheds_and_the_lock_is_released() {
    let probe = Probe::default();
    let locks = probe.manager();
    let (inner, mut handle) = mock();
    handle.allow(0);
    let service = ServiceBuilder::new().layer(layer(&locks)).load_shed().service(inner);
    let error = soon(service.oneshot(request("/7"))).await.unwrap_err();
    assert!(error.is::<tower::load_shed::error::Overloaded>(), "{error}");
    assert_freed(&locks, KEY).await;
}

/// How many of four requests for one thing were at most in the handler at once.
async fn most_at_once<S>(service: S, inside: &Arc<AtomicUsize>, most: &Arc<AtomicUsize>) -> usize
where
    S: Service<Request<()>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    S::Response: Send,
{
    let calls: Vec<_> = (0..4).map(|_| tokio::spawn(service.clone().oneshot(request("/7")))).collect();
    for call in calls {
        drop(soon(call).await.unwrap().unwrap());
    }
    assert_eq!(inside.load(Ordering::SeqCst), 0);
    most.load(Ordering::SeqCst)
}

#[tokio::test]
async fn clones_exclude_each_other_and_without_the_layer_they_do_not() {
    for (locked, expected) in [(true, 1), (false, 4)] {
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (entering, record) = (Arc::clone(&inside), Arc::clone(&most));
        let handler = service_fn(move |_: Request<()>| {
            let (entering, record) = (Arc::clone(&entering), Arc::clone(&record));
            async move {
                let there = entering.fetch_add(1, Ordering::SeqCst) + 1;
                record.fetch_max(there, Ordering::SeqCst);
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
                entering.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, Infallible>(Answer::default())
            }
        });
        let most = if locked {
            most_at_once(layer(&Probe::default().manager()).layer(handler), &inside, &most).await
        } else {
            most_at_once(handler, &inside, &most).await
        };
        assert_eq!(most, expected);
    }
}
