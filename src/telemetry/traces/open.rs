//! The trace of one open slot: its root and what has begun below it.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, TraceId};
use opentelemetry_sdk::trace::SpanData;

use super::span::{Draft, new_id};
use crate::events::{Event, EventKind};
use crate::telemetry::names::span;
use crate::types::{AttemptId, Bytes, DeviceId, ModelId, PerModel, PerStage, SlotId, Stage};

/// Spans that are held for a slot that sampling left out; a slot with more has been set back very often.
const MOST_HELD: usize = 256;

/// A span below the root.
#[derive(Clone, Debug)]
struct Child {
    id: SpanId,
    draft: Draft,
}

impl Child {
    fn new(draft: Draft) -> Self {
        Self { id: new_id(), draft }
    }
}

/// An open slot's.
#[derive(Debug)]
pub(super) struct Open {
    trace: TraceId,
    root: SpanId,
    parent: Option<SpanId>,
    draft: Draft,
    sampled: bool,
    device: Option<DeviceId>,
    /// Since when it waits to begin; none once it has.
    waits: Option<Duration>,
    stages: PerStage<Option<(AttemptId, Child)>>,
    runs: PerModel<Option<Child>>,
    /// Runs that wait for memory.
    memory: PerModel<Option<Draft>>,
    steps: PerModel<Option<(u32, u32)>>,
    finished: Vec<SpanData>,
}

fn number(bytes: Bytes) -> i64 {
    i64::try_from(bytes.get()).unwrap_or(i64::MAX)
}

impl Open {
    /// A slot that is new: handed in and accepted at `times`.
    pub(super) fn accepted(
        slot: SlotId,
        trace: TraceId,
        root: SpanId,
        parent: Option<SpanId>,
        times: (Duration, Duration),
        sampled: bool,
    ) -> Self {
        let draft = Draft::new(span::SLOT, times.0)
            .with("vortex.slot", slot.to_string())
            .below_remote(parent.is_some());
        let mut open = Self::new(trace, root, parent, draft, times.1, sampled);
        open.finish(Child::new(Draft::new(span::INTAKE, times.0)), times.1, root);
        open
    }

    /// A slot that an earlier process had.
    pub(super) fn resumed(
        slot: SlotId,
        trace: TraceId,
        root: SpanId,
        first: SpanContext,
        at: Duration,
        sampled: bool,
    ) -> Self {
        let mut draft =
            Draft::new(span::SLOT, at).with("vortex.slot", slot.to_string()).with("vortex.resumed", true);
        draft.link(first);
        Self::new(trace, root, None, draft, at, sampled)
    }

    fn new(
        trace: TraceId,
        root: SpanId,
        parent: Option<SpanId>,
        draft: Draft,
        at: Duration,
        sampled: bool,
    ) -> Self {
        Self {
            trace,
            root,
            parent,
            draft,
            sampled,
            device: None,
            waits: Some(at),
            stages: PerStage::default(),
            runs: PerModel::default(),
            memory: PerModel::default(),
            steps: PerModel::default(),
            finished: Vec::new(),
        }
    }

    pub(super) fn trace(&self) -> TraceId {
        self.trace
    }

    pub(super) fn is_sampled(&self) -> bool {
        self.sampled
    }

    pub(super) fn root(&self) -> SpanId {
        self.root
    }

    /// Whether it is on `device`, or nobody knows of which.
    pub(super) fn is_on(&self, device: Option<DeviceId>) -> bool {
        self.device.is_none() || device.is_none() || self.device == device
    }

    pub(super) fn note(&mut self, at: Duration, name: &'static str, attributes: Vec<KeyValue>) {
        self.draft.note(at, name, attributes);
    }

    fn finish(&mut self, child: Child, at: Duration, parent: SpanId) {
        if self.finished.len() < MOST_HELD {
            self.finished.push(child.draft.end(at, self.trace, child.id, parent));
        }
    }

    /// Spans that can go out; none while it is not known whether the trace is wanted.
    pub(super) fn ready(&mut self) -> Vec<SpanData> {
        if self.sampled { std::mem::take(&mut self.finished) } else { Vec::new() }
    }

