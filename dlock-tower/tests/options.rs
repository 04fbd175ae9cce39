//! What the layer can be told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use axum::body::Body;
use bytes::Bytes;
use common::{Failing, Fed, LONG, OnDrop, Probe, assert_freed, assert_held, data, soon};
use dlock_core::{EmbeddedBackend, ErrorKind, LockError, LockManager, TestClock, distributed_lock};
use dlock_tower::{Key, LockLayer, Locked, OnLost, OnUnavailable};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Collected, Full};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::sync::oneshot;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

const KEY: &str = "order:%2F7";
/// A limit that is over before anything else here happens.
const SHORT: Duration = Duration::from_millis(20);

fn layer(locks: &LockManager) -> LockLayer {
    LockLayer::new(locks.clone(), Key::new("order").uri_path()).wait(LONG)
}

fn request(path: &str) -> Request<()> {
    Request::builder().uri(path).body(()).unwrap()
}

type Outcome = Result<Response<Full<Bytes>>, Infallible>;

async fn hello(_: Request<()>) -> Outcome {
    Ok(Response::new(Full::from("hello")))
}

async fn never_called(_: Request<()>) -> Outcome {
    unreachable!("the handler was called")
}

/// Status, whether there is a `Retry-After`, and the code in the body.
async fn answered<B>(response: Response<B>) -> (u16, bool, String)
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let (status, after) = (response.status().as_u16(), response.headers().contains_key("retry-after"));
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let code = body.rsplit("\"code\":\"").next().unwrap().trim_end_matches("\"}").to_owned();
    (status, after, code)
}

fn rejected(status: u16, after: bool, code: &str) -> (u16, bool, String) {
    (status, after, code.to_owned())
}

/// Whatever duration the layer is given, a request is answered.
#[tokio::test]
async fn the_shortest_and_the_longest_durations_are_answered() {
    for span in [Duration::ZERO, Duration::MAX] {
        let probe = Probe::default();
        let locks = probe.manager();
        for (layer, status) in [
            (layer(&locks).wait(span), StatusCode::OK),
            (layer(&locks).retry_after(span), StatusCode::OK),
            (layer(&locks).max_hold(span), StatusCode::OK),
            (layer(&locks).ttl(span), StatusCode::INTERNAL_SERVER_ERROR),
        ] {
            let response = soon(layer.layer(service_fn(hello)).oneshot(request("/7"))).await.unwrap();
            assert_eq!(response.status(), status, "{span:?}");
        }
        let _held = locks.lock(KEY).await.unwrap();
        let busy = layer(&locks).try_once().retry_after(span).layer(service_fn(never_called));
        let response = soon(busy.oneshot(request("/7"))).await.unwrap();
        assert_eq!(answered(response).await, rejected(409, true, "lock_busy"));
    }
}

mod max_hold {
    use super::*;

    #[tokio::test]
    async fn a_handler_that_hangs_is_dropped_and_answered_as_lost() {
        let locks = Probe::default().manager();
        let (watch, dropped) = OnDrop::new();
        let watch = Arc::new(Mutex::new(Some(watch)));
        let service = layer(&locks).max_hold(SHORT).layer(service_fn(move |_: Request<()>| {
            let watch = watch.lock().unwrap().take();
            async move {
                let _watch = watch;
                std::future::pending::<Outcome>().await
            }
        }));
        let response = soon(service.oneshot(request("/7"))).await.unwrap();
        soon(dropped).await.unwrap();
        assert_eq!(answered(response).await, rejected(500, false, "lock_lost"));
        assert_freed(&locks, KEY).await;
    }

    #[tokio::test]
    async fn a_stream_that_does_not_end_is_cut_off() {
        let locks = Probe::default().manager();
        let (_feed, body) = Fed::new();
        let body = Arc::new(Mutex::new(Some(body)));
        let service = layer(&locks).max_hold(SHORT).layer(service_fn(move |_: Request<()>| {
            let body = body.lock().unwrap().take().unwrap();
            async move { Ok::<_, Infallible>(Response::new(body)) }
        }));
        let mut body = soon(service.oneshot(request("/7"))).await.unwrap().into_body();
        let error = soon(body.frame()).await.unwrap().unwrap_err();
        assert_eq!(error.downcast::<LockError>().unwrap().kind(), ErrorKind::Lost);
        assert_freed(&locks, KEY).await;
    }

