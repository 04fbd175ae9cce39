//! What a layer meets on a real server: what clients do, and what servers notice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::routing::{MethodFilter, MethodRouter, get, on, post, put};
use common::raw::{ask, read_until, receive, send, serve};
use common::{Fed, LONG, Probe, assert_freed, assert_held, data, soon};
use dlock_core::LockManager;
use dlock_tower::{Key, LockLayer, Locked};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

const KEY: &str = "order:7";
const READ_OR_WRITE: MethodFilter = MethodFilter::GET.or(MethodFilter::PUT);

fn layer(locks: &LockManager) -> LockLayer {
    LockLayer::new(locks.clone(), Key::new("order").path_param("id")).wait(LONG)
}

fn on_order(locks: &LockManager, route: MethodRouter) -> Router {
    Router::new().route("/orders/{id}", route.route_layer(layer(locks)))
}

/// A route whose body is given once.
fn answer_with(body: Body) -> MethodRouter {
    let body = Arc::new(Mutex::new(Some(body)));
    on(READ_OR_WRITE, move || async move { body.lock().unwrap().take().unwrap() })
}

/// A handler that can be seen to begin and told to end.
#[derive(Clone, Default)]
struct Gate(Arc<GateState>);

#[derive(Default)]
struct GateState {
    entered: Notify,
    finish: Notify,
    finished: AtomicBool,
}

impl Gate {
    fn route(&self) -> MethodRouter {
        let gate = self.clone();
        on(READ_OR_WRITE, async move || {
            gate.0.entered.notify_one();
            gate.0.finish.notified().await;
            gate.0.finished.store(true, Ordering::SeqCst);
            "done"
        })
    }

    async fn entered(&self) {
        soon(self.0.entered.notified()).await;
    }

    fn finish(&self) {
        self.0.finish.notify_one();
    }

    fn has_finished(&self) -> bool {
        self.0.finished.load(Ordering::SeqCst)
    }
}

