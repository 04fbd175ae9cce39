//! The layer on routes of axum, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};
use axum::{Extension, Router};
use common::raw::{ask, read_until, receive, send, serve};
use common::{Failing, Fed, LONG, Probe, assert_freed, assert_held, data, soon};
use dlock_core::{ErrorKind, KeyTemplate, LockError, LockManager, distributed_lock};
use dlock_tower::{Key, KeyError, KeyFromRequest as _, LockLayer, LockRejection, Locked};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// Answers with the key of the lock.
async fn key(locked: Locked) -> String {
    locked.key().to_string()
}

async fn not_reached() -> StatusCode {
    panic!("the handler was called")
}

fn order_layer(locks: &LockManager) -> LockLayer {
    LockLayer::new(locks.clone(), Key::new("order").path_param("id")).wait(LONG)
}

mod keys {
    use super::*;

    #[tokio::test]
    async fn a_path_parameter_is_decoded_and_then_escaped() {
        let layer = order_layer(&Probe::default().manager());
        let address = serve(Router::new().route("/orders/{id}", get(key).route_layer(layer))).await;
        for (path, expected) in [
            ("/orders/7", "order:7"),
            ("/orders/a%2Fb", "order:a%2Fb"),
            ("/orders/a:b", "order:a%3Ab"),
            ("/orders/%7B7%7D", "order:%7B7%7D"),
            ("/orders/%C3%BC", "order:ü"),
        ] {
            assert_eq!(ask(address, &format!("GET {path}"), &[]).await.body(), expected);
        }
    }

    #[tokio::test]
    async fn the_parameters_of_nested_routers_are_all_there() {
        let key_parts = Key::new("item").path_param("tenant").path_param("item");
        let layer = LockLayer::new(Probe::default().manager(), key_parts);
        let items = Router::new().route("/items/{item}", get(key)).route_layer(layer);
        let address = serve(Router::new().nest("/{tenant}", items)).await;
        assert_eq!(ask(address, "GET /acme/items/9", &[]).await.body(), "item:acme:9");
    }

    #[tokio::test]
    async fn a_path_parameter_that_is_no_text_is_the_clients_fault() {
        let layer = order_layer(&Probe::default().manager());
        let app = Router::new().route("/orders/{id}", get(not_reached).route_layer(layer));
        let answer = ask(serve(app).await, "GET /orders/%FF", &[]).await;
        answer.assert_rejected(400, "lock_key_invalid", None);
    }

    #[tokio::test]
    async fn a_route_without_the_path_parameter_is_the_programs_fault() {
        let layer = order_layer(&Probe::default().manager());
        let app = Router::new()
            .route("/orders/{other}", get(not_reached))
            .route("/orders", get(not_reached))
            .route_layer(layer);
        let address = serve(app).await;
        for request in ["GET /orders/7", "GET /orders"] {
            ask(address, request, &[]).await.assert_rejected(500, "lock_misconfigured", None);
        }
    }

    #[tokio::test]
    async fn a_header_makes_the_key_and_must_be_there() {
        let layer = LockLayer::new(Probe::default().manager(), Key::new("payment").header("idempotency-key"));
        let address = serve(Router::new().route("/payments", post(key).route_layer(layer))).await;
        let answer = ask(address, "POST /payments", &["Idempotency-Key: a b"]).await;
        assert_eq!(answer.body(), "payment:a%20b");
        ask(address, "POST /payments", &[]).await.assert_rejected(400, "lock_key_invalid", None);
    }

    #[tokio::test]
    async fn an_extension_of_an_outer_layer_tells_tenants_apart() {
        #[derive(Clone)]
        struct Tenant(String);
        async fn authenticate(mut request: Request, next: Next) -> Response {
            let name = request.headers()["x-user"].to_str().unwrap().to_owned();
            request.extensions_mut().insert(Tenant(name));
            next.run(request).await
        }
        let key_parts = Key::new("order").ext(|tenant: &Tenant| tenant.0.clone()).path_param("id");
        let locks = Probe::default().manager();
        let layer = LockLayer::new(locks.clone(), key_parts).try_once();
        let route = Router::new().route("/orders/{id}", get(key)).route_layer(layer);
        let unauthenticated = serve(route.clone()).await;
        let address = serve(route.layer(from_fn(authenticate))).await;

        let _theirs = locks.lock("order:acme:7").await.unwrap();
        let theirs = ask(address, "GET /orders/7", &["x-user: acme"]).await;
        theirs.assert_rejected(409, "lock_busy", Some(1));
        assert_eq!(ask(address, "GET /orders/7", &["x-user: other"]).await.body(), "order:other:7");
        let nobodys = ask(unauthenticated, "GET /orders/7", &[]).await;
        nobodys.assert_rejected(500, "lock_misconfigured", None);
    }