    #[tokio::test]
    async fn a_layer_told_to_finish_gives_the_lock_up_and_says_so_to_the_handler() {
        let locks = Probe::default().manager();
        let next = locks.clone();
        let layer = layer(&locks).max_hold(SHORT).on_lost(OnLost::Finish);
        let service = layer.layer(service_fn(move |request: Request<()>| {
            let (locked, next) = (request.extensions().get::<Locked>().unwrap().clone(), next.clone());
            async move {
                locked.lost().await;
                assert!(!locked.is_valid() && locked.hold().is_none());
                // Not held by anybody now, so not a lock that this handler would wait for itself for.
                next.lock(KEY).wait(LONG).await.unwrap().release().await.unwrap();
                hello(request).await
            }
        }));
        let response = soon(service.oneshot(request("/7"))).await.unwrap();
        assert_eq!(response.status(), 200);
    }

    #[tokio::test]
    async fn code_that_keeps_the_guard_is_not_bound_by_it() {
        let locks = Probe::default().manager();
        let (keep, kept) = oneshot::channel();
        let keep = Arc::new(Mutex::new(Some(keep)));
        let service = layer(&locks).max_hold(SHORT).layer(service_fn(move |request: Request<()>| {
            let guard = request.extensions().get::<Locked>().unwrap().hold().unwrap();
            assert!(keep.lock().unwrap().take().unwrap().send(guard).is_ok());
            std::future::pending::<Outcome>()
        }));
        let response = soon(service.oneshot(request("/7"))).await.unwrap();
        assert_eq!(answered(response).await, rejected(500, false, "lock_lost"));
        let guard = soon(kept).await.unwrap();
        assert!(guard.is_valid());
        assert_held(&locks, KEY).await;
        drop(guard);
        assert_freed(&locks, KEY).await;
    }

    #[tokio::test]
    async fn without_a_limit_there_is_none() {
        let service = layer(&Probe::default().manager()).max_hold(Duration::MAX).layer(service_fn(hello));
        assert_eq!(soon(service.oneshot(request("/7"))).await.unwrap().status(), 200);
    }
}

