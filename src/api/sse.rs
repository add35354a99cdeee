//! Server-sent events: what was kept, then what happens, without loss and without saying anything twice.
//!
//! A stream listens first, then replays what is kept after its cursor page by page, then follows what it heard meanwhile
//! and from now on; whatever it sent already is skipped by its sequence. Where it could not keep up it replays again. Owns
//! the frames on the wire; an event's frame is built once and shared by all streams, which is why axum's own
//! `Sse`, which builds it for each, is not used.

mod frame;
mod thin;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, Sleep};

use super::backend::{Backend, Cursor, Replay, StoredEvent};
use super::problem::Fault;
use super::query::Start;
use super::state::Api;
use crate::clock;
use crate::types::SlotId;
use thin::Thinner;

/// Kept events fetched at a time: enough that pages cost little, few enough that a slow client holds little memory.
const PAGE: usize = 256;

/// Between two chunks of a busy stream: events that come meanwhile go out together. A hundred listeners woken for each of some
/// thousand events a second would cost more than rendering does.
const TOGETHER: Duration = Duration::from_millis(50);
/// A chunk is not much larger.
const CHUNK: usize = 64 << 10;

/// What somebody wants to hear.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// From where on.
    pub(crate) start: Start,
    /// Of one slot only, up to its end.
    pub(crate) slot: Option<SlotId>,
    /// The stream ends after so many events.
    pub(crate) limit: Option<u64>,
}

/// One open stream.
struct Listener {
    backend: Arc<dyn Backend>,
    live: Receiver<Arc<StoredEvent>>,
    generation: String,
    slot: Option<SlotId>,
    /// Whether its slot had ended before it was looked for in the journal: nothing comes after what is kept.
    ended: bool,
    /// The newest kept event that was sent, or that nobody wants.
    sent: Option<u64>,
    /// Whether there is more to be replayed.
    replaying: bool,
    /// Only what is kept: the node is on its way out.
    replay_only: bool,
    /// Events that it may send still.
    left: Option<u64>,
    frames: VecDeque<Bytes>,
    done: bool,
    thinner: Thinner,
    keep_alive: Duration,
    idle: Pin<Box<Sleep>>,
    /// The next chunk of what happens goes out no earlier.
    next_chunk: Instant,
    _permit: OwnedSemaphorePermit,
}

