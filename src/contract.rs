//! What actors, models and rehearsals share: a model, its jobs and outputs, its way of reporting, its errors.
//!
//! Plain data only, never tensors: what crosses a thread is owned and small. Knows std and `types`, nothing else.
//!
#![doc = include_str!("contract/README.md")]

mod error;
mod jobs;
mod run;
mod sink;

pub use error::{ErrorClass, ModelError};
pub use jobs::{
    Animate, Animation, Keyframe, Paint, Painting, Score, Scores, Speak, Speech, UnitEmbedding, Warning,
};
pub use run::{CancelFlag, Cancelled, Observe, Progress, Run, Unit};
pub use sink::{FrameSink, RgbFrame, SinkClosed};

use crate::types::Bytes;

/// A resident model: everything between a job and its output, on the one thread that loaded it.
///
/// A panic inside any of these is caught by the host, which drops the model (and with it its memory) and restarts it.
pub trait Model: 'static {
    /// What it is asked.
    type Job: Send + 'static;
    /// What it answers.
    type Output: Send + 'static;

    /// Device memory that its weights and permanent buffers hold, as measured when it was loaded.
    fn resident(&self) -> Bytes;

    /// An upper estimate of the device memory that `job` needs beyond [`resident`](Self::resident), before anything of
    /// it is allocated. The ledger replaces it by measured peaks as it learns them.
    fn workspace(&self, job: &Self::Job) -> Bytes;

    /// Does `job`. Calls [`Run::step`] between steps, sentences, batches and images, and gives up where that says so;
    /// after any error the model is as it was before the job.
    fn run(&mut self, job: Self::Job, run: &Run) -> Result<Self::Output, ModelError>;

    /// A small inference with a known good outcome; the model is not ready before it has passed.
    fn canary(&mut self, run: &Run) -> Result<(), ModelError>;

    /// Gives back what is not needed to stay ready (caches, pools); returns how much that was.
    fn trim(&mut self) -> Bytes;
}
