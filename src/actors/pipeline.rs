//! The seam between the tree and what a slot is about: recipe and outputs to jobs, verdict and package.
//!
//! The orchestrator knows stages, memory and time; a [`Pipeline`] knows recipes. `app` injects the one that makes real
//! jobs (direction, encoder, verifier, sink), rehearsals one that plays. Owns the traits only.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::plan::Costs;
use crate::contract::{Animate, Animation, ErrorClass, Paint, Painting, Score, Scores, Speak, Speech};
use crate::journal::{Accepted, Ending, Failure, Judgement, Outputs, Parcel};
use crate::types::{AttemptId, Stage};
use crate::vram::Shape;

/// Why a stage's work could not be set up, judged or handed over. Fails the slot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PipelineError {
    /// What kind of failure the slot's record names.
    pub cause: Failure,
    /// What happened, with the values.
    pub message: String,
    /// Whether packaging may be tried again; nothing else is.
    pub transient: bool,
}

impl PipelineError {
    /// Final, of this kind.
    pub fn new(cause: Failure, message: impl Into<String>) -> Self {
        Self { cause, message: message.into(), transient: false }
    }

    /// As the plan counts it.
    pub(super) fn class(&self) -> ErrorClass {
        if self.transient { ErrorClass::Transient } else { ErrorClass::Own }
    }
}

/// Reads accepted slots. Called on admission, and again for every open slot when an orchestrator takes them up.
pub trait Pipeline: Send + Sync + 'static {
    /// What `accepted` asks for. Quick: parses and checks, touches no disk and no network.
    fn open(&self, accepted: &Accepted) -> Result<Arc<dyn SlotPipeline>, PipelineError>;
}

/// A result being written and handed over.
pub(crate) type Delivering = Pin<Box<dyn Future<Output = Result<Parcel, PipelineError>> + Send>>;

/// One slot's work. All but [`deliver`](Self::deliver) is called inside an actor's handler and must be quick: plans
/// and plain data, a few milliseconds at most; a [`FrameSink`](crate::contract::FrameSink) opens what it needs at its
/// first frame, on the model's thread. A panic in here fails the slot and nothing else.
///
/// Every job may be asked for again after a fault; the same slot gives the same job.
pub trait SlotPipeline: Send + Sync + 'static {
    /// The slot has been accepted, or is taken up again: from now on this object speaks for it. Not called for a slot that
    /// was only considered.
    fn begin(&self) {}

    /// How much work each stage is, relative to what the profile's estimates are for.
    fn costs(&self) -> Costs {
        enum_map::enum_map! { _ => 1.0 }
    }

    /// What decides how much memory a stage's job takes (sizes of pictures, length of the text): jobs of equal shape
    /// are leased what earlier ones of it were measured to take.
    fn shape(&self, _: Stage) -> Shape {
        Shape::default()
    }

    /// The speech.
    fn speak(&self) -> Result<Speak, PipelineError>;

    /// The picture.
    fn paint(&self) -> Result<Paint, PipelineError>;

    /// The video, with a fresh sink for every attempt: what an earlier one pushed is void.
    fn animate(
        &self,
        attempt: AttemptId,
        speech: &Arc<Speech>,
        painting: &Arc<Painting>,
    ) -> Result<Animate, PipelineError>;

    /// What both CLIPs are asked about the keyframes.
    fn score(&self, animation: &Arc<Animation>) -> Result<Score, PipelineError>;

    /// The verdict on both answers. Fails with [`Failure::Rejected`] where the slot may not be handed over.
    fn judge(&self, b32: &Scores, l14: &Scores) -> Result<Judgement, PipelineError>;

    /// Writes the slot's signed result and hands it over: for a slot that completes as its package stage, for one that
    /// failed or was cancelled before its end is recorded. May wait for disks and networks; dropped where it takes too
    /// long, and begun anew, so it must replace what an earlier try left.
    fn deliver(&self, ending: &Ending, outputs: &Outputs) -> Delivering;
}
