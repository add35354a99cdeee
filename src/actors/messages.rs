//! What every actor of the tree can be told, in one place, so that no actor's file has to know another's.
//!
//! Data only. Messages that carry a reply port are questions; the others are one-way casts, and a cast to an actor that
//! has just died is lost: its supervisor tells whoever has to know.

use std::sync::Arc;
use std::time::Duration;

use ractor::RpcReplyPort;

use super::admission::{Answer, Refusal, Request};
use super::host::{HostEvent, RunFailure, RunId};
use super::job::{Job, Output};
use super::pipeline::PipelineError;
use super::placement::{DeviceIndex, Offer};
use super::slot::Slot;
use crate::contract::Observe;
use crate::events::{Closed, Fault};
use crate::exit::Exit;
use crate::journal::{JournalError, OpenSlot, Opened, Parcel};
use crate::types::{AttemptId, Bytes, ModelId, SlotId};
use crate::vram::{Lease, Mark, Occasion, Occupant, Pressure, Reading, Snapshot};

/// What the root is told.
pub(crate) enum NodeMsg {
    /// End the process in order, within this time.
    Shutdown {
        /// The code.
        exit: Exit,
        /// For the slots in work.
        within: Duration,
    },
    /// A slot of a lost card is to go on: on the proposed card if that still serves. Answered when its card was told.
    Move {
        /// The slot.
        slot: Box<OpenSlot>,
        /// The lost card.
        from: DeviceIndex,
        /// Where it would go best.
        proposed: Option<DeviceIndex>,
        /// Told when it is done.
        done: RpcReplyPort<()>,
    },
    /// Every slot of this lost card has moved.
    Moved(DeviceIndex),
}

/// What is done on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// No slot is open.
    Idle,
    /// Slots are open, and all of them wait: for a model, for memory, for pressure to clear.
    Waiting,
    /// A run, a hand-over or a write of the journal is under way.
    AtWork,
}

/// What a card's root is told.
pub enum DeviceMsg {
    /// Give the card up with this code; in this process nothing helps.
    Escalate {
        /// The code.
        exit: Exit,
        /// What led to it.
        cause: String,
    },
    /// End in order, within this time.
    Shutdown {
        /// The code.
        exit: Exit,
        /// For the slots in work.
        within: Duration,
    },
    /// The orchestrator has no slot in work any more.
    Drained,
    /// The orchestrator takes slots in, or no more, or what it does for them has changed.
    AdmissionChanged {
        /// Why nothing comes in; none where slots do.
        closed: Option<Closed>,
        /// What is done for those that are open.
        activity: Activity,
    },
    /// Time to ask whether the device is of any use.
    LivenessDue,
    /// The wait before a child's restart is over.
    Respawn(Part),
    /// A deadline may have passed.
    DeadlineDue,
}

/// The card's root's children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The watchdog.
    Watchdog,
    /// The models' supervisor.
    Models,
    /// The orchestrator.
    Orchestrator,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Watchdog, Self::Models, Self::Orchestrator];

    /// As in logs and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Watchdog => "watchdog",
            Self::Models => "models",
            Self::Orchestrator => "orchestrator",
        }
    }
}

/// What the supervisor is told.
pub enum SupervisorMsg {
    /// Restart this model for that reason.
    Restart(ModelId, Fault),
    /// The model has passed its canary.
    Up(ModelId),
    /// The wait for a model is over: its lease is there, or what kept it from coming.
    Waited(ModelId, u64, Result<Lease, Fault>),
}

/// What the orchestrator is told.
pub enum OrchestratorMsg {
    /// Take this slot in; answered once the journal has it.
    Submit(Box<Request>, RpcReplyPort<Answer>),
    /// Say on what terms this slot could come in, and why not where it could not; takes nothing in.
    Consider(Box<Request>, RpcReplyPort<Result<Offer, Refusal>>),
    /// Go on with these slots, which the journal has and another card had.
    TakeOver(Vec<OpenSlot>),
    /// Stop this slot; answers whether it was open.
    Cancel(SlotId, RpcReplyPort<bool>),
    /// The journal has written an acceptance down, or could not.
    AcceptanceWritten(Box<Slot>, Duration, RpcReplyPort<Answer>, Result<(), JournalError>),
    /// The journal has read what is open.
    Opened(Result<Opened, JournalError>),
    /// The journal has written a stage's output down, or could not.
    StageWritten(SlotId, Result<(), JournalError>),
    /// A run has ended; its model is free.
    RunEnded {
        /// The model.
        model: ModelId,
        /// The run.
        run: RunId,
        /// What it brought.
        result: Result<Output, RunFailure>,
        /// The most device memory it held, where that could be measured.
        peak: Option<Bytes>,
    },
    /// A package was handed over, or could not be.
    Packaged(SlotId, AttemptId, Result<Parcel, PipelineError>),
    /// A model is free.
    ModelReady(ModelId),
    /// A model is down, with whatever it was at.
    ModelDown(ModelId),
    /// Memory pressure changed.
    PressureChanged(Pressure),
    /// A lease came or went while one was waited for.
    LeasesChanged,
    /// Other limits are in force.
    LimitsChanged,
    /// Let this model be restarted at the next slot boundary, or once all slots in work wait.
    PlanRestart(ModelId),
    /// Take nothing in, begin nothing new; tell the node when the slots in work have ended.
    Drain,
    /// A deadline may have passed.
    DeadlineDue,
}

/// What the watchdog is told.
pub enum WatchdogMsg {
    /// A look is due.
    DeadlineDue,
    /// A look is done; the mark says where the ledger stood before it.
    Looked(Box<Reading>, Mark),
    /// These other processes hold most of the device's memory.
    Occupied(Vec<Occupant>),
    /// Keep a snapshot now.
    Snapshot(Occasion),
    /// The device goes from idle to work.
    WorkBegan,
    /// The device is idle after a slot.
    SlotSettled,
    /// A model's thread has been told to end: its growth goes with it.
    ModelDropped(ModelId),
    /// Hand out the snapshots kept.
    Snapshots(RpcReplyPort<Vec<Snapshot>>),
}

/// A job for a model's actor, with all that travels with it.
pub struct Work {
    /// Its number.
    pub run: RunId,
    /// The job.
    pub job: Job,
    /// The memory it may use.
    pub lease: Option<Lease>,
    /// Whether the lease is what runs of this shape have been measured to take.
    pub measured: bool,
    /// Sees its steps.
    pub observer: Option<Arc<dyn Observe>>,
    /// Its span.
    pub span: tracing::Span,
}

/// What a model's actor is told.
pub enum ModelMsg {
    /// Do this job. Sent to a ready model only; one that arrives a moment early waits.
    Run(Box<Work>),
    /// Stop that job at its next step.
    Cancel(RunId),
    /// A new orchestrator has come: stop what the old one wanted, and tell it when ready.
    Report,
    /// Give back memory, when idle.
    Trim,
    /// The host said this.
    Noted(HostEvent<Output>),
    /// A deadline may have passed.
    DeadlineDue,
}
