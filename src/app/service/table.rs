//! Every open slot as the API shows it, and the slots that ended last: answers come from here and touch no disk.
//!
//! Owns the views. Acceptances and ends are told by the journal once they are durable, everything between by the bus. Holds
//! a bounded number of ended slots; older ones are read from the index.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::api::views::{SlotState, SlotView, StageState, StageView, WebhookView};
use crate::clock;
use crate::contract::Progress;
use crate::events::{Event, EventKind};
use crate::journal::index::WebhookTarget;
use crate::types::{AttemptId, SlotId, Stage};

#[cfg(test)]
mod tests;

/// Ended slots that are answered from memory: whoever asks for a slot asks soon after its end. About 2 kB each.
const ENDED_KEPT: usize = 4096;

/// The views of a process.
#[derive(Debug, Default)]
pub(super) struct SlotTable(Mutex<Views>);

#[derive(Debug, Default)]
struct Views {
    open: HashMap<SlotId, Open>,
    /// Slots that have not begun, in order of acceptance.
    queued: BTreeMap<u64, SlotId>,
    next_number: u64,
    ended: HashMap<SlotId, SlotView>,
    /// The same, oldest first.
    ended_order: VecDeque<SlotId>,
}

#[derive(Debug)]
struct Open {
    view: SlotView,
    number: u64,
    /// When it is expected to end.
    ends_at: Option<Duration>,
    webhook: Option<WebhookTarget>,
    /// Nobody here works on it: its work is to come to this node again.
    is_left: bool,
}

/// What is new of a slot that came in.
#[derive(Clone, Debug)]
pub(super) struct NewView {
    /// Its id.
    pub(super) slot: SlotId,
    /// As 64 hexadecimal digits.
    pub(super) recipe_sha256: String,
    /// Since the Unix epoch.
    pub(super) accepted_at: Duration,
    /// Likewise.
    pub(super) deadline: Option<Duration>,
    /// How many processes have had it, this one included.
    pub(super) attempts: u32,
    /// As 32 hexadecimal digits.
    pub(super) trace_id: Option<String>,
    /// Stages whose outputs are kept.
    pub(super) done: Vec<Stage>,
    /// Where its events go.
    pub(super) webhook: Option<WebhookTarget>,
}

/// How many slots stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Not begun.
    pub(super) waiting: usize,
    /// Begun.
    pub(super) running: usize,
    /// Open, and nobody here works on them.
    pub(super) left: usize,
}

