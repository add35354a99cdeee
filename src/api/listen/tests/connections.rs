use std::future::pending;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::api::listen::{Limits, bind, resolve, serve};

/// Long against what a test does, short against a person's patience.
const SHORT: Duration = Duration::from_millis(300);
/// As good as never.
const LONG: Duration = Duration::from_secs(3_600);

fn limits() -> Limits {
    Limits { header_time: LONG, idle_time: LONG, write_time: LONG, ..Limits::default() }
}

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    fn start(router: Router, limits: Limits, grace: Duration) -> Self {
        let listener = bind(&resolve("127.0.0.1:0").unwrap()).unwrap();
        let (address, (stop, stopped)) = (listener.address(), oneshot::channel::<()>());
        let stop_word = async { stopped.await.unwrap_or_default() };
        let task = tokio::spawn(serve(listener, None, router, limits, stop_word, grace));
        Self { address, stop: Some(stop), task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Asks for `path` on a connection that stays open, and waits for the whole answer of `length` bytes of body.
    async fn ask(&self, socket: &mut TcpStream, path: &str, length: usize) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length) {
                return text;
            }
            assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0, "closed after {text:?}");
        }
    }
}

fn quick() -> Router {
    Router::new().route("/", get(|| async { "ok" }))
}

/// What comes until the other side closes; a reset is an end as well.
async fn rest(socket: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let _ = socket.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn headers_that_come_slowly_or_never_are_cut() {
    let node = Running::start(quick(), Limits { header_time: SHORT, ..limits() }, LONG);
    let beginnings = ["", "G", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", "PRI * HTTP/2.0\r\n"];
    let mut slow = Vec::new();
    for beginning in beginnings {
        let mut socket = node.connect().await;
        socket.write_all(beginning.as_bytes()).await.unwrap();
        slow.push(socket);
    }
    // One that trickles: each byte in time, the whole never.
    let mut trickling = node.connect().await;
    let trickle = async {
        trickling.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        while trickling.write_all(b"X: y\r\n").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    trickle.await;
    for mut socket in slow {
        let text = rest(&mut socket).await;
        assert!(!text.contains("200"), "{text}");
    }
    // Others are answered all the while.
    let mut socket = node.connect().await;
    assert!(node.ask(&mut socket, "/", 2).await.ends_with("ok"));
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_with_a_request_is_not() {
    let wake = Arc::new(Notify::new());
    let woken = Arc::clone(&wake);
    let slow = Router::new()
        .route("/", get(|| async { "ok" }))
        .route("/slow", get(move || async move { (woken.notified().await, "late").1 }));
    let node = Running::start(slow, Limits { idle_time: SHORT, ..limits() }, LONG);
    let (mut idle, mut busy) = (node.connect().await, node.connect().await);
    let asked = node.ask(&mut busy, "/slow", 4);
    let (text, answer) = tokio::join!(
        async {
            assert!(node.ask(&mut idle, "/", 2).await.ends_with("ok"));
            let text = rest(&mut idle).await;
            // Twice the time, by the closing of a second idle connection, and the busy one is still there.
            rest(&mut node.connect().await).await;
            wake.notify_one();
            text
        },
        asked
    );
    assert_eq!(text, "");
    assert!(answer.ends_with("late"), "{answer}");
}

/// Tells when it is dropped.
struct Told(Option<oneshot::Sender<()>>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_closed() {
    let (given_up, was_given_up) = oneshot::channel();
    let given_up = Arc::new(parking_lot::Mutex::new(Some(Told(Some(given_up)))));
    let endless = move || async move {
        let told = given_up.lock().take();
        let piece = Bytes::from(vec![0; 1 << 16]);
        Body::from_stream(futures_util::stream::repeat_with(move || {
            let _held = &told;
            Ok::<_, std::io::Error>(piece.clone())
        }))
    };
    let router = Router::new().route("/", get(endless));
    let node = Running::start(router, Limits { write_time: SHORT, ..limits() }, LONG);
    let mut socket = node.connect().await;
    socket.write_all(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", node.address).as_bytes()).await.unwrap();
    // Nothing is read, and the connection stays open: it is the node that ends the answer.
    was_given_up.await.unwrap();
    drop(socket);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once_and_free_places_count() {
    let few = Limits { connections: NonZeroUsize::new(2).unwrap(), ..limits() };
    let one = Limits { connections_per_address: NonZeroUsize::new(2).unwrap(), ..limits() };
    for limits in [few, one] {
        let node = Running::start(quick(), limits, LONG);
        let (mut first, mut second) = (node.connect().await, node.connect().await);
        node.ask(&mut first, "/", 2).await;
        node.ask(&mut second, "/", 2).await;
        assert_eq!(rest(&mut node.connect().await).await, "");
        node.ask(&mut first, "/", 2).await;
        drop(second);
        // The place is free once the end of the second was seen: until then new ones are closed.
        loop {
            let mut third = node.connect().await;
            let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", node.address);
            let _ = third.write_all(request.as_bytes()).await;
            if rest(&mut third).await.ends_with("ok") {
                break;
            }
        }
    }
}

#[tokio::test]
async fn headers_are_bounded_in_size_and_number() {
    let node = Running::start(quick(), Limits { header_bytes: 8_192, headers: 16, ..limits() }, LONG);
    let many: String = (0..32).map(|number| format!("X-{number}: y\r\n")).collect();
    for headers in [format!("X: {}\r\n", "y".repeat(16_384)), many] {
        let mut socket = node.connect().await;
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", node.address);
        let _ = socket.write_all(request.as_bytes()).await;
        let text = rest(&mut socket).await;
        // Where it closes before it has read everything, the client may see the end before the answer.
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 431 "), "{text}");
    }
}

#[tokio::test]
async fn at_the_end_answers_finish_and_nothing_new_is_taken() {
    let (started, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, wait) = (Arc::clone(&started), Arc::clone(&finish));
    let slow = Router::new().route(
        "/",
        get(move || async move {
            told.notify_one();
            wait.notified().await;
            "whole"
        }),
    );
    let mut node = Running::start(slow, limits(), LONG);
    let (mut busy, mut idle) = (node.connect().await, node.connect().await);
    busy.write_all(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", node.address).as_bytes()).await.unwrap();
    started.notified().await;
    node.stop.take().unwrap().send(()).unwrap();
    // The quiet one is closed at once, and the port is free.
    assert_eq!(rest(&mut idle).await, "");
    while TcpStream::connect(node.address).await.is_ok() {}
    finish.notify_one();
    let answer = rest(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("whole"), "{answer}");
    node.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_closed() {
    let started = Arc::new(Notify::new());
    let told = Arc::clone(&started);
    let never = Router::new().route(
        "/",
        get(move || async move {
            told.notify_one();
            pending::<&'static str>().await
        }),
    );
    let mut node = Running::start(never, limits(), SHORT);
    let mut busy = node.connect().await;
    busy.write_all(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", node.address).as_bytes()).await.unwrap();
    started.notified().await;
    node.stop.take().unwrap().send(()).unwrap();
    node.task.await.unwrap().unwrap();
    assert_eq!(rest(&mut busy).await, "");
}
