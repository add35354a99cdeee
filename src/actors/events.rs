//! What the outside hears of a slot while it is under way.
//!
//! Owns the events and the subscriber trait; the orchestrator and the models' threads send them. A subscriber must
//! not block: it forwards to a channel of its own.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::restart::Fault;
use crate::contract::Progress;
use crate::exit::Exit;
use crate::journal::{CancelCause, Ending, Failure, Terminal};
use crate::telemetry::names::event;
use crate::types::{AttemptId, Bytes, DeviceId, ModelId, SlotId, Stage};
use crate::vram::policy::{Crossing, LeakVerdict, ModelUse};
use crate::vram::{Refusal, Sample, Switch};

/// Time spent per stage, all attempts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Breakdown {
    /// Speech.
    pub audio: Duration,
    /// Actor image.
    pub image: Duration,
    /// Animation.
    pub video: Duration,
    /// Semantic check.
    pub verify: Duration,
    /// Handing over.
    pub package: Duration,
}

impl From<[Duration; Stage::ALL.len()]> for Breakdown {
    fn from([audio, image, video, verify, package]: [Duration; Stage::ALL.len()]) -> Self {
        Self { audio, image, video, verify, package }
    }
}

/// Something happened to a slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SlotEvent {
    /// It came in, or was taken up again: after a restart, or by another card.
    Accepted {
        /// Which.
        slot: SlotId,
        /// The card that has it from now on.
        device: DeviceId,
        /// Expected time to the end.
        eta: Duration,
        /// Whether it was open before and is taken up again.
        resumed: bool,
    },
    /// A stage's work goes out, for the first time or again.
    StageBegan {
        /// Of which slot.
        slot: SlotId,
        /// Which stage.
        stage: Stage,
        /// The model that does it; none where the node does.
        model: Option<ModelId>,
        /// The how-manieth time.
        attempt: AttemptId,
    },
    /// A model made a step; steps of the video come as [`VideoProgress`](Self::VideoProgress).
    StageProgress {
        /// Of which slot.
        slot: SlotId,
        /// Of which stage.
        stage: Stage,
        /// By which model.
        model: ModelId,
        /// How far.
        progress: Progress,
    },
    /// The speech is there.
    AudioComplete {
        /// Of which slot.
        slot: SlotId,
        /// The stage's time, all attempts together.
        took: Duration,
    },
    /// The actor's picture is there.
    ImageComplete {
        /// Of which slot.
        slot: SlotId,
        /// The stage's time, all attempts together.
        took: Duration,
    },
    /// Frames were rendered.
    VideoProgress {
        /// Of which slot.
        slot: SlotId,
        /// How far.
        progress: Progress,
    },
    /// The video is there.
    VideoComplete {
        /// Of which slot.
        slot: SlotId,
        /// The stage's time, all attempts together.
        took: Duration,
    },
    /// The semantic check was passed.
    ClipComplete {
        /// By which slot.
        slot: SlotId,
        /// The stage's time, all attempts together.
        took: Duration,
        /// The verdict in one line.
        summary: String,
    },
    /// It was handed over.
    GenerationComplete {
        /// Which.
        slot: SlotId,
        /// From acceptance to the end.
        elapsed: Duration,
        /// Where the time went.
        breakdown: Breakdown,
        /// Whether it was in time.
        deadline_met: bool,
    },
    /// It is not to be had.
    SlotFailed {
        /// Which.
        slot: SlotId,
        /// What kind of failure.
        cause: Failure,
        /// In which stage, if in one.
        stage: Option<Stage>,
        /// What happened, with the values.
        message: String,
    },
    /// It was stopped.
    SlotCancelled {
        /// Which.
        slot: SlotId,
        /// By what.
        cause: CancelCause,
    },
    /// It came to its end, which could not be written down: it stays open, and the next start ends it again.
    EndNotKept {
        /// Which.
        slot: SlotId,
        /// Why not, and how it had ended where it had failed.
        message: String,
    },
}

impl SlotEvent {
    /// The slot it happened to.
    pub fn slot(&self) -> SlotId {
        match self {
            Self::Accepted { slot, .. }
            | Self::StageBegan { slot, .. }
            | Self::StageProgress { slot, .. }
            | Self::AudioComplete { slot, .. }
            | Self::ImageComplete { slot, .. }
            | Self::VideoProgress { slot, .. }
            | Self::VideoComplete { slot, .. }
            | Self::ClipComplete { slot, .. }
            | Self::GenerationComplete { slot, .. }
            | Self::SlotFailed { slot, .. }
            | Self::SlotCancelled { slot, .. }
            | Self::EndNotKept { slot, .. } => *slot,
        }
    }
}

