//! What is known of one recipe on its way: not in yet, open, or over. Pure: takes answers and events, asks nobody.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::read::Document;
use crate::api::views::{SlotState, SlotView, StageState, StageView};
use crate::client::ClientError;
use crate::network::progress::Progress;
use crate::types::{Stage, WorkId};

/// One recipe on its way.
pub(super) struct Job {
    pub(super) document: Document,
    pub(super) stand: Stand,
    /// It was in before this command.
    pub(super) known: bool,
    /// Which rendering of the recipe's slot it is, in a network.
    pub(super) work: Option<WorkId>,
}

/// Where it stands.
pub(super) enum Stand {
    /// To be handed in at this time.
    Pending(Instant),
    /// In, and not over.
    Open(Box<Open>),
    /// Over.
    Ended(Box<SlotView>),
    /// Not in, or lost sight of, for good.
    Refused(ClientError),
}

/// An open slot, as the latest answer and the events since have it.
pub(super) struct Open {
    pub(super) view: SlotView,
    /// When the answer came.
    pub(super) read_at: Instant,
    /// An event says that it is over; the answer to read is still to come.
    pub(super) is_over: bool,
}

/// What an event changed, where that is worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing of note.
    Nothing,
    /// A stage has begun, or begun again.
    Began(String),
    /// A stage made a step.
    Progress(String),
    /// A stage's output is there.
    Done(String),
    /// The slot is over.
    Over,
}

/// What an event says of a stage.
enum Step {
    Begins,
    Advances,
    IsDone,
}

impl Job {
    /// To be handed in at `now`.
    pub(super) fn new(document: Document, now: Instant) -> Self {
        Self { document, stand: Stand::Pending(now), known: false, work: None }
    }

    /// What it is called: its rendering, else its slot.
    pub(super) fn shown(&self) -> String {
        self.work.map_or_else(|| self.document.id.to_string(), |work| work.to_string())
    }

    /// Takes an answer of the node; gives back whether it says something new of state or position. An end stays.
    pub(super) fn read(&mut self, view: SlotView, now: Instant) -> bool {
        if matches!(self.stand, Stand::Ended(_)) {
            return false;
        }
        let is_new = match &self.stand {
            Stand::Open(open) => open.view.state != view.state || open.view.position != view.position,
            _ => true,
        };
        self.stand = if view.state.is_final() {
            Stand::Ended(Box::new(view))
        } else {
            Stand::Open(Box::new(Open { view, read_at: now, is_over: false }))
        };
        is_new
    }

    /// The open slot, if it is one.
    pub(super) fn as_open(&self) -> Option<&Open> {
        match &self.stand {
            Stand::Open(open) => Some(open),
            _ => None,
        }
    }

    /// When it is to be handed in, where it is not.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.stand {
            Stand::Pending(due) => Some(*due),
            _ => None,
        }
    }

    /// Not before `due`.
    pub(super) fn postpone(&mut self, due: Instant) {
        if let Stand::Pending(when) = &mut self.stand {
            *when = due.max(*when);
        }
    }

    /// Whether nothing more is to come of it.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.stand, Stand::Ended(_) | Stand::Refused(_))
    }

    /// Whether an event says that it is over, and the answer that tells how is still to be read.
    pub(super) fn is_over(&self) -> bool {
        self.as_open().is_some_and(|open| open.is_over)
    }

    /// It could not be read how it ended: the next look at open slots tells.
    pub(super) fn forget_over(&mut self) {
        if let Stand::Open(open) = &mut self.stand {
            open.is_over = false;
        }
    }

    /// Takes what a node of a network tells of how far it is.
    pub(super) fn reach(&mut self, progress: &Progress) -> Change {
        let Stand::Open(open) = &mut self.stand else { return Change::Nothing };
        open.reach(progress)
    }

    /// Takes an event of this slot. What comes after its end changes nothing.
    pub(super) fn hear(&mut self, kind: &str, event: &Value) -> Change {
        let Stand::Open(open) = &mut self.stand else { return Change::Nothing };
        open.hear(kind, event)
    }
}

/// Sound and picture are made side by side, everything else one after the other.
const fn level(stage: Stage) -> u8 {
    match stage {
        Stage::Audio | Stage::Image => 0,
        Stage::Video => 1,
        Stage::Verify => 2,
        Stage::Package => 3,
    }
}

fn steps(count: u64) -> Option<u32> {
    u32::try_from(count).ok()
}

/// A stage that has not begun.
pub(super) fn waiting(stage: &str) -> StageView {
    StageView {
        stage: stage.to_owned(),
        state: StageState::Waiting,
        attempt: 0,
        began_at: None,
        ended_at: None,
        done: None,
        total: None,
    }
}