/// The layer goes by its manager.
#[tokio::test]
async fn keys_lie_in_the_namespace_of_the_manager() {
    let store = EmbeddedBackend::new();
    let shop = LockManager::builder(store.clone()).namespace("shop:").build().unwrap();
    let bare = LockManager::builder(store).build().unwrap();
    let _other = bare.lock(KEY).await.unwrap();
    let service = layer(&shop).try_once().layer(service_fn(hello));
    let response = soon(service.clone().oneshot(request("/7"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    drop(response);
    let _held = bare.lock(format!("shop:{KEY}")).await.unwrap();
    assert_eq!(
        answered(soon(service.oneshot(request("/7"))).await.unwrap()).await,
        rejected(409, true, "lock_busy")
    );
}

mod max_waiting {
    use super::*;

    #[tokio::test]
    async fn those_beyond_are_answered_at_once_and_not_queued() {
        let probe = Probe::default();
        let locks = probe.manager();
        let _seven = locks.lock(KEY).await.unwrap();
        let _eight = locks.lock("order:%2F8").await.unwrap();
        let layer = layer(&locks).max_waiting(1, 2);
        let service = layer.layer(service_fn(hello));
        let _on_seven = tokio::spawn(service.clone().oneshot(request("/7")));
        for _ in 0..3 {
            probe.acquire_asked().await;
        }
        let one_more = |path| service.clone().oneshot(request(path));
        let full = rejected(429, true, "lock_queue_full");
        assert_eq!(answered(soon(one_more("/7")).await.unwrap()).await, full);
        let _on_eight = tokio::spawn(one_more("/8"));
        probe.acquire_asked().await;
        assert_eq!(answered(soon(one_more("/9")).await.unwrap()).await, full, "two in all");
        assert_eq!(probe.acquires(), 0, "nothing was asked for those");
    }

    #[tokio::test]
    async fn a_waiter_that_leaves_or_is_served_makes_room() {
        let probe = Probe::default();
        let locks = probe.manager();
        let holder = locks.lock(KEY).await.unwrap();
        probe.acquire_asked().await;
        let service = layer(&locks).max_waiting(1, 1).layer(service_fn(hello));
        let mut leaves = Box::pin(service.clone().oneshot(request("/7")));
        assert!(leaves.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(leaves);
        let served = tokio::spawn(service.clone().oneshot(request("/7")));
        probe.acquire_asked().await;
        probe.acquire_asked().await;
        holder.release().await.unwrap();
        assert_eq!(soon(served).await.unwrap().unwrap().status(), 200);
        assert_eq!(soon(service.oneshot(request("/7"))).await.unwrap().status(), 200);
    }

    #[tokio::test]
    async fn a_request_that_does_not_wait_is_not_counted() {
        let locks = Probe::default().manager();
        let _holder = locks.lock(KEY).await.unwrap();
        let service = layer(&locks).max_waiting(1, 1).try_once().layer(service_fn(never_called));
        let calls = [service.clone().oneshot(request("/7")), service.oneshot(request("/7"))];
        for call in calls {
            assert_eq!(answered(soon(call).await.unwrap()).await, rejected(409, true, "lock_busy"));
        }
    }

    #[tokio::test]
    async fn waiters_are_served_in_order() {
        let probe = Probe::default();
        let locks = probe.manager();
        let holder = locks.lock(KEY).await.unwrap();
        probe.acquire_asked().await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let served = Arc::clone(&order);
        let service = layer(&locks).layer(service_fn(move |request: Request<u32>| {
            served.lock().unwrap().push(request.into_body());
            hello(super::request("/7"))
        }));
        let mut waiters = Vec::new();
        for number in 0..5 {
            waiters.push(tokio::spawn(service.clone().oneshot(request("/7").map(|()| number))));
            probe.acquire_asked().await;
        }
        holder.release().await.unwrap();
        for waiter in waiters {
            soon(waiter).await.unwrap().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    }
}

mod on_lost {
    use super::*;

    /// A handler that loses its lock, and is done in the same breath.
    fn loses(
        probe: &Probe,
        layer: &LockLayer,
    ) -> impl Future<Output = Response<dlock_tower::LockBody<Full<Bytes>>>> {
        let losing = probe.clone();
        let service = layer.layer(service_fn(move |request: Request<()>| {
            losing.lose_all();
            hello(request)
        }));
        async { soon(service.oneshot(request("/7"))).await.unwrap() }
    }

    #[tokio::test]
    async fn a_lock_lost_by_the_time_the_handler_returns_is_answered_as_lost() {
        let probe = Probe::default();
        let response = loses(&probe, &layer(&probe.manager())).await;
        assert_eq!(answered(response).await, rejected(500, false, "lock_lost"));
        probe.emptied().await;
    }

    /// Blocks past the lease and never awaits: the clock moves while the handler, or its body, is polled.
    fn outlived(clock: &TestClock) -> LockLayer {
        let backend = EmbeddedBackend::with_clock(clock.clone());
        layer(&LockManager::builder(backend).ttl(LONG).build().unwrap())
    }

    #[tokio::test]
    async fn a_handler_that_blocks_past_its_lease_is_answered_as_lost() {
        for (on_lost, answer) in [
            (OnLost::Abort, rejected(500, false, "lock_lost")),
            (OnLost::Finish, rejected(200, false, "hello")),
        ] {
            let clock = TestClock::new();
            let layer = outlived(&clock).on_lost(on_lost);
            let service = layer.layer(service_fn(move |request: Request<()>| {
                let clock = clock.clone();
                async move {
                    clock.advance(2 * LONG);
                    hello(request).await
                }
            }));
            let response = soon(service.oneshot(request("/7"))).await.unwrap();
            assert_eq!(answered(response).await, answer);
        }
    }

    /// A body that blocks past the lease of its lock.
    async fn late_body(on_lost: OnLost) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        let clock = TestClock::new();
        let layer = outlived(&clock).on_lost(on_lost);
        let service = layer.layer(service_fn(move |_: Request<()>| {
            let clock = clock.clone();
            let late = Full::<Bytes>::from("late").map_frame(move |frame| {
                clock.advance(2 * LONG);
                frame
            });
            async move { Ok::<_, Infallible>(Response::new(late)) }
        }));
        let body = soon(service.oneshot(request("/7"))).await.unwrap().into_body();
        soon(body.collect()).await.map(Collected::to_bytes)
    }

    #[tokio::test]
    async fn a_body_that_blocks_past_its_lease_ends_with_an_error() {
        let error = late_body(OnLost::Abort).await.unwrap_err();
        assert_eq!(error.downcast::<LockError>().unwrap().kind(), ErrorKind::Lost);
        assert_eq!(late_body(OnLost::Finish).await.unwrap(), "late");
    }

    #[tokio::test]
    async fn a_layer_told_to_finish_sends_the_answer_all_the_same() {
        let probe = Probe::default();
        let response = loses(&probe, &layer(&probe.manager()).on_lost(OnLost::Finish)).await;
        assert_eq!(answered(response).await, rejected(200, false, "hello"));
        probe.emptied().await;
    }

    #[tokio::test]
    async fn a_body_told_to_finish_is_sent_to_its_end() {
        let probe = Probe::default();
        let (feed, body) = Fed::new();
        let body = Arc::new(Mutex::new(Some(body)));
        let layer = layer(&probe.manager()).on_lost(OnLost::Finish);
        let service = layer.layer(service_fn(move |_: Request<()>| {
            let body = body.lock().unwrap().take().unwrap();
            async move { Ok::<_, Infallible>(Response::new(body)) }
        }));
        let response = soon(service.oneshot(request("/7"))).await.unwrap();
        let mut all = pin!(response.into_body().collect());
        assert!(all.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        probe.lose_all();
        feed.send(data("to the end")).unwrap();
        drop(feed);
        assert_eq!(soon(all).await.unwrap().to_bytes(), "to the end");
    }
}

mod on_unavailable {
    use super::*;

    fn service(
        kind: ErrorKind,
        on: OnUnavailable,
    ) -> impl Service<Request<()>, Response = Response<dlock_tower::LockBody<Full<Bytes>>>, Error = Infallible>
    {
        let locks = LockManager::builder(Failing(kind)).build().unwrap();
        layer(&locks).on_unavailable(on).layer(service_fn(|request: Request<()>| {
            assert!(request.extensions().get::<Locked>().is_none());
            hello(request)
        }))
    }

    #[tokio::test]
    async fn a_layer_told_to_proceed_handles_the_request_without_a_lock() {
        let service = service(ErrorKind::Unavailable, OnUnavailable::Proceed);
        assert_eq!(answered(soon(service.oneshot(request("/7"))).await.unwrap()).await.2, "hello");
    }

    #[tokio::test]
    async fn every_other_failure_is_refused_all_the_same() {
        for (kind, status, code) in
            [(ErrorKind::Auth, 500, "lock_misconfigured"), (ErrorKind::Busy, 409, "lock_busy")]
        {
            let service = service(kind, OnUnavailable::Proceed);
            let response = soon(service.oneshot(request("/7"))).await.unwrap();
            assert_eq!(answered(response).await, rejected(status, status == 409, code));
        }
    }

    #[tokio::test]
    async fn a_lock_lost_before_the_call_is_not_seen_by_a_handler_that_goes_on_without() {
        let probe = Probe::default();
        let (inner, mut handle) = tower_test::mock::pair::<Request<()>, Response<Full<Bytes>>>();
        handle.allow(0);
        let layer = layer(&probe.manager()).on_unavailable(OnUnavailable::Proceed);
        let handled = tokio::spawn(layer.layer(inner).oneshot(request("/7")));
        probe.acquire_asked().await;
        while probe.is_empty() {
            tokio::task::yield_now().await;
        }
        probe.lose_all();
        handle.allow(1);
        let (request, responder) = soon(handle.next_request()).await.unwrap();
        assert!(request.extensions().get::<Locked>().is_none());
        responder.send_response(Response::default());
        assert_eq!(soon(handled).await.unwrap().unwrap().status(), 200);
    }
}

mod read_body_first {
    use super::*;

    async fn echo(request: Request<Body>) -> Result<Response<Body>, Infallible> {
        assert!(request.extensions().get::<Locked>().is_some());
        Ok(Response::new(request.into_body()))
    }

    #[tokio::test]
    async fn a_slow_upload_does_not_hold_the_lock() {
        let probe = Probe::default();
        let locks = probe.manager();
        let service = layer(&locks).read_body_first(100).layer(service_fn(echo));
        let (feed, body) = Fed::new();
        let mut handled = pin!(service.oneshot(request("/7").map(|()| Body::new(body))));
        feed.send(data("a")).unwrap();
        assert!(handled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(probe.acquires(), 0);
        feed.send(data("b")).unwrap();
        drop(feed);
        let response = soon(handled).await.unwrap();
        assert_eq!(answered(response).await, rejected(200, false, "ab"));
        assert_freed(&locks, KEY).await;
    }

    /// The control: without the option the same upload holds it.
    #[tokio::test]
    async fn without_it_a_slow_upload_does() {
        let probe = Probe::default();
        let locks = probe.manager();
        let service = layer(&locks).layer(service_fn(async |request: Request<Body>| {
            let read = request.into_body().collect().await.unwrap().to_bytes();
            Ok::<_, Infallible>(Response::new(Body::from(read)))
        }));
        let (feed, body) = Fed::new();
        let mut handled = pin!(service.oneshot(request("/7").map(|()| Body::new(body))));
        feed.send(data("a")).unwrap();
        assert!(handled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_held(&locks, KEY).await;
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_or_breaks_off_is_refused_before_anything_is_asked() {
        let probe = Probe::default();
        let service = layer(&probe.manager()).read_body_first(4).layer(service_fn(echo));
        let (feed, streamed) = Fed::new();
        feed.send(data("abc")).unwrap();
        feed.send(data("de")).unwrap();
        let (torn, broken) = Fed::new();
        torn.send(Err(std::io::Error::other("torn"))).unwrap();
        let too_large = rejected(413, false, "body_too_large");
        for (body, expected) in [
            (Body::from("abcde"), too_large.clone()),
            (Body::new(streamed), too_large),
            (Body::new(broken), rejected(400, false, "body_broken")),
        ] {
            let response = soon(service.clone().oneshot(request("/7").map(|()| body))).await.unwrap();
            assert_eq!(answered(response).await, expected);
        }
        assert_eq!(probe.acquires(), 0);
    }

    #[tokio::test]
    async fn a_body_as_large_as_may_be_is_handled() {
        let service = layer(&Probe::default().manager()).read_body_first(4).layer(service_fn(echo));
        let response = soon(service.oneshot(request("/7").map(|()| Body::from("abcd")))).await.unwrap();
        assert_eq!(answered(response).await.2, "abcd");
    }

    #[tokio::test]
    async fn a_request_that_is_not_locked_is_passed_on_unread() {
        let layer = LockLayer::new(Probe::default().manager(), |_: &http::request::Parts| Ok(None));
        let service = layer.read_body_first(1).layer(service_fn(async |request: Request<Body>| {
            Ok::<_, Infallible>(Response::new(request.into_body()))
        }));
        let response = soon(service.oneshot(Request::new(Body::from("abcd")))).await.unwrap();
        assert_eq!(answered(response).await.2, "abcd");
    }
}

mod answers {
    use super::*;

    #[tokio::test]
    async fn a_grpc_request_is_answered_in_its_own_way() {
        let locks = Probe::default().manager();
        let _holder = locks.lock(KEY).await.unwrap();
        let service = layer(&locks).try_once().layer(service_fn(never_called));
        let mut request = request("/7");
        request.headers_mut().insert("content-type", "application/grpc+proto".parse().unwrap());
        let response = soon(service.oneshot(request)).await.unwrap();
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            (response.status(), header("content-type").as_str()),
            (StatusCode::OK, "application/grpc")
        );
        assert_eq!(header("grpc-status"), "10");
        assert_eq!(header("grpc-message"), "Another request holds the lock");
        assert!(response.headers().contains_key("retry-after"));
        assert!(http_body::Body::is_end_stream(response.body()));
    }

    #[tokio::test]
    async fn the_layer_answers_as_it_was_told_whatever_was_asked() {
        let locks = Probe::default().manager();
        locks.close();
        let layer = layer(&locks).reject_with(|rejection| {
            let mut response = Response::new(Bytes::from(rejection.code()));
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            response
        });
        let mut grpc = request("/7");
        grpc.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        for request in [request("/7"), grpc] {
            let response = soon(layer.layer(service_fn(never_called)).oneshot(request)).await.unwrap();
            assert_eq!(answered(response).await, rejected(418, false, "lock_closed"));
        }
    }
}

mod within {
    use super::*;

    #[distributed_lock("index", locks = locks)]
    async fn again(locks: &LockManager) -> Result<(), LockError> {
        Ok(())
    }

    /// Answers with what becomes of code that asks for the lock that its request has.
    async fn asks_again(locks: LockManager) -> Result<Response<Full<Bytes>>, Infallible> {
        let kind = again(&locks).await.map_err(|error| error.kind());
        Ok(Response::new(Full::from(format!("{kind:?}"))))
    }

    #[tokio::test]
    async fn an_annotated_function_does_not_wait_for_its_own_requests_lock() {
        let locks = Probe::default().manager();
        let within = locks.clone();
        let layer = LockLayer::new(locks, Key::new("index"));
        let service = layer.layer(service_fn(move |_: Request<()>| asks_again(within.clone())));
        let response = soon(service.oneshot(request("/"))).await.unwrap();
        assert_eq!(answered(response).await.2, "Err(Reentrant)");
    }

    #[tokio::test]
    async fn a_task_that_the_handler_spawns_waits_as_any_other() {
        let probe = Probe::default();
        let locks = probe.manager();
        let within = locks.clone();
        let layer = LockLayer::new(locks, Key::new("index"));
        let service = layer.layer(service_fn(move |_: Request<()>| {
            let task = tokio::spawn(asks_again(within.clone()));
            async move {
                let mut response = Response::new(Full::<Bytes>::default());
                response.extensions_mut().insert(Arc::new(Mutex::new(Some(task))));
                Ok::<_, Infallible>(response)
            }
        }));
        let response = soon(service.oneshot(request("/"))).await.unwrap();
        type Task = Arc<Mutex<Option<tokio::task::JoinHandle<Outcome>>>>;
        let task = response.extensions().get::<Task>().unwrap().lock().unwrap().take().unwrap();
        drop(response);
        assert_eq!(answered(soon(task).await.unwrap().unwrap()).await.2, "Ok(())");
    }

    #[tokio::test]
    async fn a_body_does_not_wait_for_its_own_requests_lock() {
        let locks = Probe::default().manager();
        let within = locks.clone();
        let service = LockLayer::new(locks, Key::new("index")).layer(service_fn(move |_: Request<()>| {
            let asked = Box::pin(asks_again(within.clone()));
            let body = futures_body(asked);
            async move { Ok::<_, Infallible>(Response::new(body)) }
        }));
        let response = soon(service.oneshot(request("/"))).await.unwrap();
        assert_eq!(answered(response).await.2, "Err(Reentrant)");
    }

    /// A body whose only frame is the answer's.
    fn futures_body(asked: std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>>) -> Body {
        struct Asking(Option<std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>>>);
        impl http_body::Body for Asking {
            type Data = Bytes;
            type Error = Infallible;

            fn poll_frame(
                mut self: std::pin::Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
                let Some(asked) = &mut self.0 else { return std::task::Poll::Ready(None) };
                let response = std::task::ready!(asked.as_mut().poll(context)).unwrap();
                self.0 = None;
                std::pin::pin!(response.into_body()).poll_frame(context)
            }
        }
        Body::new(Asking(Some(asked)))
    }
}
