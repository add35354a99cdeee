//! Every kind of event. In JSON its name is the variant's in snake case, in the field `event`.

use std::time::Duration;

use serde::Serialize;

use super::serial::{Seconds, SomeSeconds, code, used};
use crate::contract::Progress;
use crate::exit::Exit;
use crate::journal::{CancelCause, Failure};
use crate::types::{AttemptId, Bytes, DeviceId, ModelId, PerModel, PerStage, Stage};
use crate::vram::policy::{Crossing, LeakVerdict, MemoryRemedy, PressureCause};
use crate::vram::{Occupant, Refusal, Sample, Snapshot};

/// Time spent per stage, all attempts together; seconds in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Breakdown {
    /// Speech.
    #[serde(serialize_with = "Seconds::serialize")]
    pub audio: Duration,
    /// Actor image.
    #[serde(serialize_with = "Seconds::serialize")]
    pub image: Duration,
    /// Animation.
    #[serde(serialize_with = "Seconds::serialize")]
    pub video: Duration,
    /// Semantic check.
    #[serde(serialize_with = "Seconds::serialize")]
    pub verify: Duration,
    /// Handing over.
    #[serde(serialize_with = "Seconds::serialize")]
    pub package: Duration,
}

impl From<PerStage<Duration>> for Breakdown {
    fn from(spent: PerStage<Duration>) -> Self {
        let [audio, image, video, verify, package] = spent.into_array();
        Self { audio, image, video, verify, package }
    }
}

/// What befell an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Its actor or thread died: a panic, a kill, an error out of a handler.
    Died,
    /// It could not be loaded or its canary failed.
    NotReady,
    /// It outgrew its budget under hard pressure and was picked to make room.
    Victim,
    /// Its floor creeps up: a restart at a slot boundary, asked for before anything failed.
    Leak,
    /// Its memory did not come back after it was dropped.
    MemoryKept,
    /// Its thread ignored cancellation past its grace.
    Hung,
    /// A device error left the context unusable.
    Poisoned,
    /// Its files or settings cannot be used: every further load would fail in the same way.
    Unusable,
}

impl Fault {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Died,
        Self::NotReady,
        Self::Victim,
        Self::Leak,
        Self::MemoryKept,
        Self::Hung,
        Self::Poisoned,
        Self::Unusable,
    ];

    /// The name in logs, metrics and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Died => "died",
            Self::NotReady => "not_ready",
            Self::Victim => "victim",
            Self::Leak => "leak",
            Self::MemoryKept => "memory_kept",
            Self::Hung => "hung",
            Self::Poisoned => "poisoned",
            Self::Unusable => "unusable",
        }
    }

    /// Why an actor was ended by the node itself; none for what befell it.
    pub const fn why_ended(self) -> Option<&'static str> {
        match self {
            Self::Victim => Some("ended to free memory at the hard limit"),
            Self::Leak => Some("ended between two slots: what it held had grown from slot to slot"),
            _ => None,
        }
    }
}

/// Why admission is closed altogether.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// Memory stands above the soft or the hard limit.
    Pressure,
    /// A model has never been ready, or is cordoned.
    NotReady,
    /// The node is on its way out.
    Draining,
}

impl Closed {
    /// As written in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pressure => "pressure",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
        }
    }
}