/// Something happened to one card's part of the node.
#[derive(Clone, Debug)]
pub enum NodeEvent {
    /// An actor went down.
    ActorDown {
        /// Its name: a model's, `watchdog`, `models`, `orchestrator`.
        actor: &'static str,
        /// What befell it.
        fault: Fault,
        /// What happened, with the values.
        message: String,
    },
    /// It is started again.
    ActorRestarted {
        /// Its name.
        actor: &'static str,
    },
    /// A model passed its canary.
    ModelReady {
        /// Which.
        model: ModelId,
        /// Since its fault, where there was one.
        after: Option<Duration>,
    },
    /// Memory was looked at and the look can be decided by.
    Sampled(Sample),
    /// Pressure changed.
    PressureCrossed(Crossing),
    /// Nothing to decide by for this long.
    Blind(Duration),
    /// A lease was refused before anything was allocated.
    LeaseRefused(Refusal),
    /// Another probe answers than before.
    ProbeSwitched(Switch),
    /// A model is restarted to make room.
    VictimChosen(ModelUse),
    /// Memory is short, and no model grew beyond its budget: none is restarted.
    VictimNone,
    /// A model's weights are loaded; its canary comes next.
    ModelLoaded {
        /// Which.
        model: ModelId,
        /// What its weights and permanent buffers hold.
        resident: Bytes,
    },
    /// A run made no step for too long and is cancelled.
    ModelStalled {
        /// Whose.
        model: ModelId,
        /// Since its last step.
        age: Duration,
    },
    /// A model gave back memory.
    Trimmed {
        /// Which.
        model: ModelId,
        /// How much.
        freed: Bytes,
    },
    /// A checkpoint of the leak fit.
    LeakChecked(LeakVerdict),
    /// A model's restart budget is spent: its card is not ready.
    Cordoned(ModelId),
    /// The card is given up; where it is the last, the process is to end.
    Escalated {
        /// With what code.
        exit: Exit,
        /// What led to it.
        cause: String,
    },
    /// The card is no more: its slots go on elsewhere, or the process ends.
    CardLost {
        /// With what code its part ended.
        exit: Exit,
        /// Where its slots go on; none where no card is left.
        others: Vec<DeviceId>,
    },
}

/// Hears every event, in order per slot. Called inside actors and on models' threads: never blocks.
pub trait Subscriber: Send + Sync + 'static {
    /// `event` happened to a slot.
    fn hear(&self, event: &SlotEvent);

    /// `event` happened to the part of the node that lives on `device`.
    fn notice(&self, _device: DeviceId, _event: &NodeEvent) {}
}

/// All subscribers of a tree, with the device whose tree it is.
#[derive(Clone)]
pub struct Subscribers {
    all: Arc<[Arc<dyn Subscriber>]>,
    device: DeviceId,
}

impl Subscribers {
    /// These, of the tree on `device`.
    pub fn new(all: Vec<Arc<dyn Subscriber>>, device: DeviceId) -> Self {
        Self { all: all.into(), device }
    }

    /// The same, of the tree on `device`.
    pub fn on(&self, device: DeviceId) -> Self {
        Self { all: Arc::clone(&self.all), device }
    }

    /// Tells every one.
    pub fn tell(&self, event: &SlotEvent) {
        for subscriber in self.all.iter() {
            subscriber.hear(event);
        }
    }

    /// Tells every one what happened to this part of the node.
    pub fn notice(&self, event: &NodeEvent) {
        for subscriber in self.all.iter() {
            subscriber.notice(self.device, event);
        }
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// Tells and logs how a slot ended.
pub(super) fn tell_end(subscribers: &Subscribers, span: &tracing::Span, terminal: &Terminal) {
    let slot = terminal.slot;
    let told = match &terminal.ending {
        Ending::Completed { deadline_met } => {
            let breakdown = Breakdown::from(terminal.breakdown);
            tracing::info!(
                parent: span,
                event = event::GENERATION_COMPLETE,
                %slot,
                elapsed = terminal.elapsed.as_secs_f64(),
                audio = breakdown.audio.as_secs_f64(),
                image = breakdown.image.as_secs_f64(),
                video = breakdown.video.as_secs_f64(),
                verify = breakdown.verify.as_secs_f64(),
                package = breakdown.package.as_secs_f64(),
                deadline_met,
                "slot complete"
            );
            let (elapsed, deadline_met) = (terminal.elapsed, *deadline_met);
            SlotEvent::GenerationComplete { slot, elapsed, breakdown, deadline_met }
        }
        Ending::Failed { cause, stage, message } => {
            let stage_name = stage.map(Stage::name);
            tracing::warn!(
                parent: span,
                event = event::SLOT_FAILED,
                %slot,
                cause = cause.name(),
                stage = stage_name,
                error = message,
                "slot failed"
            );
            SlotEvent::SlotFailed { slot, cause: *cause, stage: *stage, message: message.clone() }
        }
        Ending::Cancelled { cause } => {
            tracing::info!(parent: span, event = event::SLOT_CANCELLED, %slot, ?cause, "slot cancelled");
            SlotEvent::SlotCancelled { slot, cause: *cause }
        }
    };
    subscribers.tell(&told);
}
