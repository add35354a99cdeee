//! A small server that plays the API for tests: each answers as its test says, and remembers what was asked.
//!
//! Runs on a thread of its own, so that commands, which bring their own runtime, can be tested as they are.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::{Access, Client, Patience, Wanted};
use crate::api::views::{
    ActorView, ArtifactView, DeviceView, JournalView, MemoryView, ModelMemory, NodeView, QueueView,
    SlotState, SlotView, StageState, StageView,
};
use crate::types::Sha256;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How many of the same method and path came before.
    pub(crate) before: usize,
}

impl Seen {
    /// Method and path.
    pub(crate) fn what(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The text of a header; empty where it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

type Play = dyn Fn(&Seen) -> Response + Send + Sync;

struct Shared {
    play: Box<Play>,
    seen: Mutex<Vec<Seen>>,
}

/// The server; ends with this.
pub(crate) struct Fake {
    pub(crate) url: String,
    shared: Arc<Shared>,
    _end: oneshot::Sender<()>,
}

impl Fake {
    /// Answers by `play`.
    pub(crate) fn start(play: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Self {
        install_provider();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { play: Box::new(play), seen: Mutex::default() });
        let (end, ended) = oneshot::channel();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    _ = ended => {}
                }
            });
        });
        Self { url, shared, _end: end }
    }

    /// What was asked, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// Methods and paths of what was asked, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.seen().iter().map(Seen::what).collect()
    }

    /// A client of it, with a token, that loses no time.
    pub(crate) fn client(&self) -> Client {
        let token = super::Secret::new("vxn_secret".to_owned());
        let wanted = Wanted { url: Some(self.url.clone()), token_variable: Some(token), ..Wanted::default() };
        Client::new(Access::find(&wanted).unwrap(), quick()).unwrap()
    }
}

/// Waits for nothing.
pub(crate) fn quick() -> Patience {
    let millisecond = std::time::Duration::from_millis(1);
    Patience { pause: millisecond, ..Patience::default() }
}

/// TLS has its cryptography, as in `main`; whoever comes first installs it.
pub(crate) fn install_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
    let mut seen = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        before: 0,
    };
    {
        let mut all = shared.seen.lock();
        seen.before = all.iter().filter(|other| other.what() == seen.what()).count();
        all.push(seen.clone());
    }
    (shared.play)(&seen)
}

/// An answer in JSON.
pub(crate) fn reply(status: u16, value: &impl serde::Serialize) -> Response {
    let body = serde_json::to_vec(value).unwrap();
    Response::builder().status(status).header("content-type", "application/json").body(body.into()).unwrap()
}

/// A problem document, with `Retry-After` where it is not zero.
pub(crate) fn problem(status: u16, kind: &str, detail: &str, again: u64, extra: Value) -> Response {
    let mut document = match extra {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    document.extend(
        json!({ "type": format!("/problems/{kind}"), "title": "No", "status": status, "detail": detail })
            .as_object()
            .cloned()
            .unwrap(),
    );
    let mut response = Response::builder().status(status).header("content-type", "application/problem+json");
    if again > 0 {
        response = response.header("retry-after", again);
    }
    response.body(Body::from(Value::Object(document).to_string())).unwrap()
}

/// What comes after the last piece of a body.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Then {
    /// Its proper end.
    End,
    /// The connection breaks.
    Break,
    /// Nothing, ever.
    Silence,
}

/// A body in pieces.
pub(crate) fn pieces(pieces: Vec<Bytes>, then: Then) -> Body {
    let first = stream::iter(pieces.into_iter().map(Ok));
    let rest: stream::BoxStream<'static, Result<Bytes, io::Error>> = match then {
        Then::End => stream::empty().boxed(),
        // What was sent goes out while nothing more is there to be sent.
        Then::Break => stream::once(async {
            tokio::task::yield_now().await;
            Err(io::Error::other("cut"))
        })
        .boxed(),
        Then::Silence => stream::pending().boxed(),
    };
    Body::from_stream(first.chain(rest))
}

/// An event stream.
pub(crate) fn events(text: &str, then: Then) -> Response {
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(pieces(vec![Bytes::from(text.to_owned())], then))
        .unwrap()
}

/// A frame of an event stream.
pub(crate) fn frame(id: &str, event: &Value) -> String {
    let kind = event["event"].as_str().unwrap();
    let id = if id.is_empty() { String::new() } else { format!("id: {id}\n") };
    format!("{id}event: {kind}\ndata: {event}\n\n")
}

/// Slots of tests.
pub(crate) const ONE: &str = "6f1c2f5e-0b1d-4c58-9a53-7d0d8f6a3b21";
/// Another.
pub(crate) const OTHER: &str = "0e7d3f6a-3c52-4a0e-8e43-2f8f1f1f7a10";

/// When slots and nodes of tests are as they are, in seconds since the Unix epoch.
pub(crate) const AT: f64 = 1_800_000_000.0;