    #[tokio::test]
    async fn a_closure_makes_the_key_or_none_or_an_error() {
        async fn key_or_none(locked: Option<Locked>) -> String {
            locked.map_or("none".to_owned(), |locked| locked.key().to_string())
        }
        let layer = LockLayer::new(Probe::default().manager(), |parts: &Parts| {
            if parts.method.is_safe() {
                return Ok(None);
            }
            let day = parts.uri.query().ok_or(KeyError::client("no day"))?;
            Ok(Some(KeyTemplate::new().literal("report:").value(day).finish()?))
        });
        let address = serve(Router::new().route("/reports", any(key_or_none)).route_layer(layer)).await;
        assert_eq!(ask(address, "POST /reports?mon", &[]).await.body(), "report:mon");
        assert_eq!(ask(address, "GET /reports", &[]).await.body(), "none");
        ask(address, "POST /reports", &[]).await.assert_rejected(400, "lock_key_invalid", None);
    }

    #[tokio::test]
    async fn a_layer_on_routes_leaves_unknown_paths_alone() {
        let layer = order_layer(&Probe::default().manager());
        let address = serve(Router::new().route("/orders/{id}", get(key)).route_layer(layer)).await;
        assert_eq!(ask(address, "GET /nothing", &[]).await.status(), 404);
    }
}

/// One resource has one key, however a client spells it.
mod spellings {
    use super::*;
    use std::collections::BTreeSet;

    /// The answers of `app` to a GET of each of `paths`.
    async fn answers(app: Router, paths: &[&str]) -> Vec<(u16, String)> {
        let address = serve(app).await;
        let mut answers = Vec::new();
        for path in paths {
            let answer = ask(address, &format!("GET {path}"), &[]).await;
            answers.push((answer.status(), answer.body().to_owned()));
        }
        answers
    }

    /// The keys that the handlers saw.
    async fn keys(app: Router, paths: &[&str]) -> Vec<String> {
        let answers = answers(app, paths).await;
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
        answers.into_iter().map(|(_, key)| key).collect()
    }