async fn connect_and_write(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

mod vanishing_clients {
    use super::*;

    #[tokio::test]
    async fn one_that_closes_its_half_has_its_handler_dropped() {
        let (probe, gate) = (Probe::default(), Gate::default());
        let address = serve(on_order(&probe.manager(), gate.route())).await;
        let mut stream = send(address, "PUT /orders/7", &[]).await;
        gate.entered().await;
        stream.shutdown().await.unwrap();
        probe.emptied().await;
        assert!(!gate.has_finished());
    }

    /// The server has something of the client left to read, and so does not see the end that follows it.
    #[tokio::test]
    async fn one_that_pipelined_a_request_holds_until_the_handler_ends() {
        let (probe, gate) = (Probe::default(), Gate::default());
        let address = serve(on_order(&probe.manager(), gate.route())).await;
        let two = "PUT /orders/7 HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(2);
        let stream = connect_and_write(address, &two).await;
        gate.entered().await;
        drop(stream);
        assert_unnoticed_until_finished(&probe, &gate, address).await;
    }

    #[tokio::test]
    async fn one_whose_body_is_not_read_holds_until_the_handler_ends() {
        let (probe, gate) = (Probe::default(), Gate::default());
        let address = serve(on_order(&probe.manager(), gate.route())).await;
        let part = "PUT /orders/7 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nabc";
        let stream = connect_and_write(address, part).await;
        gate.entered().await;
        drop(stream);
        assert_unnoticed_until_finished(&probe, &gate, address).await;
    }

    /// The server has had its turn, as another request's answer shows, and the handler goes on; its end lets go.
    async fn assert_unnoticed_until_finished(probe: &Probe, gate: &Gate, address: SocketAddr) {
        assert_eq!(ask(address, "GET /nothing", &[]).await.status(), 404);
        assert!(!probe.is_empty());
        gate.finish();
        probe.emptied().await;
        assert!(gate.has_finished());
    }

    #[tokio::test]
    async fn one_whose_body_is_being_read_has_its_handler_dropped() {
        let probe = Probe::default();
        let entered = Arc::new(Notify::new());
        let entering = Arc::clone(&entered);
        let route = put(async move |body: Body| {
            entering.notify_one();
            axum::body::to_bytes(body, 100).await.map_or(StatusCode::BAD_REQUEST, |_| StatusCode::OK)
        });
        let address = serve(on_order(&probe.manager(), route)).await;
        let part = "PUT /orders/7 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nabc";
        let stream = connect_and_write(address, part).await;
        soon(entered.notified()).await;
        assert!(!probe.is_empty());
        drop(stream);
        probe.emptied().await;
    }
}

mod slow_clients {
    use super::*;

    const PART: &str = "PUT /orders/7 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nabc";

    fn reads() -> MethodRouter {
        put(async |body: Bytes| body.len().to_string())
    }

    #[tokio::test]
    async fn a_slow_upload_holds_the_lock_against_others() {
        let probe = Probe::default();
        let locks = probe.manager();
        let route = reads().route_layer(layer(&locks).try_once());
        let address = serve(Router::new().route("/orders/{id}", route)).await;
        let _slow = connect_and_write(address, PART).await;
        probe.acquire_asked().await;
        ask(address, "PUT /orders/7", &["content-length: 0"]).await.assert_rejected(
            409,
            "lock_busy",
            Some(1),
        );
    }

    #[tokio::test]
    async fn a_body_read_first_does_not() {
        let probe = Probe::default();
        let locks = probe.manager();
        let route = reads().route_layer(layer(&locks).try_once().read_body_first(1_000));
        let address = serve(Router::new().route("/orders/{id}", route)).await;
        let mut slow = connect_and_write(address, PART).await;
        assert_eq!(ask(address, "PUT /orders/7", &["content-length: 0"]).await.body(), "0");
        // The answer may be there before the lock is free again.
        probe.emptied().await;
        slow.write_all(&[b'x'; 97]).await.unwrap();
        read_until(&mut slow, "\r\n\r\n100").await;
        let long = ask(address, "PUT /orders/7", &["content-length: 1001"]).await;
        long.assert_rejected(413, "body_too_large", None);
    }

    #[tokio::test]
    async fn an_unread_stream_holds_until_the_client_leaves() {
        let probe = Probe::default();
        let locks = probe.manager();
        let (feed, body) = Fed::new();
        let address = serve(on_order(&locks, answer_with(Body::new(body)))).await;
        let mut stream = send(address, "GET /orders/7", &[]).await;
        fill(&feed);
        read_until(&mut stream, "\r\n\r\n").await;
        assert_held(&locks, KEY).await;
        drop(stream);
        probe.emptied().await;
    }

    /// A server does not poll the body of a client that does not read.
    #[tokio::test]
    async fn max_hold_ends_an_unread_stream() {
        let probe = Probe::default();
        let (feed, body) = Fed::new();
        let layer = layer(&probe.manager()).max_hold(Duration::from_millis(20));
        let route = answer_with(Body::new(body)).route_layer(layer);
        let address = serve(Router::new().route("/orders/{id}", route)).await;
        fill(&feed);
        let stream = send(address, "GET /orders/7", &[]).await;
        probe.acquire_asked().await;
        probe.emptied().await;
        // The client is still there; once it reads it finds the body cut off.
        let answer = soon(read_all(stream)).await;
        assert!(!answer.ends_with(b"0\r\n\r\n"), "cut off, not ended");
    }

    async fn read_all(mut stream: TcpStream) -> Vec<u8> {
        let mut all = Vec::new();
        // The server resets the connection or closes it.
        let _ = stream.read_to_end(&mut all).await;
        all
    }

    /// More than the sockets' buffers take.
    fn fill(feed: &common::Feed) {
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        for _ in 0..128 {
            feed.send(Ok(http_body::Frame::data(piece.clone()))).unwrap();
        }
    }
}

mod layers_around {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_by_the_layer_that_catches_it() {
        let probe = Probe::default();
        let route = put(async || -> StatusCode { panic!("in the handler") });
        let address = serve(on_order(&probe.manager(), route).layer(CatchPanicLayer::new())).await;
        assert_eq!(ask(address, "PUT /orders/7", &[]).await.status(), 500);
        assert_eq!(probe.acquires(), 1);
        probe.emptied().await;
    }

    #[tokio::test]
    async fn a_timeout_outside_lets_go() {
        let (probe, gate) = (Probe::default(), Gate::default());
        let timeout = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_millis(50));
        let address = serve(on_order(&probe.manager(), gate.route()).layer(timeout)).await;
        assert_eq!(ask(address, "PUT /orders/7", &[]).await.status(), 408);
        assert_eq!(probe.acquires(), 1);
        probe.emptied().await;
    }

    #[tokio::test]
    async fn a_layer_on_the_router_also_gets_what_no_route_matches() {
        let locks = Probe::default().manager();
        let router = || Router::new().route("/orders/{id}", get("hello"));
        let outer = serve(router().layer(layer(&locks))).await;
        ask(outer, "GET /nothing", &[]).await.assert_rejected(500, "lock_misconfigured", None);
        assert_eq!(ask(outer, "GET /orders/7", &[]).await.body(), "hello");
        let routes = serve(router().route_layer(layer(&locks))).await;
        assert_eq!(ask(routes, "GET /nothing", &[]).await.status(), 404);
    }

    #[tokio::test]
    async fn two_layers_of_two_keys_take_both() {
        let probe = Probe::default();
        let locks = probe.manager();
        let (held, inner) = (locks.clone(), LockLayer::new(locks.clone(), Key::new("stock")));
        let route = put(async move || {
            assert_held(&held, KEY).await;
            assert_held(&held, "stock").await;
        });
        let address = serve(on_order(&locks, route.route_layer(inner))).await;
        assert_eq!(ask(address, "PUT /orders/7", &[]).await.status(), 200);
        probe.emptied().await;
    }

    #[tokio::test]
    async fn the_path_parameters_are_there_for_a_layer_on_the_router() {
        let locks = Probe::default().manager();
        let key = get(async |locked: Locked| locked.key().to_string());
        let nested = Router::new().route("/orders/{id}", key);
        let app = Router::new()
            .nest("/shops/{shop}", nested)
            .layer(LockLayer::new(locks, Key::new("order").path_param("shop").path_param("id")));
        assert_eq!(ask(serve(app).await, "GET /shops/a%2Fb/orders/7", &[]).await.body(), "order:a%2Fb:7");
    }
}

