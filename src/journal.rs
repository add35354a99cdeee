//! What was accepted, which stages are done, how slots ended: the seam between the orchestrator and what keeps it.
//!
//! Owns the trait and its records, a journal in memory for rehearsals, and one of slot folders. "Lost" means accepted and
//! without a terminal record; everything here exists so that no slot is. Never decides anything about a slot.
//!
//! [actors]: crate::actors
//!
#![doc = include_str!("journal/README.md")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::contract::{Animation, Painting, Speech};
use crate::types::{Bytes, Deadline, PerStage, Sha256, SlotId, Stage, TraceParent};

mod error;
pub(crate) mod folder;
mod folders;
mod future;
pub mod index;
mod memory;

pub use error::{AnyError, JournalError, Misuse};
pub(crate) use folder::FolderTold;
pub use folder::{FolderState, Key, SlotFolder};
pub use folders::{Resumed, SlotFolders};
pub(crate) use folders::{TakenIn, TakenUp};
pub use future::JournalFuture;
pub use memory::MemoryJournal;

/// A slot as it came in.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id.
    pub slot: SlotId,
    /// The recipe's bytes as they came; the pipeline makes jobs of them, again after a restart.
    pub recipe: Arc<[u8]>,
    /// By when it is to be handed over. A journal that outlives the process keeps it as wall-clock time.
    pub deadline: Deadline,
    /// When it came in.
    pub at: Instant,
    /// The trace that it belongs to, where it came with one: a later process goes on in it.
    pub traceparent: Option<TraceParent>,
}

/// What the semantic check came to, for slots that passed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// One line for people.
    pub summary: String,
    /// Everything that goes into the result, as the verifier wrote it.
    pub report: serde_json::Value,
}

/// What was handed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parcel {
    /// Where each artifact went, as the sink names it.
    pub artifacts: Vec<String>,
}

/// A file that a slot leaves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Its name, counted from the slot's folder, with `/` between folders.
    pub name: String,
    /// Of its bytes.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: Bytes,
}

/// The output of a finished stage, shared with whoever needs it next.
#[derive(Clone, Debug)]
pub enum StageOutput {
    /// Of the audio stage.
    Speech(Arc<Speech>),
    /// Of the image stage.
    Painting(Arc<Painting>),
    /// Of the video stage; the video itself went to the encoder.
    Animation(Arc<Animation>),
    /// Of the verify stage.
    Judgement(Arc<Judgement>),
    /// Of the package stage.
    Parcel(Arc<Parcel>),
}

impl StageOutput {
    /// The stage that brings this.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Speech(_) => Stage::Audio,
            Self::Painting(_) => Stage::Image,
            Self::Animation(_) => Stage::Video,
            Self::Judgement(_) => Stage::Verify,
            Self::Parcel(_) => Stage::Package,
        }
    }
}

/// The outputs a slot has so far.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// Of the audio stage.
    pub speech: Option<Arc<Speech>>,
    /// Of the image stage.
    pub painting: Option<Arc<Painting>>,
    /// Of the video stage.
    pub animation: Option<Arc<Animation>>,
    /// Of the verify stage.
    pub judgement: Option<Arc<Judgement>>,
    /// Of the package stage.
    pub parcel: Option<Arc<Parcel>>,
}

impl Outputs {
    /// Adds one.
    pub fn put(&mut self, output: StageOutput) {
        match output {
            StageOutput::Speech(it) => self.speech = Some(it),
            StageOutput::Painting(it) => self.painting = Some(it),
            StageOutput::Animation(it) => self.animation = Some(it),
            StageOutput::Judgement(it) => self.judgement = Some(it),
            StageOutput::Parcel(it) => self.parcel = Some(it),
        }
    }

    /// Whether `stage` has brought its output.
    pub fn has(&self, stage: Stage) -> bool {
        match stage {
            Stage::Audio => self.speech.is_some(),
            Stage::Image => self.painting.is_some(),
            Stage::Video => self.animation.is_some(),
            Stage::Verify => self.judgement.is_some(),
            Stage::Package => self.parcel.is_some(),
        }
    }
}

