//! The node's events as they happen: a stream that outlives its connections.
//!
//! Runs as a task of its own, so that whoever listens may stop waiting at any time. Each connection after the first asks
//! for what came after the last id; where the node no longer has that, it says so (`gap`), and the listener reads the state
//! anew. Progress is not kept by the node: after a pause, the state is read in any case.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::answer::{content_type, not_vortex};
use super::error::{ClientError, cause};
use super::request::Client;
use super::sse::{Decoder, Frame};
use crate::types::SlotId;

/// Between two tries at most: a node that is started again is back in seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Frames that wait for a slow listener; the rest waits in the connection.
const WAITING: usize = 256;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Which events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// All of the node.
    Node,
    /// Of one slot.
    Slot(SlotId),
}

/// What there is to know.
#[derive(Debug)]
pub enum Heard {
    /// A connection stands: what the state is from now on, events tell. It is worth reading once.
    Connected,
    /// Something happened.
    Event(Frame),
    /// Events between the last one heard and the next are lost: the state has to be read anew.
    Gap,
    /// The connection is gone; another try is made after `pause`.
    Lost {
        /// Why.
        why: ClientError,
        /// Until the next try.
        pause: Duration,
    },
    /// The slot has ended, and its last event was heard; nothing follows.
    Finished,
    /// The node will not tell; nothing follows.
    Ended(ClientError),
}

/// Events of a node; ends with its last receiver.
#[derive(Debug)]
pub struct Events {
    heard: mpsc::Receiver<Heard>,
    task: JoinHandle<()>,
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Events {
    /// Listens to `source`, from after `last` where an id is given. Needs a runtime.
    pub fn listen(client: Client, source: Source, last: Option<String>) -> Self {
        let (tell, heard) = mpsc::channel(WAITING);
        let listener = Listener { client, source, last, tell };
        Self { heard, task: tokio::spawn(listener.run()) }
    }

    /// The next thing to know; none after [`Heard::Finished`] and [`Heard::Ended`]. May be dropped at any time without losing anything.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }
}

struct Listener {
    client: Client,
    source: Source,
    last: Option<String>,
    tell: mpsc::Sender<Heard>,
}

impl Listener {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            let mut came = false;
            let Err(why) = self.connection(&mut came).await else { return };
            failures = if came { 1 } else { failures + 1 };
            if why.refusal().is_some_and(|refusal| !refusal.passes())
                || matches!(why, ClientError::NotVortex { .. })
            {
                // Whoever listened may have left.
                let _ = self.tell.send(Heard::Ended(why)).await;
                return;
            }
            let own = self.client.patience().pause * (1 << (failures - 1).min(8));
            let told = why.refusal().and_then(|refusal| refusal.retry_after).unwrap_or_default();
            let pause = own.min(LONGEST_PAUSE).max(told);
            if self.tell.send(Heard::Lost { why, pause }).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// One connection to its end; `Ok` where nothing more is to be told or nobody listens any more. `came` tells whether it stood.
    async fn connection(&mut self, came: &mut bool) -> Result<(), ClientError> {
        let slot;
        let parts: &[&str] = match self.source {
            Source::Node => &["v1", "events"],
            Source::Slot(id) => {
                slot = id.to_string();
                &["v1", "slots", &slot, "events"]
            }
        };
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("text/event-stream"))]);
        if let Some(last) = self.last.as_deref().and_then(|last| HeaderValue::from_str(last).ok()) {
            headers.insert(LAST_EVENT_ID, last);
        }
        let url = self.client.url(parts, &[]);
        let mut response = self.client.open(url.clone(), headers).await?;
        *came = true;
        if response.status() == StatusCode::NO_CONTENT {
            let _ = self.tell.send(Heard::Finished).await;
            return Ok(());
        }
        if !content_type(response.headers()).starts_with("text/event-stream") {
            return Err(not_vortex(&response));
        }
        if self.tell.send(Heard::Connected).await.is_err() {
            return Ok(());
        }
        let mut decoder = Decoder::default();
        let broken = |why: String| ClientError::Broken { url: self.client.address().to_owned(), why };
        loop {
            let piece = response.chunk().await.map_err(|error| broken(cause(&error.without_url())))?;
            let Some(piece) = piece else { return Err(broken("the event stream ended".to_owned())) };
            for frame in decoder.feed(&piece).map_err(|error| broken(error.to_string()))? {
                if let Some(id) = &frame.id {
                    self.last = Some(id.clone()).filter(|id| !id.is_empty());
                }
                let heard = if frame.event == "gap" { Heard::Gap } else { Heard::Event(frame) };
                if self.tell.send(heard).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}