mod odd_keys {
    use super::*;

    async fn answer(header: &[u8]) -> String {
        let layer = LockLayer::new(Probe::default().manager(), Key::new("order").header("x-id"));
        let route = get(async |locked: Locked| locked.key().to_string()).route_layer(layer);
        let mut stream = TcpStream::connect(serve(Router::new().route("/", route)).await).await.unwrap();
        let mut text = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-id: ".to_vec();
        text.extend_from_slice(header);
        text.extend_from_slice(b"\r\n\r\n");
        stream.write_all(&text).await.unwrap();
        receive(stream).await.0
    }

    #[tokio::test]
    async fn values_that_are_no_text_or_too_long_are_the_clients_fault() {
        for header in [&b"\x80\xff"[..], &[b'a'; 8_000]] {
            assert!(answer(header).await.starts_with("HTTP/1.1 400"));
        }
    }

    #[tokio::test]
    async fn braces_and_line_ends_cannot_leave_their_part() {
        assert!(answer(b"{a}:b").await.ends_with("order:%7Ba%7D%3Ab"));
        // A line end begins another header; the value ends before it.
        assert!(answer(b"a\r\nx-other: b").await.ends_with("order:a"));
        // A value that goes on in the next line is of an old form, which the server refuses.
        assert!(answer(b"a\r\n b").await.starts_with("HTTP/1.1 400"));
    }

    #[tokio::test]
    async fn blanks_around_a_header_do_not_count_over_http1_and_http2() {
        assert!(answer(b"\t 7 ").await.ends_with("order:7"));
        let layer = LockLayer::new(Probe::default().manager(), Key::new("order").header("x-id"));
        let route = get(async |locked: Locked| locked.key().to_string()).route_layer(layer);
        let address = serve(Router::new().route("/", route)).await;
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("http://localhost/").header("x-id", "\t 7 ").body(()).unwrap();
        let (response, _) = soon(client.ready()).await.unwrap().send_request(request, true).unwrap();
        let mut body = soon(response).await.unwrap().into_body();
        assert_eq!(soon(body.data()).await.unwrap().unwrap(), "order:7");
    }
}

mod bodies {
    use super::*;

    #[tokio::test]
    async fn an_answer_without_a_body_lets_go() {
        let locks = Probe::default().manager();
        let address = serve(on_order(&locks, put(StatusCode::NO_CONTENT))).await;
        assert_eq!(ask(address, "PUT /orders/7", &[]).await.status(), 204);
        assert_freed(&locks, KEY).await;
    }