    async fn assert_one_key(app: Router, paths: &[&str]) {
        let keys = keys(app, paths).await;
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 1, "{keys:?}");
    }

    async fn assert_a_key_each(app: Router, paths: &[&str]) {
        let keys = keys(app, paths).await;
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), paths.len(), "{keys:?}");
    }

    async fn assert_refused(app: Router, paths: &[&str]) {
        let answers = answers(app, paths).await;
        assert!(answers.iter().all(|(status, _)| *status == 400), "{answers:?}");
    }

    fn layer(key: Key) -> LockLayer {
        LockLayer::new(Probe::default().manager(), key)
    }

    fn by_path() -> LockLayer {
        layer(Key::new("thing").uri_path())
    }

    fn by_id() -> LockLayer {
        layer(Key::new("order").path_param("id"))
    }

    fn orders() -> Router {
        Router::new().route("/orders/{id}", get(key).route_layer(by_path()))
    }

    fn files() -> Router {
        Router::new().route("/files/{*rest}", get(key).route_layer(by_path()))
    }

    /// Sends `first`, and `second` while the handler of `first` runs.
    async fn assert_excluded(app: Router, (entered, finish): (&Notify, &Notify), [first, second]: [&str; 2]) {
        let address = serve(app).await;
        let first = send(address, first, &["content-length: 0"]).await;
        soon(entered.notified()).await;
        let second = ask(address, second, &["content-length: 0"]).await;
        finish.notify_one();
        assert_eq!(receive(first).await.body(), "42");
        second.assert_rejected(409, "lock_busy", Some(1));
    }

    /// A handler of order 42 that says when it runs, and runs until it is told to finish.
    fn slow<S>() -> (axum::routing::MethodRouter<S>, Arc<Notify>, Arc<Notify>)
    where
        S: Clone + Send + Sync + 'static,
    {
        let (entered, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (entering, finished) = (Arc::clone(&entered), Arc::clone(&finish));
        let route = put(async move |Path(id): Path<u64>| {
            entering.notify_one();
            finished.notified().await;
            id.to_string()
        });
        (route, entered, finish)
    }

    #[tokio::test]
    async fn two_spellings_of_one_path_exclude_each_other() {
        let (route, entered, finish) = slow();
        let app = Router::new().route("/orders/{id}", route.route_layer(by_path().try_once()));
        assert_excluded(app, (&entered, &finish), ["PUT /orders/42", "PUT /orders/%34%32"]).await;
    }

    #[tokio::test]
    async fn two_spellings_of_one_number_exclude_each_other() {
        for second in ["PUT /orders/042", "PUT /orders/+42", "PUT /orders/%2b42"] {
            let (route, entered, finish) = slow();
            let by_number = layer(Key::new("order").path_param("id").parsed_as::<u64>()).try_once();
            let app = Router::new().route("/orders/{id}", route.route_layer(by_number));
            assert_excluded(app, (&entered, &finish), ["PUT /orders/42", second]).await;
        }
    }

    #[tokio::test]
    async fn the_layer_and_an_annotation_exclude_each_other_however_an_order_is_spelled() {
        #[distributed_lock("order:{id}", wait = "0s", locks = locks)]
        async fn ship(
            State(locks): State<LockManager>,
            Path(id): Path<u64>,
        ) -> Result<String, LockRejection> {
            Ok(id.to_string())
        }
        #[distributed_lock("order:{id}", wait = "0s", locks = locks)]
        async fn tag(
            State(locks): State<LockManager>,
            Path(id): Path<String>,
        ) -> Result<String, LockRejection> {
            Ok(id)
        }
        let numbers = ["POST /numbers/42", "POST /numbers/042", "POST /numbers/%34%32"];
        let names = ["POST /names/42", "POST /names/%34%32", "POST /names/4%32"];
        for annotated in numbers.into_iter().chain(names) {
            for held in ["PUT /orders/42", "PUT /orders/%34%32", "PUT /orders/+42"] {
                let (route, entered, finish) = slow();
                let locks = Probe::default().manager();
                let by_number = Key::new("order").path_param("id").parsed_as::<u64>();
                let app = Router::new()
                    .route("/orders/{id}", route.route_layer(LockLayer::new(locks.clone(), by_number)))
                    .route("/numbers/{id}", post(ship))
                    .route("/names/{id}", post(tag))
                    .with_state(locks);
                assert_excluded(app, (&entered, &finish), [held, annotated]).await;
            }
        }
    }

    #[tokio::test]
    async fn spellings_of_one_path_are_one_key() {
        let whole = "http://localhost/orders/42";
        assert_one_key(orders(), &["/orders/42", "/orders/%34%32", "/orders/4%32?v=1", whole]).await;
        assert_one_key(orders(), &["/orders/%c3%bc~", "/orders/%C3%BC%7E", "/orders/\u{fc}~"]).await;
        assert_one_key(orders(), &["/orders/a%3Ab%2B", "/orders/a:b+"]).await;
        assert_one_key(files(), &["/files/a/b", "/files/a//b", "/files/a/b/", "/files//a/b//"]).await;
    }

    #[tokio::test]
    async fn paths_that_a_router_tells_apart_are_different_keys() {
        let slashes = ["/files/a/b", "/files/a%2Fb", "/files/a%252Fb", "/files/a%25252Fb", "/files/a"];
        assert_a_key_each(files(), &slashes).await;
        let others = ["/files/4", "/files/%2534", "/files/+", "/files/%20", "/files/A", "/files/A;v=1"];
        assert_a_key_each(files(), &others).await;
    }

    #[tokio::test]
    async fn a_path_that_is_no_text_or_has_dot_segments_is_refused() {
        assert_refused(files(), &["/files/%FF", "/files/%C0%AF", "/files/%c3"]).await;
        let dots = ["/files/a/../b", "/files/a/%2e%2E/b", "/files/.%2E/b", "/files/./b", "/files/b/%2E"];
        assert_refused(files(), &dots).await;
        assert_one_key(files(), &["/files/..a/.b/c..", "/files/%2E.a/%2eb/c%2E."]).await;
    }

    #[tokio::test]
    async fn the_path_has_the_prefix_that_nest_cuts_off() {
        let shop = || {
            let orders = Router::new().route("/orders/{order}", get(key)).route("/", get(key));
            orders.route_layer(by_path())
        };
        let paths = ["/shops/7/orders/42", "/shops/8/orders/42", "/shops/7", "/shops/8"];
        assert_a_key_each(Router::new().nest("/shops/{shop}", shop()), &paths).await;
        assert_a_key_each(Router::new().nest_service("/shops/{shop}", shop()), &paths).await;
        let deep = Router::new().nest("/{shop}", Router::new().nest_service("/x", shop()));
        let paths = ["/shops/7/x/orders/42", "/shops/8/x/orders/42", "/shops/7/x", "/shops/8/x"];
        assert_a_key_each(Router::new().nest("/shops", deep), &paths).await;
        // A nested service gets both as `/`.
        assert_one_key(Router::new().nest_service("/shops", shop()), &["/shops", "/shops/"]).await;
    }

    #[tokio::test]
    async fn layers_on_both_sides_of_nest_read_one_key_from_the_path() {
        let probe = Probe::default();
        let layer = LockLayer::new(probe.manager(), Key::new("order").uri_path()).try_once();
        let orders = Router::new().route("/orders/{id}", get(key)).route_layer(layer.clone());
        let app = Router::new().nest("/shop", orders).layer(layer);
        assert_eq!(keys(app, &["/shop/orders/42"]).await, ["order:%2Fshop%2Forders%2F42"]);
        assert_eq!(probe.acquires(), 1);
    }

    #[tokio::test]
    async fn a_path_that_another_layer_has_rewritten_counts_as_rewritten() {
        async fn in_lower_case(mut request: Request, next: Next) -> Response {
            *request.uri_mut() = request.uri().path().to_lowercase().parse().unwrap();
            next.run(request).await
        }
        let rewritten = Router::new().fallback_service(orders()).layer(from_fn(in_lower_case));
        let app = Router::new().nest_service("/shop", rewritten);
        let paths = ["/shop/orders/a", "/shop/orders/A", "/shop/Orders/a"];
        assert_eq!(keys(app, &paths).await, ["thing:%2Fshop%2Forders%2Fa"; 3]);
    }

    #[tokio::test]
    async fn a_parameter_is_the_text_that_the_handler_gets() {
        async fn handler(locked: Locked, Path(id): Path<String>) -> String {
            let key = KeyTemplate::new().literal("order:").value(&id).finish().unwrap();
            assert_eq!(*locked.key(), key);
            id
        }
        let app = Router::new().route("/orders/{id}", get(handler).route_layer(by_id()));
        let paths = ["/orders/42", "/orders/4%32", "/orders/%2534", "/orders/a+b", "/orders/a%20b"];
        assert_eq!(keys(app, &paths).await, ["42", "42", "%34", "a+b", "a b"]);
        let app = Router::new().route("/orders/{*id}", get(handler).route_layer(by_id()));
        let paths = ["/orders/a/b", "/orders/a%2Fb", "/orders/a//b/", "/orders/../a"];
        assert_eq!(keys(app, &paths).await, ["a/b", "a/b", "a//b/", "../a"]);
    }

    #[tokio::test]
    async fn a_parameter_that_cannot_be_parsed_is_the_clients_fault() {
        let by_number = layer(Key::new("order").path_param("id").parsed_as::<u64>());
        let app = Router::new().route("/orders/{id}", get(key).route_layer(by_number));
        assert_refused(app, &["/orders/x", "/orders/-1", "/orders/4%202", "/orders/4.2"]).await;
    }

    #[tokio::test]
    async fn a_name_of_two_parameters_is_the_programs_fault() {
        let orders = || Router::new().route("/orders/{id}", get(not_reached).route_layer(by_id()));
        let inner = Router::new().nest_service("/new", orders());
        for (app, path) in [
            (Router::new().nest("/shops/{id}", orders()), "/shops/7/orders/42"),
            (Router::new().nest("/shops/{id}", orders()), "/shops/7/orders/7"),
            (Router::new().nest_service("/shops/{id}", orders()), "/shops/7/orders/42"),
            (Router::new().nest("/shops/{id}", inner), "/shops/7/new/orders/42"),
        ] {
            let answer = ask(serve(app).await, &format!("GET {path}"), &[]).await;
            answer.assert_rejected(500, "lock_misconfigured", None);
        }
    }

    #[tokio::test]
    async fn the_fault_of_a_route_names_the_parameter() {
        async fn fault(request: Request, _: Next) -> String {
            let (parts, _) = request.into_parts();
            Key::new("order").path_param("id").lock_key(&parts).unwrap_err().to_string()
        }
        let orders = Router::new().route("/orders/{id}", get(key)).route("/", get(key));
        let orders = orders.route_layer(from_fn(fault));
        let app = Router::new().nest("/shops/{id}", orders.clone()).nest("/all", orders);
        let faults = keys(app, &["/shops/7/orders/42", "/all"]).await;
        assert!(faults[0].contains("two parameters named `id`"), "{faults:?}");
        assert!(faults[1].contains("no parameter `id`; it has none"), "{faults:?}");
        assert!(faults[0].contains("route /shops/{id}/orders/{id}"), "{faults:?}");
        assert!(faults[1].contains("route /all"), "{faults:?}");
    }
}