    /// What happened to it, its end apart.
    pub(super) fn hear(&mut self, event: &Event) {
        let at = event.at;
        self.device = event.device.or(self.device);
        match &event.kind {
            EventKind::StageBegan { stage, model, attempt } => self.began(at, *stage, *model, *attempt),
            EventKind::StageProgress { model, progress, .. } => {
                self.steps[*model] = Some((progress.done, progress.total));
            }
            EventKind::VideoProgress { progress } => {
                self.steps[ModelId::LivePortrait] = Some((progress.done, progress.total));
            }
            EventKind::MemoryAwaited { model, needed, .. } => {
                let draft = Draft::new(span::MEMORY_WAIT, at)
                    .with("vortex.model", model.name())
                    .with("vortex.memory.needed", number(*needed));
                self.memory[*model].get_or_insert(draft);
            }
            EventKind::RunEnded { model, before, after, peak, error, .. } => {
                self.run_ended(at, *model, [*before, *after, *peak], error.as_deref());
            }
            EventKind::StageAgain { stage, message, .. } => self.stage_over(at, *stage, Some(message)),
            EventKind::AudioComplete { .. } => self.stage_over(at, Stage::Audio, None),
            EventKind::ImageComplete { .. } => self.stage_over(at, Stage::Image, None),
            EventKind::VideoComplete { .. } => self.stage_over(at, Stage::Video, None),
            EventKind::ClipComplete { .. } => self.stage_over(at, Stage::Verify, None),
            EventKind::VideoEncoded { frames, bytes, encoding } => self.note(
                at,
                "video_encoded",
                vec![
                    KeyValue::new("frames", i64::from(*frames)),
                    KeyValue::new("bytes", number(*bytes)),
                    KeyValue::new("encoding", encoding.as_secs_f64()),
                ],
            ),
            EventKind::SlotMoved { from } => {
                self.note(at, "slot_moved", vec![KeyValue::new("from", from.to_string())]);
            }
            EventKind::JournalFailed { what, message } => {
                let attributes =
                    vec![KeyValue::new("what", *what), KeyValue::new("message", message.clone())];
                self.note(at, "journal_failed", attributes);
            }
            _ => {}
        }
    }

    fn began(&mut self, at: Duration, stage: Stage, model: Option<ModelId>, attempt: AttemptId) {
        if let Some(since) = self.waits.take() {
            self.finish(Child::new(Draft::new(span::ADMISSION_WAIT, since)), at, self.root);
        }
        // Both CLIPs begin the check, which is one stage.
        if self.stages[stage].as_ref().is_some_and(|(open, _)| *open != attempt) {
            self.stage_over(at, stage, Some("begun again"));
        }
        let root = self.root;
        let waited = model.and_then(|model| self.memory[model].take());
        let (_, child) = self.stages[stage].get_or_insert_with(|| {
            let draft = Draft::new(stage_name(stage), at)
                .with("vortex.stage", stage.name())
                .with("vortex.attempt", i64::from(attempt.get()));
            (attempt, Child::new(draft))
        });
        let parent = child.id;
        if let Some(waited) = waited {
            self.finish(Child::new(waited), at, root);
        }
        if let Some(model) = model {
            self.steps[model] = None;
            let draft = Draft::new(run_name(model), at).with("vortex.model", model.name());
            if let Some(lost) = self.runs[model].replace(Child::new(draft)) {
                self.finish(lost, at, parent);
            }
        }
    }

    fn run_ended(
        &mut self,
        at: Duration,
        model: ModelId,
        [before, after, peak]: [Option<Bytes>; 3],
        error: Option<&str>,
    ) {
        let Some(mut run) = self.runs[model].take() else { return };
        let parent = self.stages[stage_of(model)].as_ref().map_or(self.root, |(_, stage)| stage.id);
        let figures = [("before", before), ("after", after), ("peak", peak)];
        for (name, bytes) in figures {
            if let Some(bytes) = bytes {
                run.draft.attributes.push(KeyValue::new(format!("vortex.memory.{name}"), number(bytes)));
            }
        }
        if let Some((done, total)) = self.steps[model].take() {
            run.draft.say("vortex.steps.done", i64::from(done));
            run.draft.say("vortex.steps.total", i64::from(total));
        }
        match error {
            Some(error) => run.draft.fail(error),
            None => run.draft.succeed(),
        }
        self.finish(run, at, parent);
    }

