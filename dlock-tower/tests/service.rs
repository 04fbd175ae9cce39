//! The service, called by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{Failing, Fed, LONG, OnDrop, Probe, assert_freed, assert_held, data, soon};
use dlock_core::{ErrorKind, LockError, LockKey, LockManager};
use dlock_tower::{
    HoldUntil, Key, KeyError, Lock, LockBody, LockLayer, LockRejection, Locked, ResponseFuture,
};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty, Full};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::oneshot;
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _, service_fn};

const KEY: &str = "order:%2F7";

fn layer(locks: &LockManager) -> LockLayer {
    LockLayer::new(locks.clone(), Key::new("order").uri_path()).wait(LONG)
}

fn request(path: &str) -> Request<()> {
    Request::builder().uri(path).body(()).unwrap()
}

fn text(text: &'static str) -> Response<Full<Bytes>> {
    Response::new(Full::from(text))
}

async fn never_called(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    unreachable!("the handler was called")
}

async fn hello(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(text("hello"))
}

/// What a client gets: status, the least `Retry-After` of which this is a jittered one, the text of the body.
async fn seen<B>(response: Response<B>) -> (u16, Option<u64>, String)
where
    B: Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let status = response.status().as_u16();
    let after = response.headers().get("retry-after").map(least_delay);
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    (status, after, String::from_utf8(body.to_vec()).unwrap())
}

/// Answers say up to twice what the layer was told, at random. Tests tell layers an odd number.
fn least_delay(after: &http::HeaderValue) -> u64 {
    let after: u64 = after.to_str().unwrap().parse().unwrap();
    [1, 7].into_iter().find(|least| (*least..=2 * least).contains(&after)).unwrap()
}

fn code_of(body: &str) -> &str {
    body.rsplit("\"code\":\"").next().unwrap().trim_end_matches("\"}")
}

mod readiness {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Broken;

    /// An inner service that insists on being readied, and counts.
    struct Mock {
        shared: Arc<Shared>,
        ready: bool,
    }

    struct Shared {
        readiness: Box<Readiness>,
        polls: AtomicUsize,
        calls: AtomicUsize,
    }

    /// The answer to the poll with this number.
    type Readiness = dyn Fn(usize) -> Poll<Result<(), Broken>> + Send + Sync;

    impl Mock {
        fn new(readiness: impl Fn(usize) -> Poll<Result<(), Broken>> + Send + Sync + 'static) -> Self {
            let readiness = Box::new(readiness);
            let shared = Shared { readiness, polls: AtomicUsize::new(0), calls: AtomicUsize::new(0) };
            Self { shared: Arc::new(shared), ready: false }
        }
    }

    /// A clone is not ready because the original is.
    impl Clone for Mock {
        fn clone(&self) -> Self {
            Self { shared: Arc::clone(&self.shared), ready: false }
        }
    }

    impl Service<Request<()>> for Mock {
        type Response = Response<Full<Bytes>>;
        type Error = Broken;
        type Future = std::future::Ready<Result<Self::Response, Broken>>;

        fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
            let answer = (self.shared.readiness)(self.shared.polls.fetch_add(1, Ordering::SeqCst));
            self.ready = answer == Poll::Ready(Ok(()));
            context.waker().wake_by_ref();
            answer
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            assert!(std::mem::take(&mut self.ready), "called without having been readied");
            self.shared.calls.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok(text("hello")))
        }
    }

    #[tokio::test]
    async fn it_is_ready_without_asking_the_inner_service() {
        let mock = Mock::new(|_| Poll::Pending);
        let mut service = layer(&Probe::default().manager()).layer(mock.clone());
        let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
        assert!(ready.is_ready());
        assert_eq!(mock.shared.polls.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn the_instance_that_is_called_was_readied_each_time() {
        let mock = Mock::new(|polls| if polls % 2 == 0 { Poll::Pending } else { Poll::Ready(Ok(())) });
        let mut service = layer(&Probe::default().manager()).layer(mock.clone());
        for path in ["/1", "/2", "/3"] {
            assert_eq!(soon(service.call(request(path))).await.unwrap().status(), 200);
            let mut clone = service.clone();
            assert_eq!(soon(clone.call(request(path))).await.unwrap().status(), 200);
        }
        assert_eq!(mock.shared.calls.load(Ordering::SeqCst), 6);
    }

    #[tokio::test]
    async fn an_error_of_the_readiness_passes_and_releases() {
        let probe = Probe::default();
        let service = layer(&probe.manager()).layer(Mock::new(|_| Poll::Ready(Err(Broken))));
        assert_eq!(soon(service.oneshot(request("/7"))).await.unwrap_err(), Broken);
        probe.emptied().await;
    }

    #[tokio::test]
    async fn the_inner_service_is_not_readied_before_the_lock_is_there() {
        let probe = Probe::default();
        let locks = probe.manager();
        let holder = locks.lock(KEY).await.unwrap();
        probe.acquire_asked().await;
        let mock = Mock::new(|_| Poll::Ready(Ok(())));
        let handled = tokio::spawn(layer(&locks).layer(mock.clone()).oneshot(request("/7")));
        probe.acquire_asked().await;
        assert_eq!(mock.shared.polls.load(Ordering::SeqCst), 0);
        holder.release().await.unwrap();
        assert_eq!(soon(handled).await.unwrap().unwrap().status(), 200);
    }

    #[tokio::test]
    async fn a_lock_lost_before_the_inner_service_is_ready_is_answered_as_unavailable() {
        let probe = Probe::default();
        let (reached, at_readiness) = oneshot::channel();
        let reached = Mutex::new(Some(reached));
        let mock = Mock::new(move |_| {
            reached.lock().unwrap().take().map(|reached| reached.send(()));
            Poll::Pending
        });
        let handled = tokio::spawn(layer(&probe.manager()).layer(mock.clone()).oneshot(request("/7")));
        soon(at_readiness).await.unwrap();
        probe.lose_all();
        let (status, after, body) = seen(soon(handled).await.unwrap().unwrap()).await;
        assert_eq!((status, after, code_of(&body)), (503, Some(1), "lock_unavailable"));
        assert_eq!(mock.shared.calls.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_waiter_takes_no_room_from_requests_for_other_keys() {
        let probe = Probe::default();
        let locks = probe.manager();
        let holder = locks.lock(KEY).await.unwrap();
        probe.acquire_asked().await;
        let service =
            ServiceBuilder::new().layer(layer(&locks)).concurrency_limit(1).service(service_fn(hello));
        let waiter = tokio::spawn(service.clone().oneshot(request("/7")));
        probe.acquire_asked().await;
        assert_eq!(soon(service.oneshot(request("/8"))).await.unwrap().status(), 200);
        holder.release().await.unwrap();
        assert_eq!(soon(waiter).await.unwrap().unwrap().status(), 200);
    }
}

mod waiting {
    use super::*;

    #[tokio::test]
    async fn a_clone_excludes_a_clone() {
        let locks = Probe::default().manager();
        let (entered, is_in) = oneshot::channel();
        let (leave, left) = oneshot::channel::<()>();
        let gate = Arc::new(Mutex::new(Some((entered, left))));
        let service = layer(&locks).try_once().layer(service_fn(move |_: Request<()>| {
            let gate = gate.lock().unwrap().take();
            async move {
                let (entered, left) = gate.expect("one call at a time");
                entered.send(()).unwrap();
                left.await.unwrap();
                Ok::<_, Infallible>(text("first"))
            }
        }));
        let first = tokio::spawn(service.clone().oneshot(request("/7")));
        soon(is_in).await.unwrap();
        let (status, after, body) = seen(soon(service.clone().oneshot(request("/7"))).await.unwrap()).await;
        assert_eq!((status, after, code_of(&body)), (409, Some(1), "lock_busy"));
        leave.send(()).unwrap();
        assert_eq!(seen(soon(first).await.unwrap().unwrap()).await.2, "first");
    }

    #[tokio::test]
    async fn a_request_is_handled_once_its_turn_comes() {
        let probe = Probe::default();
        let locks = probe.manager();
        let holder = locks.lock(KEY).await.unwrap();
        probe.acquire_asked().await;
        let waiter = tokio::spawn(layer(&locks).layer(service_fn(hello)).oneshot(request("/7")));
        probe.acquire_asked().await;
        holder.release().await.unwrap();
        assert_eq!(seen(soon(waiter).await.unwrap().unwrap()).await.2, "hello");
    }

    #[tokio::test]
    async fn a_lock_that_stays_busy_is_answered_as_the_layer_was_told() {
        let locks = Probe::default().manager();
        let _holder = locks.lock(KEY).await.unwrap();
        let layer = layer(&locks)
            .wait(Duration::from_millis(5))
            .busy_status(StatusCode::LOCKED)
            .retry_after(Duration::from_millis(6_500));
        let response = soon(layer.layer(service_fn(never_called)).oneshot(request("/7"))).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let (status, after, body) = seen(response).await;
        assert_eq!((status, after), (423, Some(7)));
        assert_eq!(body, r#"{"title":"Another request holds the lock","status":423,"code":"lock_busy"}"#);
    }

    #[tokio::test]
    async fn a_future_dropped_before_it_is_polled_asks_nothing() {
        let probe = Probe::default();
        let locks = probe.manager();
        drop(layer(&locks).layer(service_fn(never_called)).call(request("/7")));
        assert_eq!(probe.acquires(), 0);
        assert!(probe.is_empty());
    }

    #[tokio::test]
    async fn a_future_dropped_while_it_waits_leaves_the_queue() {
        let probe = Probe::default();
        let locks = probe.manager();
        let holder = locks.lock(KEY).await.unwrap();
        let mut service = layer(&locks).layer(service_fn(never_called));
        let mut waiter = Box::pin(service.call(request("/7")));
        assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(waiter);
        probe.release_asked().await;
        holder.release().await.unwrap();
        probe.emptied().await;
    }

    #[tokio::test]
    async fn a_closed_manager_is_answered_as_closed_even_to_waiting_requests() {
        let probe = Probe::default();
        let locks = probe.manager();
        let _holder = locks.lock(KEY).await.unwrap();
        probe.acquire_asked().await;
        let service = layer(&locks).layer(service_fn(never_called));
        let waiter = tokio::spawn(service.clone().oneshot(request("/7")));
        probe.acquire_asked().await;
        locks.close();
        for response in [soon(waiter).await.unwrap(), soon(service.oneshot(request("/8"))).await] {
            let (status, after, body) = seen(response.unwrap()).await;
            assert_eq!((status, after, code_of(&body)), (503, Some(1), "lock_closed"));
        }
    }

    #[tokio::test]
    async fn a_backend_that_fails_is_answered_by_whether_trying_again_helps() {
        for (kind, expected) in [
            (ErrorKind::Unavailable, (503, Some(1), "lock_unavailable")),
            (ErrorKind::Auth, (500, None, "lock_misconfigured")),
        ] {
            let locks = LockManager::builder(Failing(kind)).build().unwrap();
            let service = layer(&locks).layer(service_fn(never_called));
            let (status, after, body) = seen(soon(service.oneshot(request("/7"))).await.unwrap()).await;
            assert_eq!((status, after, code_of(&body)), expected);
        }
    }

    #[tokio::test]
    async fn a_ttl_out_of_range_is_a_fault_of_the_program() {
        let layer = layer(&Probe::default().manager()).ttl(Duration::from_millis(1));
        let response = soon(layer.layer(service_fn(never_called)).oneshot(request("/7"))).await.unwrap();
        let (status, after, body) = seen(response).await;
        assert_eq!((status, after, code_of(&body)), (500, None, "lock_misconfigured"));
    }
}

mod keys {
    use super::*;

    #[tokio::test]
    async fn a_request_without_a_key_is_handled_without_a_lock() {
        let probe = Probe::default();
        let layer = LockLayer::new(probe.manager(), |_: &Parts| Ok(None));
        let service = layer.layer(service_fn(|request: Request<()>| async move {
            assert!(request.extensions().get::<Locked>().is_none());
            hello(request).await
        }));
        assert_eq!(seen(soon(service.oneshot(request("/7"))).await.unwrap()).await.2, "hello");
        assert_eq!(probe.acquires(), 0);
    }

    #[tokio::test]
    async fn a_key_error_is_answered_by_whose_fault_it_is_and_not_repeated() {
        type Read = fn(&Parts) -> Result<Option<LockKey>, KeyError>;
        let reads: [(Read, _); 4] = [
            (|_| Err(KeyError::client("secret")), (400, "lock_key_invalid")),
            (|_| Err(KeyError::wiring("secret")), (500, "lock_misconfigured")),
            (|_| Ok(Some(LockKey::new("")?)), (400, "lock_key_invalid")),
            (|_| Err(LockError::new(ErrorKind::NotConfigured, "secret").into()), (500, "lock_misconfigured")),
        ];
        for (read, expected) in reads {
            let service = LockLayer::new(Probe::default().manager(), read).layer(service_fn(never_called));
            let (status, after, body) = seen(soon(service.oneshot(request("/7"))).await.unwrap()).await;
            assert_eq!((status, code_of(&body)), expected);
            assert_eq!(after, None);
            assert!(!body.contains("secret"), "{body}");
        }
    }

    #[tokio::test]
    async fn the_handler_sees_its_lock() {
        let locks = Probe::default().manager();
        let earlier = locks.lock(KEY).await.unwrap();
        let token = earlier.token();
        earlier.release().await.unwrap();
        let service = layer(&locks).ttl(LONG).layer(service_fn(move |request: Request<()>| {
            let locked = request.extensions().get::<Locked>().unwrap().clone();
            assert_eq!(locked.key().as_bytes(), KEY.as_bytes());
            assert!(locked.token() > token);
            assert!(locked.is_valid());
            assert!(locked.remaining() <= LONG && locked.remaining() > Duration::ZERO);
            hello(request)
        }));
        assert_eq!(seen(soon(service.oneshot(request("/7"))).await.unwrap()).await.2, "hello");
    }
}

mod nesting {
    use super::*;

    fn keyed(locks: &LockManager, key: &'static str) -> LockLayer {
        LockLayer::new(locks.clone(), Key::new(key)).try_once()
    }

    #[tokio::test]
    async fn a_lock_that_the_request_has_is_not_asked_for_again() {
        let probe = Probe::default();
        let locks = probe.manager();
        let service = ServiceBuilder::new()
            .layer(keyed(&locks, "a"))
            .layer(keyed(&locks, "b"))
            .layer(keyed(&locks, "a"))
            .layer(keyed(&locks, "b"))
            .service(service_fn(hello));
        assert_eq!(seen(soon(service.oneshot(request("/7"))).await.unwrap()).await.2, "hello");
        assert_eq!(probe.acquires(), 2);
        probe.emptied().await;
    }

    #[tokio::test]
    async fn the_handler_sees_the_lock_of_the_innermost_layer_that_took_one() {
        let locks = Probe::default().manager();
        let service = ServiceBuilder::new().layer(keyed(&locks, "a")).layer(keyed(&locks, "b")).service(
            service_fn(|request: Request<()>| {
                let locked = request.extensions().get::<Locked>().unwrap();
                assert_eq!(locked.key().as_bytes(), b"b");
                hello(request)
            }),
        );
        assert_eq!(soon(service.oneshot(request("/7"))).await.unwrap().status(), 200);
    }

    #[tokio::test]
    async fn the_same_key_of_another_manager_is_another_lock() {
        let (one, other) = (Probe::default(), Probe::default());
        let service = ServiceBuilder::new()
            .layer(keyed(&one.manager(), "a"))
            .layer(keyed(&other.manager(), "a"))
            .service(service_fn(hello));
        assert_eq!(soon(service.oneshot(request("/7"))).await.unwrap().status(), 200);
        assert_eq!((one.acquires(), other.acquires()), (1, 1));
    }

    #[tokio::test]
    async fn a_lock_that_is_over_does_not_count() {
        let locks = Probe::default().manager();
        let kept = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&kept);
        let first = keyed(&locks, "a").layer(service_fn(move |request: Request<()>| {
            *keep.lock().unwrap() = request.extensions().get::<Locked>().cloned();
            hello(request)
        }));
        drop(soon(first.oneshot(request("/7"))).await.unwrap());
        assert_freed(&locks, "a").await;

        let mut later = request("/7");
        let stale = kept.lock().unwrap().clone().unwrap();
        later.extensions_mut().insert(stale.clone());
        let second = keyed(&locks, "a").layer(service_fn(move |request: Request<()>| {
            assert!(request.extensions().get::<Locked>().unwrap().token() > stale.token());
            hello(request)
        }));
        assert_eq!(soon(second.oneshot(later)).await.unwrap().status(), 200);
    }
}

mod holding {
    use super::*;

    type Fallible<B> = Result<Response<B>, std::io::Error>;

    async fn answer_with<B>(layer: LockLayer, body: B) -> Response<LockBody<B>>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let body = Arc::new(Mutex::new(Some(body)));
        let service = layer.layer(service_fn(move |_: Request<()>| {
            let body = body.lock().unwrap().take().unwrap();
            async move { Fallible::Ok(Response::new(body)) }
        }));
        soon(service.oneshot(request("/7"))).await.unwrap()
    }

    #[tokio::test]
    async fn an_error_of_the_inner_service_passes_and_releases() {
        let probe = Probe::default();
        let service = layer(&probe.manager()).layer(service_fn(|_: Request<()>| async {
            Fallible::<Full<Bytes>>::Err(std::io::Error::other("inner"))
        }));
        assert_eq!(soon(service.oneshot(request("/7"))).await.unwrap_err().to_string(), "inner");
        probe.emptied().await;
    }

    #[tokio::test]
    async fn a_panic_of_the_inner_service_releases() {
        let probe = Probe::default();
        let service = layer(&probe.manager()).layer(service_fn(never_called));
        assert!(soon(tokio::spawn(service.oneshot(request("/7")))).await.unwrap_err().is_panic());
        probe.emptied().await;
    }

    #[tokio::test]
    async fn the_inner_future_is_dropped_before_the_lock_is_released() {
        let probe = Probe::default();
        let locks = probe.manager();
        let held_at_drop = Arc::new(AtomicBool::new(false));
        struct Watch(Arc<AtomicBool>, Locked);
        impl Drop for Watch {
            fn drop(&mut self) {
                self.0.store(self.1.is_valid(), Ordering::SeqCst);
            }
        }
        let flag = Arc::clone(&held_at_drop);
        let mut service = layer(&locks).layer(service_fn(move |request: Request<()>| {
            let watch = Watch(Arc::clone(&flag), request.extensions().get::<Locked>().unwrap().clone());
            async move {
                let _watch = watch;
                std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
            }
        }));
        let mut handled = Box::pin(service.call(request("/7")));
        assert!(handled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_held(&locks, KEY).await;
        drop(handled);
        assert!(held_at_drop.load(Ordering::SeqCst));
        probe.emptied().await;
    }

    #[tokio::test]
    async fn a_streamed_body_holds_until_its_end() {
        let locks = Probe::default().manager();
        let (feed, body) = Fed::new();
        let mut body = answer_with(layer(&locks), body).await.into_body();
        let trailers = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("\"1\""))]);
        feed.send(data("one")).unwrap();
        feed.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
        assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "one");
        assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_trailers().unwrap(), trailers);
        assert!(!body.is_end_stream());
        assert_held(&locks, KEY).await;
        drop(feed);
        assert!(soon(body.frame()).await.is_none());
        assert_freed(&locks, KEY).await;
    }

    #[tokio::test]
    async fn a_body_releases_with_its_last_frame_even_if_its_end_is_not_polled() {
        let locks = Probe::default().manager();
        let mut body = answer_with(layer(&locks), Full::from("all of it")).await.into_body();
        assert_eq!(body.size_hint().exact(), Some(9));
        assert!(!body.is_end_stream());
        assert_held(&locks, KEY).await;
        assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "all of it");
        assert!(body.is_end_stream());
        assert_freed(&locks, KEY).await;
    }

    #[tokio::test]
    async fn an_empty_body_does_not_hold() {
        let locks = Probe::default().manager();
        let response = answer_with(layer(&locks), Empty::new()).await;
        assert!(response.body().is_end_stream());
        assert_freed(&locks, KEY).await;
    }

    #[tokio::test]
    async fn a_body_that_fails_releases_and_passes_its_error() {
        let locks = Probe::default().manager();
        let (feed, body) = Fed::new();
        let mut body = answer_with(layer(&locks), body).await.into_body();
        feed.send(Err(std::io::Error::other("torn"))).unwrap();
        let error = soon(body.frame()).await.unwrap().unwrap_err();
        assert_eq!(error.downcast::<std::io::Error>().unwrap().to_string(), "torn");
        assert_freed(&locks, KEY).await;
    }

    #[tokio::test]
    async fn a_body_that_is_dropped_releases() {
        let locks = Probe::default().manager();
        let (_feed, body) = Fed::new();
        let response = answer_with(layer(&locks), body).await;
        assert_held(&locks, KEY).await;
        drop(response);
        assert_freed(&locks, KEY).await;
    }

    #[tokio::test]
    async fn a_layer_can_hold_until_the_head_only() {
        let locks = Probe::default().manager();
        let (feed, body) = Fed::new();
        let response = answer_with(layer(&locks).hold(HoldUntil::Head), body).await;
        assert_freed(&locks, KEY).await;
        feed.send(data("later")).unwrap();
        drop(feed);
        assert_eq!(seen(response).await.2, "later");
    }

    #[tokio::test]
    async fn a_view_does_not_keep_the_lock_and_its_guard_does() {
        let locks = Probe::default().manager();
        let kept = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&kept);
        let service = layer(&locks).layer(service_fn(move |request: Request<()>| {
            let locked = request.extensions().get::<Locked>().unwrap().clone();
            *keep.lock().unwrap() = Some((locked.clone(), locked.hold().unwrap()));
            hello(request)
        }));
        seen(soon(service.oneshot(request("/7"))).await.unwrap()).await;
        let (view, guard) = kept.lock().unwrap().take().unwrap();
        assert_held(&locks, KEY).await;
        assert!(view.is_valid());
        drop(guard);
        assert_freed(&locks, KEY).await;
        assert!(!view.is_valid());
        assert!(view.hold().is_none());
    }
}