mod answers {
    use super::*;

    #[tokio::test]
    async fn a_lock_that_stays_busy_is_a_conflict_to_be_retried() {
        let locks = Probe::default().manager();
        let layer = order_layer(&locks).wait(Duration::from_millis(20)).retry_after(Duration::from_secs(3));
        let app = Router::new().route("/orders/{id}", put(not_reached).route_layer(layer));
        let _holder = locks.lock("order:7").await.unwrap();
        let answer = ask(serve(app).await, "PUT /orders/7", &[]).await;
        answer.assert_rejected(409, "lock_busy", Some(3));
    }

    #[tokio::test]
    async fn a_request_waits_for_its_turn() {
        let probe = Probe::default();
        let locks = probe.manager();
        let holder = locks.lock("order:7").await.unwrap();
        probe.acquire_asked().await;
        let app = Router::new().route("/orders/{id}", put(key).route_layer(order_layer(&locks)));
        let stream = send(serve(app).await, "PUT /orders/7", &[]).await;
        probe.acquire_asked().await;
        holder.release().await.unwrap();
        assert_eq!(receive(stream).await.body(), "order:7");
    }

    #[tokio::test]
    async fn a_closed_manager_is_unavailable_also_to_waiting_requests() {
        let probe = Probe::default();
        let locks = probe.manager();
        let _holder = locks.lock("order:7").await.unwrap();
        probe.acquire_asked().await;
        let app = Router::new().route("/orders/{id}", put(not_reached).route_layer(order_layer(&locks)));
        let address = serve(app).await;
        let waiting = send(address, "PUT /orders/7", &[]).await;
        probe.acquire_asked().await;
        locks.close();
        receive(waiting).await.assert_rejected(503, "lock_closed", Some(1));
        ask(address, "PUT /orders/8", &[]).await.assert_rejected(503, "lock_closed", Some(1));
    }