impl Open {
    fn hear(&mut self, kind: &str, event: &Value) -> Change {
        let named = |event: &Value| event.get("stage").and_then(Value::as_str).map(str::to_owned);
        let number = |value: Option<&Value>| {
            value.and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
        };
        let at = event.get("at").and_then(Value::as_f64);
        let (stage, step) = match kind {
            "stage_began" => (named(event).unwrap_or_default(), Step::Begins),
            "stage_progress" => (named(event).unwrap_or_default(), Step::Advances),
            "video_progress" => ("video".to_owned(), Step::Advances),
            "audio_complete" | "image_complete" | "video_complete" => {
                (kind.trim_end_matches("_complete").to_owned(), Step::IsDone)
            }
            "clip_complete" => ("verify".to_owned(), Step::IsDone),
            "generation_complete" | "slot_failed" | "slot_cancelled" | "slot_superseded" => {
                self.is_over = true;
                return Change::Over;
            }
            _ => return Change::Nothing,
        };
        let Some(entry) = self.view.stages.iter_mut().find(|entry| entry.stage == stage) else {
            return Change::Nothing;
        };
        self.view.position = None;
        // After a broken connection, events come that the answer read since knows already.
        let known = entry.ended_at.or(entry.began_at);
        let is_known = matches!((at, known), (Some(at), Some(known)) if at <= known);
        match step {
            Step::Begins if is_known => Change::Nothing,
            Step::IsDone if entry.state == StageState::Done => Change::Nothing,
            Step::Begins => {
                entry.state = StageState::Running;
                entry.attempt = number(event.get("attempt")).unwrap_or(entry.attempt + 1);
                (entry.began_at, entry.ended_at) = (at, None);
                (entry.done, entry.total) = (None, None);
                Change::Began(stage)
            }
            // A step that comes late reopens nothing.
            Step::Advances if entry.state == StageState::Done => Change::Nothing,
            Step::Advances => {
                let progress = event.get("progress");
                entry.state = StageState::Running;
                entry.done = number(progress.and_then(|progress| progress.get("done")));
                entry.total = number(progress.and_then(|progress| progress.get("total")));
                Change::Progress(stage)
            }
            Step::IsDone => {
                entry.state = StageState::Done;
                entry.ended_at = at;
                Change::Done(stage)
            }
        }
    }

    /// What is told is a stage and its steps, and some of it may be missing: what comes before the stage is done by then.
    fn reach(&mut self, progress: &Progress) -> Change {
        let stages = &mut self.view.stages;
        if self.view.device.as_deref() != Some(&progress.node) {
            // Another node begins from the beginning.
            let again = u32::from(self.view.device.is_some());
            self.view.device = Some(progress.node.clone());
            self.view.attempts += again;
            stages.iter_mut().for_each(|stage| *stage = waiting(&stage.stage));
        }
        self.view.state = SlotState::Running;
        self.view.position = None;
        for stage in Stage::ALL.into_iter().filter(|stage| level(*stage) < level(progress.stage)) {
            if let Some(entry) = stages.iter_mut().find(|entry| entry.stage == stage.name()) {
                entry.state = StageState::Done;
            }
        }
        let name = progress.stage.name().to_owned();
        let Some(entry) = stages.iter_mut().find(|entry| entry.stage == name) else { return Change::Nothing };
        let (done, total) = (steps(progress.done), steps(progress.total));
        (entry.done, entry.total) = if total == Some(0) { (None, None) } else { (done, total) };
        match entry.state {
            StageState::Done => Change::Nothing,
            _ if progress.total > 0 && progress.done >= progress.total => {
                entry.state = StageState::Done;
                Change::Done(name)
            }
            StageState::Running => Change::Progress(name),
            StageState::Waiting => {
                entry.state = StageState::Running;
                entry.attempt = self.view.attempts.max(1);
                entry.began_at = Some(progress.at);
                Change::Began(name)
            }
        }
    }

    /// Until the expected end, at `now`.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let eta = self.view.eta?;
        Some(crate::cli::remote::duration(eta).saturating_sub(now.saturating_duration_since(self.read_at)))
    }

    /// How much of its work is done, from 0 to 1: each stage counts the same, a stage under way by its steps.
    pub(super) fn share(&self) -> f64 {
        let stages = &self.view.stages;
        let done = stages.iter().map(|stage| match (stage.state, stage.done, stage.total) {
            (StageState::Done, ..) => 1.0,
            (StageState::Running, Some(done), Some(total)) if total > 0 => {
                (f64::from(done) / f64::from(total)).min(1.0)
            }
            _ => 0.0,
        });
        done.sum::<f64>() / (stages.len().max(1) as f64)
    }

    /// What is done just now, in words: `queued, 2 before it`, `image 2/4, audio`.
    pub(super) fn now_doing(&self) -> String {
        if let Some(position) = self.view.position {
            return match position {
                0 => "queued, next".to_owned(),
                before => format!("queued, {before} before it"),
            };
        }
        let running = self.view.stages.iter().filter(|stage| stage.state == StageState::Running);
        let told: Vec<String> = running
            .map(|stage| {
                let name = crate::cli::remote::plain(&stage.stage);
                match (stage.done, stage.total) {
                    (Some(done), Some(total)) => format!("{name} {done}/{total}"),
                    _ => name.into_owned(),
                }
            })
            .collect();
        if told.is_empty() { "waiting".to_owned() } else { told.join(", ") }
    }
}