/// A slot that was accepted 40 s before [`AT`].
pub(crate) fn slot(id: &str, state: SlotState) -> SlotView {
    let now = AT;
    let ended = state.is_final();
    let stage = |name: &str, at: usize| StageView {
        stage: name.to_owned(),
        state: match (ended, state == SlotState::Running, at) {
            (true, ..) | (_, true, 0 | 1) => StageState::Done,
            (_, true, 2) => StageState::Running,
            _ => StageState::Waiting,
        },
        attempt: 1,
        began_at: (ended || state == SlotState::Running && at < 3).then_some(now - 30.0),
        ended_at: (ended || state == SlotState::Running && at < 2).then_some(now - 20.0),
        done: (state == SlotState::Running && at == 2).then_some(540),
        total: (state == SlotState::Running && at == 2).then_some(1080),
    };
    let stages = ["audio", "image", "video", "verify", "package"];
    SlotView {
        id: id.to_owned(),
        state,
        recipe_sha256: "ab".repeat(32),
        accepted_at: now - 40.0,
        ended_at: ended.then_some(now - 6.0),
        position: (state == SlotState::Queued).then_some(2),
        eta: (!ended).then_some(95.0),
        deadline: Some(now + 300.0),
        deadline_margin: Some(205.0),
        stages: stages.into_iter().enumerate().map(|(at, name)| stage(name, at)).collect(),
        attempts: 1,
        device: Some("cuda:0".to_owned()),
        cause: None,
        message: None,
        artifacts: Vec::new(),
        delivery: None,
        webhook: None,
        expires_at: None,
        trace_id: None,
    }
}

/// A file of a slot, with its hash.
pub(crate) fn artifact(slot: &str, name: &str, content: &[u8]) -> ArtifactView {
    ArtifactView {
        name: name.to_owned(),
        sha256: Sha256::of(content).to_string(),
        bytes: content.len() as u64,
        url: format!("/v1/slots/{slot}/artifacts/{name}"),
    }
}

/// A file as a server sends it: ranges by `Range` and `If-Range`, broken off after `at_most` bytes of what was asked for.
pub(crate) fn file(seen: &Seen, content: &[u8], at_most: usize) -> Response {
    let etag = format!("\"{}\"", Sha256::of(content));
    let begin = seen.header("range").trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().ok();
    let begin = begin.filter(|_| seen.header("if-range") == etag).unwrap_or(0);
    let sent = Bytes::copy_from_slice(&content[begin..(begin + at_most).min(content.len())]);
    let then = if begin + sent.len() < content.len() { Then::Break } else { Then::End };
    let mut response =
        Response::builder().header("etag", etag).header("content-type", "application/octet-stream");
    if begin > 0 {
        let range = format!("bytes {begin}-{}/{}", content.len() - 1, content.len());
        response = response.status(206).header("content-range", range);
    }
    response.body(pieces(vec![sent], then)).unwrap()
}

/// A node that is well at [`AT`], with one device.
pub(crate) fn node() -> NodeView {
    let now = AT;
    let actor = |name: &str, state: &str| ActorView {
        name: name.to_owned(),
        state: state.to_owned(),
        restarts: 0,
        fault: None,
    };
    let held = |model: &str, resident: u64| ModelMemory { model: model.to_owned(), resident, workspace: 0 };
    let gigabyte = 1_000_000_000;
    NodeView {
        id: "cd".repeat(32),
        version: "0.1.0".to_owned(),
        started_at: now - 7_500.0,
        ready: true,
        not_ready: Vec::new(),
        alerts: Vec::new(),
        draining: false,
        profile: "rtx3060-12gb".to_owned(),
        bundle: "demo".to_owned(),
        root: actor("node", "up"),
        devices: vec![DeviceView {
            device: "cuda:0".to_owned(),
            pressure: "normal".to_owned(),
            closed: None,
            soft_limit: 10_500_000_000,
            hard_limit: 11_500_000_000,
            memory: Some(MemoryView {
                at: now,
                used: 9 * gigabyte,
                total: 12 * gigabyte,
                unaccounted: 0,
                models: vec![
                    held("flux", 6 * gigabyte),
                    held("liveportrait", gigabyte),
                    held("kokoro", gigabyte / 2),
                ],
            }),
            actors: vec![
                actor("device", "up"),
                actor("watchdog", "up"),
                actor("models", "up"),
                actor("flux", "busy"),
                actor("liveportrait", "ready"),
                ActorView { restarts: 2, ..actor("kokoro", "ready") },
                actor("clip_b", "loading"),
                actor("clip_l", "ready"),
                actor("orchestrator", "up"),
            ],
        }],
        queue: QueueView { waiting: 3, running: 1, capacity: 64 },
        estimates: std::collections::BTreeMap::from([("audio".to_owned(), 2.0)]),
        voices: Vec::new(),
        prompts: Vec::new(),
        journal: JournalView {
            generation: "g".to_owned(),
            sequence: 7,
            repairs: Vec::new(),
            lost_since: None,
        },
        store: None,
        network: None,
        ended: std::collections::BTreeMap::from([("completed".to_owned(), 12), ("failed".to_owned(), 1)]),
    }
}