/// What happened. The first part happens to slots, the second to a device's part of the node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A slot came in, or was taken up again: after a restart, or by another card.
    Accepted {
        /// Expected time to the end.
        #[serde(serialize_with = "Seconds::serialize")]
        eta: Duration,
        /// Whether it was open before and is taken up again.
        resumed: bool,
    },
    /// A stage's work goes out, for the first time or again.
    StageBegan {
        /// The stage.
        stage: Stage,
        /// The model that does it; none where the node does.
        model: Option<ModelId>,
        /// Counted from 1.
        attempt: AttemptId,
    },
    /// A run cannot have its memory yet; told once, when it begins to wait.
    MemoryAwaited {
        /// Of which stage.
        stage: Stage,
        /// Of which model.
        model: ModelId,
        /// What it needs.
        needed: Bytes,
    },
    /// A model's run is over, well or not.
    RunEnded {
        /// Of which stage.
        stage: Stage,
        /// Of which model.
        model: ModelId,
        /// In use on the device when it began, at the last sample.
        before: Option<Bytes>,
        /// Likewise when it ended.
        after: Option<Bytes>,
        /// The most that it needed beyond its model's weights, where that was measured.
        peak: Option<Bytes>,
        /// Why it failed, where it did.
        error: Option<String>,
    },
    /// A model made a step; steps of the video come as [`VideoProgress`](Self::VideoProgress).
    StageProgress {
        /// Of which stage.
        stage: Stage,
        /// By which model.
        model: ModelId,
        /// How far.
        progress: Progress,
    },
    /// A stage is set back and begun again.
    StageAgain {
        /// The stage.
        stage: Stage,
        /// Whether it counts as a retry.
        counted: bool,
        /// Why, with the values.
        message: String,
    },
    /// The speech is there.
    AudioComplete {
        /// The stage's time, all attempts together.
        #[serde(serialize_with = "Seconds::serialize")]
        took: Duration,
    },
    /// The actor's picture is there.
    ImageComplete {
        /// The stage's time, all attempts together.
        #[serde(serialize_with = "Seconds::serialize")]
        took: Duration,
    },
    /// Frames were rendered.
    VideoProgress {
        /// How far.
        progress: Progress,
    },
    /// The video is there.
    VideoComplete {
        /// The stage's time, all attempts together.
        #[serde(serialize_with = "Seconds::serialize")]
        took: Duration,
    },
    /// The video's file is whole; told beside the stage's end, which comes with its frames.
    VideoEncoded {
        /// How many it has.
        frames: u32,
        /// Its size.
        bytes: Bytes,
        /// How long its encoder was busy; waiting for frames does not count.
        #[serde(serialize_with = "Seconds::serialize")]
        encoding: Duration,
    },
    /// The semantic check was passed.
    ClipComplete {
        /// The stage's time, all attempts together.
        #[serde(serialize_with = "Seconds::serialize")]
        took: Duration,
        /// The verdict in one line.
        summary: String,
    },
    /// The slot was handed over.
    GenerationComplete {
        /// From acceptance to the end.
        #[serde(serialize_with = "Seconds::serialize")]
        elapsed: Duration,
        /// Where the time went.
        breakdown: Breakdown,
        /// Whether it was in time.
        deadline_met: bool,
    },
    /// The slot failed.
    SlotFailed {
        /// What kind of failure.
        cause: Failure,
        /// In which stage, if in one.
        stage: Option<Stage>,
        /// What happened, with the values.
        message: String,
    },
    /// The slot was stopped.
    SlotCancelled {
        /// What stopped it.
        cause: CancelCause,
    },
    /// Another node's result was first: what was made here is not the slot's.
    SlotSuperseded {
        /// Whose result it was.
        by: String,
    },
    /// This node's claim on it was lost before its end could be written: it stays open, and nobody here works on it.
    SlotLeft,
    /// It came to its end, which could not be written down: it stays open, and the next start ends it again.
    EndNotKept {
        /// Why not, and how it had ended where it had failed.
        message: String,
    },
    /// A slot of a lost device goes on on this one.
    SlotMoved {
        /// The lost one.
        from: DeviceId,
    },

    /// The journal could not write or read; of a slot where one is named.
    JournalFailed {
        /// What could not be done, as in "output not kept".
        what: &'static str,
        /// Why, with the values.
        message: String,
    },
    /// An actor went down.
    ActorDown {
        /// Its name: a model's, `watchdog`, `models`, `orchestrator`, `node`.
        actor: &'static str,
        /// What befell it.
        fault: Fault,
        /// What happened, with the values.
        message: String,
    },
    /// An actor is started again.
    ActorRestarted {
        /// Its name.
        actor: &'static str,
    },
    /// A model's weights are loaded; its canary comes next.
    ModelLoaded {
        /// The model.
        model: ModelId,
        /// Bytes that its weights and permanent buffers hold.
        resident: Bytes,
    },
    /// A model passed its canary.
    ModelReady {
        /// The model.
        model: ModelId,
        /// Since its fault, where there was one.
        #[serde(serialize_with = "SomeSeconds::serialize")]
        after: Option<Duration>,
    },
    /// A run made no step for too long and is cancelled.
    ModelStalled {
        /// Whose.
        model: ModelId,
        /// Since its last step.
        #[serde(serialize_with = "Seconds::serialize")]
        age: Duration,
    },
    /// A model gave back memory.
    ModelTrimmed {
        /// The model.
        model: ModelId,
        /// Bytes.
        freed: Bytes,
    },
    /// A model's restart budget is spent: its card is not ready.
    ModelCordoned {
        /// The model.
        model: ModelId,
        /// Until its last chance.
        #[serde(serialize_with = "Seconds::serialize")]
        rest: Duration,
    },
    /// Memory was sampled, and the sample can be decided by.
    Memory {
        /// In JSON its bytes in use.
        #[serde(rename = "used_bytes", serialize_with = "used")]
        sample: Sample,
    },
    /// Memory at one moment, model by model.
    MemorySnapshot(Box<Snapshot>),
    /// Pressure changed.
    MemoryPressure(Crossing),
    /// There has been nothing to decide by for this long.
    Blind {
        /// Since the last usable sample.
        #[serde(serialize_with = "Seconds::serialize")]
        waited: Duration,
    },
    /// Nothing could be seen for long: the probes were made anew.
    ProbesRebuilt {
        /// Since the last usable sample.
        #[serde(serialize_with = "Seconds::serialize")]
        waited: Duration,
        /// Whether that could be done.
        rebuilt: bool,
    },
    /// Another probe answers than before.
    ProbeSwitched {
        /// The one before; none at first.
        from: Option<&'static str>,
        /// None where none answers.
        to: Option<&'static str>,
        /// What became of the one before.
        because: Option<String>,
    },
    /// A lease was refused before anything was allocated.
    LeaseRefused(Box<Refusal>),
    /// Use stands above a limit, and whose memory that is was not known before or has changed.
    PressureCaused {
        /// Whose.
        cause: PressureCause,
        /// Used by this process beyond what its leases stand for; by everyone where no probe tells them apart.
        unexplained: Bytes,
    },
    /// Others' memory keeps use above a limit: whose it is.
    MemoryOccupied {
        /// The largest, the largest first.
        occupants: Vec<Occupant>,
    },
    /// Something is done about memory of our own that keeps use above a limit, or a run from beginning.
    MemoryRemedy {
        /// What.
        #[serde(flatten)]
        remedy: MemoryRemedy,
        /// What its model holds, as far as it is put down to it; none where no model is meant.
        #[serde(skip_serializing_if = "Option::is_none")]
        used: Option<Bytes>,
        /// What its model was given.
        #[serde(skip_serializing_if = "Option::is_none")]
        budget: Option<Bytes>,
    },
    /// The device takes slots in, or no more, with the reason.
    AdmissionChanged {
        /// Why nothing comes in; none where slots do.
        closed: Option<Closed>,
    },
    /// A checkpoint of the leak fit.
    LeakChecked {
        /// What it says of the process.
        #[serde(flatten)]
        verdict: LeakVerdict,
        /// Bytes that grew while each model was at work.
        grown: PerModel<Bytes>,
    },
    /// The node starts, and its last processes ended with 71.
    CrashLoop {
        /// How many of them, within the window.
        count: u32,
        /// Earlier ones do not count.
        #[serde(serialize_with = "Seconds::serialize")]
        within: Duration,
        /// Why the last one ended.
        cause: String,
        /// How long this one waits before it loads anything.
        #[serde(serialize_with = "Seconds::serialize")]
        delay: Duration,
        /// Whether somebody should look: starting again has not helped.
        alert: bool,
    },
    /// How this node's processes end could not be read or kept.
    CrashRecordFailed {
        /// Why, and what became of it.
        message: String,
    },
    /// The device is given up; where it is the last, the process is to end.
    Escalated {
        /// With what code.
        #[serde(serialize_with = "code")]
        exit: Exit,
        /// What led to it.
        cause: String,
    },
    /// The device serves no more: its slots go on elsewhere, or the process ends.
    CardLost {
        /// With what code its part ended.
        #[serde(serialize_with = "code")]
        exit: Exit,
        /// Where its slots go on first; none where no device is left.
        next: Option<DeviceId>,
        /// All that are left.
        others: Vec<DeviceId>,
    },
}