/// Why a slot failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// It could not have been in time.
    Deadline,
    /// A stage took longer than its timeout and had no retries left.
    Timeout,
    /// A model's own error, and no retries left.
    ModelError,
    /// A model ran out of memory twice.
    OutOfMemory,
    /// The memory a stage needed would have crossed the hard limit.
    MemoryRefused,
    /// Its model died under it twice.
    Lost,
    /// The check was not passed.
    Rejected,
    /// The recipe makes no job.
    Recipe,
    /// The artifacts could not be handed over.
    Package,
    /// A stage's output could not be written down.
    Journal,
}

impl Failure {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Deadline,
        Self::Timeout,
        Self::ModelError,
        Self::OutOfMemory,
        Self::MemoryRefused,
        Self::Lost,
        Self::Rejected,
        Self::Recipe,
        Self::Package,
        Self::Journal,
    ];

    /// The name in records, metrics and scenarios.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Timeout => "timeout",
            Self::ModelError => "model_error",
            Self::OutOfMemory => "out_of_memory",
            Self::MemoryRefused => "memory_refused",
            Self::Lost => "lost",
            Self::Rejected => "rejected",
            Self::Recipe => "recipe",
            Self::Package => "package",
            Self::Journal => "journal",
        }
    }
}

/// Why a slot was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelCause {
    /// Whoever wanted it wants it no more.
    Requested,
    /// The node went down before it was done, and nobody takes it up again.
    Shutdown,
}

impl CancelCause {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Requested, Self::Shutdown];

    /// The name in records, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Shutdown => "shutdown",
        }
    }
}

/// How a slot ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "snake_case")]
pub enum Ending {
    /// Handed over.
    Completed {
        /// Whether in time.
        deadline_met: bool,
    },
    /// Not to be had.
    Failed {
        /// What kind of failure.
        cause: Failure,
        /// In which stage, if in one.
        stage: Option<Stage>,
        /// What happened, with the values.
        message: String,
    },
    /// Stopped.
    Cancelled {
        /// What stopped it.
        cause: CancelCause,
    },
}

/// The last record of a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terminal {
    /// The slot.
    pub slot: SlotId,
    /// How it ended.
    #[serde(flatten)]
    pub ending: Ending,
    /// From acceptance to the end.
    pub elapsed: Duration,
    /// Spent per stage, all attempts together.
    pub breakdown: PerStage<Duration>,
}

/// What came of writing a slot's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is the slot's end.
    Ended,
    /// Another's result was first: the slot ends as superseded.
    Superseded {
        /// Whose.
        by: String,
    },
    /// Not written: the claim on the slot was lost, so it stays open and waits.
    Left,
}

/// An accepted slot without a terminal record, and what it has already.
#[derive(Clone, Debug)]
pub struct OpenSlot {
    /// As it came in.
    pub accepted: Accepted,
    /// The outputs of its finished stages.
    pub outputs: Outputs,
}

/// What a journal has open.
#[derive(Debug, Default)]
pub struct Opened {
    /// In order of acceptance.
    pub slots: Vec<OpenSlot>,
    /// What cannot be read now. It stays open.
    pub unread: Vec<(SlotId, JournalError)>,
}

/// Keeps what may not be lost. Calls come from actors and return at once; slow media go on with the write elsewhere and
/// tell its outcome by the future. Of one slot, writes come in the order of the calls.
pub trait Journal: Send + Sync + 'static {
    /// A slot comes in; only when this is written is it accepted.
    fn accept(&self, accepted: &Accepted) -> JournalFuture;

    /// A stage's output is to be kept until the slot ends.
    fn stage_done(&self, slot: SlotId, output: &StageOutput) -> JournalFuture;

    /// A slot ends. Its outputs may go, unless it is [left](Recorded::Left). Writing the same slot's end twice keeps the
    /// first.
    fn terminal(&self, terminal: &Terminal) -> JournalFuture<Recorded>;

    /// After how long an end that could not be written is tried again; not at all where nobody waits for it but the next
    /// start.
    fn tries_ends_again(&self) -> Option<Duration> {
        None
    }

    /// Every open slot: what a new orchestrator, or a new process, takes up again.
    fn open(&self) -> JournalFuture<Opened>;

    /// The process is about to end; everything written must be safe when this is done.
    fn before_exit(&self) -> JournalFuture;
}