    /// A stage's attempt is over, and with it what runs for it.
    fn stage_over(&mut self, at: Duration, stage: Stage, error: Option<&str>) {
        let Some((_, mut child)) = self.stages[stage].take() else { return };
        for model in ModelId::ALL.into_iter().filter(|model| stage_of(*model) == stage) {
            if let Some(mut run) = self.runs[model].take() {
                run.draft.fail(error.unwrap_or("it never said what it brought"));
                self.finish(run, at, child.id);
            }
        }
        match error {
            Some(error) => child.draft.fail(error),
            None => child.draft.succeed(),
        }
        self.finish(child, at, self.root);
    }

    /// The whole trace, or what of it has not gone out; nothing where it is not wanted and nothing went wrong.
    pub(super) fn end(mut self, event: &Event) -> Vec<SpanData> {
        let at = event.at;
        let (outcome, error, keep) = match &event.kind {
            EventKind::GenerationComplete { deadline_met, .. } => {
                self.draft.say("vortex.deadline_met", *deadline_met);
                ("completed", None, !deadline_met)
            }
            EventKind::SlotFailed { cause, stage, message } => {
                self.draft.say("vortex.cause", cause.name());
                if let Some(stage) = stage {
                    self.draft.say("vortex.stage", stage.name());
                }
                ("failed", Some(message.clone()), true)
            }
            EventKind::SlotCancelled { cause } => {
                self.draft.say("vortex.cause", cause.name());
                ("cancelled", None, false)
            }
            EventKind::SlotSuperseded { by } => {
                self.draft.say("vortex.superseded_by", by.clone());
                ("superseded", None, false)
            }
            EventKind::SlotLeft => ("left", None, false),
            EventKind::EndNotKept { message } => ("end_not_kept", Some(message.clone()), true),
            _ => return Vec::new(),
        };
        if !self.sampled && !keep {
            return Vec::new();
        }
        let unfinished =
            if outcome == "completed" { None } else { Some(error.as_deref().unwrap_or(outcome)) };
        let unfinished = unfinished.map(str::to_owned);
        if let Some(since) = self.waits.take() {
            self.finish(Child::new(Draft::new(span::ADMISSION_WAIT, since)), at, self.root);
        }
        for model in ModelId::ALL {
            if let Some(mut waited) = self.memory[model].take() {
                waited.fail("the slot ended before it was there");
                self.finish(Child::new(waited), at, self.root);
            }
        }
        for stage in Stage::ALL {
            self.stage_over(at, stage, unfinished.as_deref());
        }
        self.draft.say("vortex.outcome", outcome);
        if let Some(device) = self.device {
            self.draft.say("vortex.device", device.to_string());
        }
        match error {
            Some(error) => self.draft.fail(error),
            None => self.draft.succeed(),
        }
        let mut spans = std::mem::take(&mut self.finished);
        spans.push(self.draft.end(at, self.trace, self.root, self.parent.unwrap_or(SpanId::INVALID)));
        spans
    }
}

const fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Audio => "stage audio",
        Stage::Image => "stage image",
        Stage::Video => "stage video",
        Stage::Verify => "stage verify",
        Stage::Package => "stage package",
    }
}

const fn run_name(model: ModelId) -> &'static str {
    match model {
        ModelId::Flux => "run flux",
        ModelId::LivePortrait => "run liveportrait",
        ModelId::Kokoro => "run kokoro",
        ModelId::ClipB => "run clip_b",
        ModelId::ClipL => "run clip_l",
    }
}

/// The stage that a model works in.
const fn stage_of(model: ModelId) -> Stage {
    match model {
        ModelId::Kokoro => Stage::Audio,
        ModelId::Flux => Stage::Image,
        ModelId::LivePortrait => Stage::Video,
        ModelId::ClipB | ModelId::ClipL => Stage::Verify,
    }
}