impl SlotTable {
    fn views(&self) -> MutexGuard<'_, Views> {
        // Each change is a few fields of one entry; a panic elsewhere leaves every other entry as it was.
        self.0.lock()
    }

    /// A slot is accepted and durable, or is taken up from the journal.
    pub(super) fn accepted(&self, new: NewView) {
        self.put(new, false);
    }

    /// A slot is open, and nobody here works on it.
    pub(super) fn left(&self, new: NewView) {
        self.put(new, true);
    }

    fn put(&self, new: NewView, is_left: bool) {
        let NewView { slot, recipe_sha256, accepted_at, deadline, attempts, trace_id, done, webhook } = new;
        let stage = |stage: Stage| StageView {
            stage: stage.name().to_owned(),
            state: if done.contains(&stage) { StageState::Done } else { StageState::Waiting },
            attempt: 0,
            began_at: None,
            ended_at: None,
            done: None,
            total: None,
        };
        let view = SlotView {
            id: slot.to_string(),
            state: SlotState::Queued,
            recipe_sha256,
            accepted_at: accepted_at.as_secs_f64(),
            ended_at: None,
            position: None,
            eta: None,
            deadline: deadline.map(|it| it.as_secs_f64()),
            deadline_margin: None,
            stages: Stage::ALL.map(stage).to_vec(),
            attempts,
            device: None,
            cause: None,
            message: None,
            artifacts: Vec::new(),
            delivery: None,
            webhook: webhook.as_ref().map(|webhook| WebhookView {
                url: webhook.url.clone(),
                events: webhook.events.clone(),
                state: None,
                attempts: 0,
                error: None,
            }),
            expires_at: None,
            trace_id,
        };
        let mut views = self.views();
        if let Some(open) = views.open.get(&slot) {
            if open.is_left == is_left {
                return;
            }
            let number = open.number;
            views.queued.remove(&number);
        }
        let number = views.next_number;
        views.next_number += 1;
        if !is_left {
            views.queued.insert(number, slot);
        }
        views.open.insert(slot, Open { view, number, ends_at: None, webhook, is_left });
    }

    /// The slot is expected to end then, as admission said.
    pub(super) fn expect(&self, slot: SlotId, eta: Duration) {
        if let Some(open) = self.views().open.get_mut(&slot) {
            open.ends_at = Some(clock::unix_time().saturating_add(eta));
        }
    }

    /// The slot has ended, and that is durable; this is what is shown of it from now on.
    pub(super) fn ended(&self, slot: SlotId, view: SlotView) {
        let mut view = SlotView { position: None, eta: None, ..view };
        if view.state == SlotState::Completed {
            // The last stage ends with the slot.
            for stage in view.stages.iter_mut().filter(|stage| stage.state == StageState::Running) {
                (stage.state, stage.ended_at) = (StageState::Done, view.ended_at);
                (stage.done, stage.total) = (None, None);
            }
        }
        let mut views = self.views();
        if let Some(open) = views.open.remove(&slot) {
            views.queued.remove(&open.number);
        }
        if views.ended.insert(slot, view).is_none() {
            views.ended_order.push_back(slot);
        }
        while views.ended_order.len() > ENDED_KEPT {
            if let Some(oldest) = views.ended_order.pop_front() {
                views.ended.remove(&oldest);
            }
        }
    }

    /// Changes what is shown of an ended slot, where it is still held here.
    pub(super) fn forget(&self, slot: SlotId) {
        let mut views = self.views();
        if views.ended.remove(&slot).is_some() {
            views.ended_order.retain(|held| *held != slot);
        }
    }

    /// The slot as it stands; none where it is not open, or ended long ago.
    pub(super) fn get(&self, slot: SlotId) -> Option<SlotView> {
        let views = self.views();
        match views.open.get(&slot) {
            Some(open) => Some(views.shown(open)),
            None => views.ended.get(&slot).cloned(),
        }
    }

    /// When it is due, since the Unix epoch, as far as it is held here.
    pub(super) fn deadline(&self, slot: SlotId) -> Option<Duration> {
        let views = self.views();
        let view = views.open.get(&slot).map(|open| &open.view).or_else(|| views.ended.get(&slot))?;
        Duration::try_from_secs_f64(view.deadline?).ok()
    }

    /// Whether it is open.
    pub(super) fn is_open(&self, slot: SlotId) -> bool {
        self.views().open.contains_key(&slot)
    }

    /// Where the events of an open slot go.
    pub(super) fn webhook(&self, slot: SlotId) -> Option<WebhookTarget> {
        self.views().open.get(&slot)?.webhook.clone()
    }

    /// How many slots stand where.
    pub(super) fn counts(&self) -> Counts {
        let views = self.views();
        let waiting = views.queued.len();
        let left = views.open.values().filter(|open| open.is_left).count();
        Counts { waiting, running: views.open.len().saturating_sub(waiting + left), left }
    }

    /// Whether the slot is open and at work here, or about to be.
    pub(super) fn is_at_work(&self, slot: SlotId) -> bool {
        self.views().open.get(&slot).is_some_and(|open| !open.is_left)
    }

    /// What happened to a slot; whether it has begun with this.
    pub(super) fn hear(&self, event: &Event) -> bool {
        let Some(slot) = event.slot else { return false };
        let mut views = self.views();
        let views = &mut *views;
        let Some(open) = views.open.get_mut(&slot) else { return false };
        let (at, mut has_begun) = (event.at, false);
        if let Some(device) = event.device {
            open.view.device = Some(device.to_string());
        }
        match &event.kind {
            EventKind::Accepted { eta, .. } => open.ends_at = Some(at.saturating_add(*eta)),
            EventKind::StageBegan { stage, attempt, .. } => {
                open.began(*stage, *attempt, at);
                has_begun = views.queued.remove(&open.number).is_some();
            }
            EventKind::StageProgress { stage, progress, .. } => open.progress(*stage, *progress),
            EventKind::VideoProgress { progress } => open.progress(Stage::Video, *progress),
            EventKind::StageAgain { stage, .. } => open.stage(*stage).state = StageState::Waiting,
            EventKind::AudioComplete { .. } => open.done(Stage::Audio, at),
            EventKind::ImageComplete { .. } => open.done(Stage::Image, at),
            EventKind::VideoComplete { .. } => open.done(Stage::Video, at),
            EventKind::ClipComplete { .. } => open.done(Stage::Verify, at),
            EventKind::GenerationComplete { .. } => open.done(Stage::Package, at),
            _ => {}
        }
        has_begun
    }
}

impl Views {
    fn shown(&self, open: &Open) -> SlotView {
        let now = clock::unix_time().as_secs_f64();
        let eta = open.ends_at.map(|at| (at.as_secs_f64() - now).max(0.0));
        let margin = open.view.deadline.map(|deadline| deadline - now - eta.unwrap_or_default());
        let is_queued = self.queued.contains_key(&open.number);
        let position = is_queued.then(|| self.queued.range(..open.number).count());
        SlotView {
            position: position.map(|ahead| u32::try_from(ahead).unwrap_or(u32::MAX)),
            eta,
            deadline_margin: margin,
            ..open.view.clone()
        }
    }
}

impl Open {
    fn stage(&mut self, stage: Stage) -> &mut StageView {
        &mut self.view.stages[stage as usize]
    }

    fn began(&mut self, stage: Stage, attempt: AttemptId, at: Duration) {
        self.view.state = SlotState::Running;
        let view = self.stage(stage);
        // Both CLIPs begin the check; it began with the first.
        if view.state != StageState::Running || view.attempt != attempt.get() {
            view.began_at = Some(at.as_secs_f64());
        }
        (view.state, view.attempt, view.ended_at) = (StageState::Running, attempt.get(), None);
        (view.done, view.total) = (None, None);
    }

    fn progress(&mut self, stage: Stage, progress: Progress) {
        let view = self.stage(stage);
        if view.state == StageState::Running {
            (view.done, view.total) = (Some(progress.done), Some(progress.total));
        }
    }

    fn done(&mut self, stage: Stage, at: Duration) {
        let view = self.stage(stage);
        (view.state, view.ended_at) = (StageState::Done, Some(at.as_secs_f64()));
        (view.done, view.total) = (None, None);
    }
}