    /// A connection of HTTP/2 whose client takes nothing.
    async fn closed_window(address: SocketAddr) -> h2::client::SendRequest<Bytes> {
        let stream = TcpStream::connect(address).await.unwrap();
        let builder = h2::client::Builder::new().initial_window_size(0).clone();
        let (client, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        soon(client.ready()).await.unwrap()
    }

    fn get_order() -> http::Request<()> {
        http::Request::get("http://localhost/orders/7").body(()).unwrap()
    }

    #[tokio::test]
    async fn over_http2_a_body_in_one_piece_lets_go_even_if_it_is_not_read() {
        let locks = Probe::default().manager();
        let address = serve(on_order(&locks, answer_with(Body::from("all of it")))).await;
        let mut client = closed_window(address).await;
        let (response, _) = client.send_request(get_order(), true).unwrap();
        let _response = soon(response).await.unwrap();
        assert_freed(&locks, KEY).await;
    }

    #[tokio::test]
    async fn over_http2_a_stream_holds_until_it_is_reset() {
        let probe = Probe::default();
        let locks = probe.manager();
        let (feed, body) = Fed::new();
        let address = serve(on_order(&locks, answer_with(Body::new(body)))).await;
        let mut client = closed_window(address).await;
        let (response, mut request) = client.send_request(get_order(), true).unwrap();
        let _response = soon(response).await.unwrap();
        feed.send(data("one")).unwrap();
        assert_held(&locks, KEY).await;
        request.send_reset(h2::Reason::CANCEL);
        probe.emptied().await;
    }

    #[tokio::test]
    async fn server_sent_events_hold_until_the_client_leaves() {
        let probe = Probe::default();
        let locks = probe.manager();
        let (feed, body) = Fed::new();
        let body = Arc::new(Mutex::new(Some(body)));
        let events = get(async move || {
            let frames = Body::new(body.lock().unwrap().take().unwrap()).into_data_stream();
            Sse::new(events_of(frames))
        });
        let mut stream = send(serve(on_order(&locks, events)).await, "GET /orders/7", &[]).await;
        feed.send(data("paid")).unwrap();
        read_until(&mut stream, "data: paid\n\n").await;
        assert_held(&locks, KEY).await;
        drop(stream);
        probe.emptied().await;
    }

    /// An event of each piece of the stream.
    fn events_of(frames: BodyDataStream) -> impl futures_util::Stream<Item = Result<Event, axum::Error>> {
        use futures_util::StreamExt as _;
        frames.map(|piece| piece.map(|piece| Event::default().data(String::from_utf8_lossy(&piece))))
    }
}

mod sockets {
    use super::*;

    const UPGRADE: &str = "GET /orders/7 HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    /// A socket that says "hi" when it is told to, and then ends.
    async fn open(locks: &LockManager, keep: bool) -> (TcpStream, oneshot::Sender<()>) {
        let (speak, spoken) = oneshot::channel();
        let spoken = Arc::new(Mutex::new(Some(spoken)));
        let route = get(async move |upgrade: WebSocketUpgrade, locked: Locked| {
            let guard = locked.hold().filter(|_| keep);
            let spoken = spoken.lock().unwrap().take().unwrap();
            upgrade.on_upgrade(async move |mut socket| {
                spoken.await.unwrap();
                socket.send(Message::text("hi")).await.unwrap();
                drop(guard);
            })
        });
        let mut stream = connect_and_write(serve(on_order(locks, route)).await, UPGRADE).await;
        read_until(&mut stream, "\r\n\r\n").await;
        (stream, speak)
    }

    async fn read_message(stream: &mut TcpStream) {
        let mut message = [0; 4];
        soon(stream.read_exact(&mut message)).await.unwrap();
        assert_eq!(&message, b"\x81\x02hi");
    }

    #[tokio::test]
    async fn a_websocket_lives_on_without_the_lock() {
        let locks = Probe::default().manager();
        let (mut stream, speak) = open(&locks, false).await;
        assert_freed(&locks, KEY).await;
        speak.send(()).unwrap();
        read_message(&mut stream).await;
    }

    #[tokio::test]
    async fn a_websocket_that_keeps_the_guard_keeps_the_lock() {
        let locks = Probe::default().manager();
        let (mut stream, speak) = open(&locks, true).await;
        assert_held(&locks, KEY).await;
        speak.send(()).unwrap();
        read_message(&mut stream).await;
        assert_freed(&locks, KEY).await;
    }
}

#[tokio::test]
async fn a_server_that_shuts_down_sends_waiters_away_and_lets_holders_finish() {
    let (probe, gate) = (Probe::default(), Gate::default());
    let locks = probe.manager();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let app = on_order(&locks, gate.route());
    let server = axum::serve(listener, app).with_graceful_shutdown(async { drop(stopped.await) });
    let server = tokio::spawn(server.into_future());

    let holder = send(address, "PUT /orders/7", &[]).await;
    gate.entered().await;
    probe.acquire_asked().await;
    let waiter = send(address, "PUT /orders/7", &[]).await;
    probe.acquire_asked().await;
    locks.close();
    stop.send(()).unwrap();
    receive(waiter).await.assert_rejected(503, "lock_closed", Some(1));
    assert!(!gate.has_finished() && !server.is_finished());
    gate.finish();
    assert_eq!(receive(holder).await.body(), "done");
    soon(server).await.unwrap().unwrap();
    soon(locks.shutdown()).await.unwrap();
    assert!(probe.is_empty());
}

#[tokio::test]
async fn a_route_is_locked_for_every_method() {
    let locks = Probe::default().manager();
    let route = get("read").merge(post("written")).route_layer(layer(&locks).try_once());
    let address = serve(Router::new().route("/orders/{id}", route)).await;
    let _holder = locks.lock(KEY).await.unwrap();
    for method in ["GET", "POST"] {
        let answer = ask(address, &format!("{method} /orders/7"), &["content-length: 0"]).await;
        answer.assert_rejected(409, "lock_busy", Some(1));
    }
}