    #[tokio::test]
    async fn a_backend_that_fails_is_unavailable() {
        let locks = LockManager::builder(Failing(ErrorKind::Unavailable)).build().unwrap();
        let app = Router::new().route("/orders/{id}", put(not_reached).route_layer(order_layer(&locks)));
        let answer = ask(serve(app).await, "PUT /orders/7", &[]).await;
        answer.assert_rejected(503, "lock_unavailable", Some(1));
    }

    #[tokio::test]
    async fn a_handler_without_the_layer_is_the_programs_fault() {
        let app = Router::new().route("/orders/{id}", get(key));
        let answer = ask(serve(app).await, "GET /orders/7", &[]).await;
        answer.assert_rejected(500, "lock_misconfigured", None);
        assert!(
            answer.body().contains("`Locked` was asked for on a route without `LockLayer`"),
            "{answer:?}"
        );
    }

    #[tokio::test]
    async fn a_handler_can_return_the_error_of_a_lock_of_its_own() {
        async fn handler(State(locks): State<LockManager>) -> Result<&'static str, LockRejection> {
            locks.lock("order:7").wait(Duration::ZERO).await?.release().await?;
            Ok("done")
        }
        let locks = Probe::default().manager();
        let address = serve(Router::new().route("/", get(handler)).with_state(locks.clone())).await;
        assert_eq!(ask(address, "GET /", &[]).await.body(), "done");
        let _holder = locks.lock("order:7").await.unwrap();
        ask(address, "GET /", &[]).await.assert_rejected(409, "lock_busy", Some(1));
    }

    #[tokio::test]
    async fn no_answer_repeats_the_key() {
        const SECRET: &str = "s3cret";
        let too_long = SECRET.repeat(30);
        let locks = Probe::default().manager();
        let _holder = locks.lock(format!("order:{SECRET}")).await.unwrap();
        let closed = Probe::default().manager();
        closed.close();
        let failing = |kind| LockManager::builder(Failing(kind)).build().unwrap();
        let cases = [
            (&locks, SECRET, 409),
            (&locks, &too_long, 400),
            (&closed, SECRET, 503),
            (&failing(ErrorKind::Unavailable), SECRET, 503),
            (&failing(ErrorKind::InvalidKey), SECRET, 400),
            (&failing(ErrorKind::Corrupt), SECRET, 500),
        ];
        for (locks, id, status) in cases {
            let layer = order_layer(locks).try_once();
            let app = Router::new().route("/orders/{id}", put(not_reached).route_layer(layer));
            let answer = ask(serve(app).await, &format!("PUT /orders/{id}"), &[]).await;
            assert_eq!(answer.status(), status, "{answer:?}");
            assert!(!answer.0.contains(SECRET), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn no_rejection_of_a_handler_repeats_the_key() {
        for kind in [ErrorKind::Busy, ErrorKind::InvalidKey, ErrorKind::Lost, ErrorKind::NotConfigured] {
            let handler = move || async move {
                let key = dlock_core::LockKey::new("s3cret").unwrap();
                LockRejection::from(LockError::new(kind, "s3cret").with_key(&key)).into_response()
            };
            let answer = ask(serve(Router::new().route("/", get(handler))).await, "GET /", &[]).await;
            assert!(answer.body().contains("lock_") && !answer.0.contains("s3cret"), "{answer:?}");
        }
    }
}

mod holding {
    use super::*;

    /// A route whose body is given once.
    fn answer_with(body: Body) -> axum::routing::MethodRouter {
        let body = Arc::new(Mutex::new(Some(body)));
        get(move || async move { body.lock().unwrap().take().unwrap() })
    }

    fn on_order(locks: &LockManager, route: axum::routing::MethodRouter) -> Router {
        Router::new().route("/orders/{id}", route.route_layer(order_layer(locks)))
    }

    #[tokio::test]
    async fn a_streamed_body_holds_until_its_end() {
        let locks = Probe::default().manager();
        let (feed, body) = Fed::new();
        let address = serve(on_order(&locks, answer_with(Body::new(body)))).await;
        let mut stream = send(address, "GET /orders/7", &[]).await;
        feed.send(data("one")).unwrap();
        read_until(&mut stream, "one\r\n").await;
        assert_held(&locks, "order:7").await;
        drop(feed);
        read_until(&mut stream, "0\r\n\r\n").await;
        assert_freed(&locks, "order:7").await;
    }

    #[tokio::test]
    async fn a_body_in_one_piece_lets_go_however_slowly_the_client_reads() {
        let locks = Probe::default().manager();
        let big = Body::from(vec![0; 32 << 20]);
        let mut stream = send(serve(on_order(&locks, answer_with(big))).await, "GET /orders/7", &[]).await;
        read_until(&mut stream, "HTTP/1.1 200 OK").await;
        assert_freed(&locks, "order:7").await;
    }

    #[tokio::test]
    async fn the_answer_to_head_lets_go() {
        let locks = Probe::default().manager();
        let (_feed, body) = Fed::new();
        let address = serve(on_order(&locks, answer_with(Body::new(body)))).await;
        assert_eq!(ask(address, "HEAD /orders/7", &[]).await.status(), 200);
        assert_freed(&locks, "order:7").await;
    }

    #[tokio::test]
    async fn a_client_that_leaves_while_the_handler_runs_leaves_nothing() {
        let probe = Probe::default();
        let entered = Arc::new(Notify::new());
        let entering = Arc::clone(&entered);
        let route = put(async move || {
            entering.notify_one();
            std::future::pending::<()>().await;
        });
        let address = serve(on_order(&probe.manager(), route)).await;
        let stream = send(address, "PUT /orders/7", &[]).await;
        soon(entered.notified()).await;
        assert!(!probe.is_empty());
        drop(stream);
        probe.emptied().await;
    }

    #[tokio::test]
    async fn a_client_that_leaves_during_the_body_leaves_nothing() {
        let probe = Probe::default();
        let (feed, body) = Fed::new();
        let address = serve(on_order(&probe.manager(), answer_with(Body::new(body)))).await;
        let mut stream = send(address, "GET /orders/7", &[]).await;
        feed.send(data("one")).unwrap();
        read_until(&mut stream, "one\r\n").await;
        assert!(!probe.is_empty());
        drop(stream);
        probe.emptied().await;
    }

    #[tokio::test]
    async fn a_client_that_leaves_while_it_waits_leaves_the_queue() {
        let probe = Probe::default();
        let locks = probe.manager();
        let holder = locks.lock("order:7").await.unwrap();
        probe.acquire_asked().await;
        let handled = Arc::new(AtomicUsize::new(0));
        let handling = Arc::clone(&handled);
        let route = put(async move || {
            handling.fetch_add(1, Ordering::SeqCst);
        });
        let stream = send(serve(on_order(&locks, route)).await, "PUT /orders/7", &[]).await;
        probe.acquire_asked().await;
        drop(stream);
        probe.release_asked().await;
        holder.release().await.unwrap();
        probe.emptied().await;
        assert_eq!(handled.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_handler_that_panics_lets_go() {
        let probe = Probe::default();
        let address = serve(on_order(&probe.manager(), put(not_reached))).await;
        let answer = ask(address, "PUT /orders/7", &[]).await;
        assert_eq!(answer.0, "");
        assert_eq!(probe.acquires(), 1);
        probe.emptied().await;
    }

    #[tokio::test]
    async fn the_handlers_token_rises_with_each_request() {
        async fn token(Extension(locked): Extension<Locked>, Path(_): Path<u64>) -> String {
            locked.token().to_string()
        }
        let address = serve(on_order(&Probe::default().manager(), get(token))).await;
        let first: u64 = ask(address, "GET /orders/7", &[]).await.body().parse().unwrap();
        let second: u64 = ask(address, "GET /orders/7", &[]).await.body().parse().unwrap();
        assert!(second > first, "{second} after {first}");
    }

    #[tokio::test]
    async fn the_same_layer_twice_locks_once() {
        let probe = Probe::default();
        let layer = order_layer(&probe.manager()).try_once();
        let route = Router::new().route("/orders/{id}", get(key).route_layer(layer.clone()));
        let address = serve(route.route_layer(layer)).await;
        assert_eq!(ask(address, "GET /orders/7", &[]).await.body(), "order:7");
        assert_eq!(probe.acquires(), 1);
        probe.emptied().await;
    }

    #[tokio::test]
    async fn work_that_outlives_the_response_can_keep_the_lock() {
        let locks = Probe::default().manager();
        let finish = Arc::new(Notify::new());
        let finished = Arc::clone(&finish);
        let route = post(async move |locked: Locked| {
            let guard = locked.hold();
            tokio::spawn(async move {
                finished.notified().await;
                drop(guard);
            });
            StatusCode::ACCEPTED
        });
        let address = serve(on_order(&locks, route)).await;
        assert_eq!(ask(address, "POST /orders/7", &["content-length: 0"]).await.status(), 202);
        assert_held(&locks, "order:7").await;
        finish.notify_one();
        assert_freed(&locks, "order:7").await;
    }
}