mod losing {
    use super::*;

    #[tokio::test]
    async fn a_lock_lost_while_the_handler_runs_drops_it_and_is_answered_as_lost() {
        let probe = Probe::default();
        let (entered, is_in) = oneshot::channel();
        let (watch, dropped) = OnDrop::new();
        let once = Arc::new(Mutex::new(Some((entered, watch))));
        let service = layer(&probe.manager()).layer(service_fn(move |_: Request<()>| {
            let (entered, watch) = once.lock().unwrap().take().unwrap();
            async move {
                let _watch = watch;
                entered.send(()).unwrap();
                std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
            }
        }));
        let handled = tokio::spawn(service.oneshot(request("/7")));
        soon(is_in).await.unwrap();
        probe.lose_all();
        let response = soon(handled).await.unwrap().unwrap();
        soon(dropped).await.unwrap();
        let (status, after, body) = seen(response).await;
        assert_eq!((status, after, code_of(&body)), (500, None, "lock_lost"));
    }

    #[tokio::test]
    async fn a_handler_that_is_done_after_the_loss_is_not_believed() {
        let probe = Probe::default();
        let (finish, finished) = oneshot::channel::<()>();
        let finished = Arc::new(Mutex::new(Some(finished)));
        let mut service = layer(&probe.manager()).layer(service_fn(move |_: Request<()>| {
            let finished = finished.lock().unwrap().take().unwrap();
            async move {
                finished.await.unwrap();
                Ok::<_, Infallible>(text("unprotected"))
            }
        }));
        let mut handled = Box::pin(service.call(request("/7")));
        assert!(handled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        probe.lose_all();
        finish.send(()).unwrap();
        let (status, _, body) = seen(soon(handled).await.unwrap()).await;
        assert_eq!((status, code_of(&body)), (500, "lock_lost"));
    }

    #[tokio::test]
    async fn a_lock_lost_after_the_head_ends_the_body_with_an_error() {
        let probe = Probe::default();
        let (watch, dropped) = OnDrop::new();
        let (feed, body) = Fed::new();
        let inner = Arc::new(Mutex::new(Some((watch, body))));
        let service = layer(&probe.manager()).layer(service_fn(move |_: Request<()>| {
            let (watch, body) = inner.lock().unwrap().take().unwrap();
            let body = body.map_frame(move |frame| {
                let _ = &watch;
                frame
            });
            async move { Ok::<_, Infallible>(Response::new(body)) }
        }));
        let mut body = pin!(soon(service.oneshot(request("/7"))).await.unwrap().into_body());
        feed.send(data("one")).unwrap();
        assert!(soon(body.frame()).await.unwrap().is_ok());

        let mut next = pin!(body.frame());
        assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        probe.lose_all();
        let error = soon(next).await.unwrap().unwrap_err();
        assert_eq!(error.downcast::<LockError>().unwrap().kind(), ErrorKind::Lost);
        soon(dropped).await.unwrap();
        assert!(body.is_end_stream());
        assert!(soon(body.frame()).await.is_none());
    }

    #[tokio::test]
    async fn work_that_the_handler_started_elsewhere_can_wait_for_the_loss() {
        let probe = Probe::default();
        let service = layer(&probe.manager()).layer(service_fn(|request: Request<()>| async move {
            let locked = request.extensions().get::<Locked>().unwrap();
            let (guard, lost) = (locked.hold(), locked.lost());
            let mut response = text("going on");
            response.extensions_mut().insert(Arc::new(Mutex::new(Some(tokio::spawn(async move {
                let reason = lost.await;
                drop(guard);
                reason
            })))));
            Ok::<_, Infallible>(response)
        }));
        let response = soon(service.oneshot(request("/7"))).await.unwrap();
        type Work = Arc<Mutex<Option<tokio::task::JoinHandle<dlock_core::LossReason>>>>;
        let work = response.extensions().get::<Work>().unwrap().lock().unwrap().take().unwrap();
        seen(response).await;
        probe.lose_all();
        assert_eq!(soon(work).await.unwrap(), dlock_core::LossReason::NotOwner);
    }
}

#[test]
fn public_types_can_be_sent_shared_and_printed() {
    fn shared<T: Send + Sync + std::fmt::Debug>() {}
    fn sent<T: Send + std::fmt::Debug>() {}
    type Handler = tower::util::BoxCloneSyncService<Request<()>, Response<Full<Bytes>>, Infallible>;
    shared::<LockLayer>();
    shared::<Lock<Handler>>();
    shared::<LockBody<Full<Bytes>>>();
    shared::<Locked>();
    shared::<LockRejection>();
    shared::<Key>();
    shared::<KeyError>();
    shared::<HoldUntil>();
    sent::<ResponseFuture<Handler, ()>>();
}

#[test]
fn a_key_prints_its_parts() {
    let printed = format!("{:?}", Key::new("order").header("x-tenant").ext(|id: &u32| *id).method());
    assert_eq!(printed, r#"Key(["order", {header x-tenant}, {extension u32}, {method}])"#);
}

#[tokio::test]
async fn a_handler_need_not_be_sendable() {
    let service = layer(&Probe::default().manager()).layer(service_fn(|_: Request<()>| {
        let not_send = std::rc::Rc::new("hello");
        async move {
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(text(&not_send))
        }
    }));
    assert_eq!(seen(soon(service.oneshot(request("/7"))).await.unwrap()).await.2, "hello");
}