/// Opens a stream. 204 where a slot has ended and its last event was seen: browsers then stop asking.
pub(crate) async fn open(api: &Api, wanted: Wanted) -> Result<Response, Fault> {
    let Wanted { start, slot, limit } = wanted;
    let permit = api.stream()?;
    let backend = api.backend.clone();
    // Before anything is looked up: what happens meanwhile is heard.
    let live = backend.listen();
    let ended = match slot {
        Some(id) => backend.slot(id).await?.state.is_final(),
        None => false,
    };
    let newest = backend.newest().await;
    let generation = backend.generation();
    let keep_alive = api.settings.keep_alive;
    let mut listener = Listener {
        live,
        slot,
        ended,
        sent: None,
        replaying: false,
        replay_only: api.is_draining(),
        left: limit,
        frames: VecDeque::new(),
        done: false,
        thinner: Thinner::default(),
        keep_alive,
        idle: Box::pin(tokio::time::sleep(keep_alive)),
        next_chunk: Instant::from_std(clock::now()),
        backend,
        generation,
        _permit: permit,
    };
    let resumed = matches!(start, Start::After(_));
    let nothing_left = listener.begin(start, newest).await? && ended;
    if nothing_left && resumed {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(answer(listener, api))
}

fn answer(listener: Listener, api: &Api) -> Response {
    const HEADERS: [(HeaderName, &str); 3] = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        // Proxies that collect answers make events late.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let replay_only = listener.replay_only;
    let frames = stream::unfold(listener, |mut listener| async move {
        let frame = listener.next().await?;
        Some((Ok::<_, Infallible>(frame), listener))
    });
    // A stream that only replays ends by itself.
    let body = if replay_only {
        Body::from_stream(frames)
    } else {
        Body::from_stream(frames.take_until(api.drained()))
    };
    (HEADERS, body).into_response()
}

impl Listener {
    /// Goes to where it is to begin; whether there was nothing to tell.
    async fn begin(&mut self, start: Start, newest: u64) -> Result<bool, Fault> {
        let cursor = match start {
            Start::Now => {
                // Whoever loses the connection before the first event knows from where on to ask.
                self.sent = Some(newest);
                self.frames.push_back(frame::opening(Some(&self.cursor_at(newest))));
                self.done = self.replay_only;
                return Ok(false);
            }
            Start::Oldest => None,
            Start::After(cursor) => Some(cursor),
        };
        self.frames.push_back(frame::opening(None));
        let foreign = |cursor: &Cursor| cursor.generation == self.generation && cursor.sequence > newest;
        let page = if cursor.as_ref().is_some_and(foreign) {
            // Nobody here gave this id out: as good as one of another journal.
            Replay { gap: true, ..self.backend.replay(None, self.slot, PAGE).await? }
        } else {
            if let Some(cursor) = cursor.as_ref().filter(|cursor| cursor.generation == self.generation) {
                self.sent = Some(cursor.sequence);
            }
            self.backend.replay(cursor.clone(), self.slot, PAGE).await?
        };
        let nothing = page.events.is_empty() && !page.gap;
        self.replayed(cursor.as_ref(), page);
        Ok(nothing)
    }

    fn cursor_at(&self, sequence: u64) -> Cursor {
        Cursor { generation: self.generation.clone(), sequence }
    }

    /// The next bytes; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.chunk() {
                let now = Instant::from_std(clock::now());
                self.idle.as_mut().reset(now + self.keep_alive);
                self.next_chunk = now + TOGETHER;
                return Some(chunk);
            }
            if self.done {
                return None;
            }
            if self.replaying {
                self.replay().await;
            } else {
                self.follow().await;
            }
        }
    }

    /// The frames that wait, together.
    fn chunk(&mut self) -> Option<Bytes> {
        let first = self.frames.pop_front()?;
        if self.frames.is_empty() {
            return Some(first);
        }
        let mut chunk = first.to_vec();
        while chunk.len() < CHUNK
            && let Some(frame) = self.frames.pop_front()
        {
            chunk.extend_from_slice(&frame);
        }
        Some(chunk.into())
    }

    async fn replay(&mut self) {
        let cursor = self.sent.map(|sequence| self.cursor_at(sequence));
        match self.backend.replay(cursor.clone(), self.slot, PAGE).await {
            Ok(page) => self.replayed(cursor.as_ref(), page),
            // Whoever listens comes again with the last id, and is told then what is wrong.
            Err(problem) => {
                tracing::warn!(error = %problem, "a stream of events ends: what is kept cannot be read");
                self.done = true;
            }
        }
    }

    /// Takes a page of what is kept after `cursor`.
    fn replayed(&mut self, cursor: Option<&Cursor>, page: Replay) {
        let Replay { events, gap, more } = page;
        if gap {
            let oldest =
                events.iter().find_map(|event| event.sequence).map(|sequence| self.cursor_at(sequence));
            self.frames.push_back(frame::gap(cursor, oldest.as_ref()));
        }
        self.replaying = more && !events.is_empty() && !self.replay_only;
        for event in &events {
            self.take(event);
        }
        if !self.replaying && (self.ended || self.replay_only) {
            self.done = true;
        }
    }

    /// Waits for something to happen, and takes all that has happened by then.
    async fn follow(&mut self) {
        tokio::time::sleep_until(self.next_chunk).await;
        tokio::select! {
            heard = self.live.recv() => match heard {
                Ok(event) => self.take(&event),
                Err(RecvError::Lagged(_)) => self.replaying = true,
                Err(RecvError::Closed) => self.done = true,
            },
            () = self.idle.as_mut() => self.frames.push_back(frame::KEEP_ALIVE),
        }
        // What else went wrong is seen by the next wait.
        while !self.done && !self.replaying && self.frames.len() < PAGE {
            let Ok(event) = self.live.try_recv() else { break };
            self.take(&event);
        }
    }

    /// Sends `event` if it is wanted and was not sent before.
    fn take(&mut self, event: &StoredEvent) {
        if let Some(sequence) = event.sequence {
            if self.sent.is_some_and(|sent| sequence <= sent) {
                return;
            }
            self.sent = Some(sequence);
        }
        let wanted = self.slot.is_none() || event.slot == self.slot;
        if self.done || !wanted || !self.thinner.lets_through(event, clock::now()) {
            return;
        }
        self.frames.push_back(event.frame_or(|event| frame::of(&self.generation, event)));
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.done = self.left == Some(0) || (self.slot.is_some() && event.ends_slot());
    }
}
