//! What is known of a node. Pure: takes updates with the time, asks nobody, draws nothing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::feed::Update;
use super::tail;
use crate::api::views::{NodeView, SlotView};

/// Events that are kept for the tail: more than any terminal has rows.
const TAIL: usize = 200;
/// Looks come every second: one that is older than this is not what the node is now.
const FRESH: Duration = Duration::from_secs(5);
/// An answer to a key stays this long.
const SAID: Duration = Duration::from_secs(8);

/// One look at a node.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Look {
    /// The node.
    pub(super) node: NodeView,
    /// Slots in work and in the queue, in the order in which they are done.
    pub(super) open: Vec<SlotView>,
    /// Slots that have ended, the newest end first.
    pub(super) recent: Vec<SlotView>,
}

/// What is known.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) address: String,
    pub(super) look: Option<Look>,
    /// Newest first.
    pub(super) tail: VecDeque<String>,
    /// When the look was taken.
    looked_at: Option<Instant>,
    /// Since when the node has not answered, and why.
    stale: Option<(Instant, String)>,
    said: Option<(Instant, String)>,
}

impl Board {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            look: None,
            tail: VecDeque::new(),
            looked_at: None,
            stale: None,
            said: None,
        }
    }

    /// Takes what was read or heard at `now`.
    pub(super) fn take(&mut self, update: Update, now: Instant) {
        match update {
            Update::Look(look) => {
                self.look = Some(in_order(*look));
                self.looked_at = Some(now);
                self.stale = None;
            }
            Update::Lost(why) => {
                let since = self.stale.as_ref().map_or(now, |(since, _)| *since);
                self.stale = Some((since, why));
            }
            Update::Event { kind, json } => {
                if let Some(line) = tail::line(&kind, &json) {
                    self.remember(line);
                }
            }
            Update::Gap => self.remember("-- events are missing here --".to_owned()),
            Update::Said(text) => self.say(&text, now),
        }
    }

    fn remember(&mut self, line: String) {
        self.tail.truncate(TAIL - 1);
        self.tail.push_front(line);
    }

    /// Something to tell whoever sits at the keys.
    pub(super) fn say(&mut self, text: &str, now: Instant) {
        self.said = Some((now, text.to_owned()));
    }

    /// What there is to tell, while it is news.
    pub(super) fn said(&self, now: Instant) -> Option<&str> {
        let (at, text) = self.said.as_ref()?;
        (now.saturating_duration_since(*at) < SAID).then_some(text)
    }

    /// For how long the node has not answered, and why; none where it does.
    pub(super) fn stale(&self, now: Instant) -> Option<(Duration, &str)> {
        if let Some((since, why)) = &self.stale {
            return Some((now.saturating_duration_since(*since), why));
        }
        let old = now.saturating_duration_since(self.looked_at?);
        (old > FRESH).then_some((old, "the node takes long to answer"))
    }

    /// Slots in work and in the queue.
    pub(super) fn open(&self) -> &[SlotView] {
        self.look.as_ref().map_or(&[], |look| &look.open)
    }
}

/// Those in work first, then the queue in its order; ends by their time.
fn in_order(mut look: Look) -> Look {
    look.open.sort_by(|a, b| {
        let place = |slot: &SlotView| slot.position.map_or(-1, i64::from);
        place(a).cmp(&place(b)).then(a.accepted_at.total_cmp(&b.accepted_at))
    });
    look.recent.sort_by(|a, b| {
        let end = |slot: &SlotView| slot.ended_at.unwrap_or(slot.accepted_at);
        end(b).total_cmp(&end(a))
    });
    look
}
