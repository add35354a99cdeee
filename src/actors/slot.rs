//! One open slot: its work, its plan, what it has so far. Data; the orchestrator moves it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::host::panic_text;
use super::pipeline::{Pipeline, PipelineError, SlotPipeline};
use super::plan::{Costs, Plan};
use crate::contract::Scores;
use crate::journal::{Accepted, Failure, OpenSlot, Outputs};
use crate::telemetry::names::span;
use crate::types::{PerModel, SlotId, TraceParent};

/// A slot that has been accepted and has not ended.
pub struct Slot {
    pub(super) accepted: Accepted,
    pub(super) work: Arc<dyn SlotPipeline>,
    pub(super) costs: Costs,
    pub(super) plan: Plan,
    pub(super) outputs: Outputs,
    pub(super) scores: [Option<Scores>; 2],
    pub(super) packaging: Option<JoinHandle<()>>,
    /// Stage outputs the journal is still writing.
    pub(super) unwritten: u32,
    /// Models whose run waits for memory, and that was told.
    pub(super) awaits: PerModel<bool>,
    pub(super) span: tracing::Span,
}

impl Slot {
    /// Asks the pipeline what `accepted` is about; takes up what `outputs` has.
    pub(super) fn open(pipeline: &dyn Pipeline, open: OpenSlot) -> Result<Self, PipelineError> {
        let OpenSlot { accepted, outputs } = open;
        let (work, costs) = guarded(Failure::Recipe, || {
            let work = pipeline.open(&accepted)?;
            let costs = work.costs();
            Ok((work, costs))
        })?;
        let span = tracing::info_span!(
            span::SLOT,
            slot = %accepted.slot,
            trace_id = accepted.traceparent.as_ref().map(TraceParent::trace_id)
        );
        let plan = Plan::resume(|stage| outputs.has(stage));
        Ok(Self {
            accepted,
            work,
            costs,
            plan,
            outputs,
            scores: [None, None],
            packaging: None,
            unwritten: 0,
            awaits: PerModel::default(),
            span,
        })
    }

    pub(super) fn id(&self) -> SlotId {
        self.accepted.slot
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Whoever drops a slot wants nothing of it any more.
        if let Some(packaging) = self.packaging.take() {
            packaging.abort();
        }
    }
}

/// Runs the pipeline's code: a panic in it is the slot's failure and nobody else's.
pub(super) fn guarded<T>(
    cause: Failure,
    work: impl FnOnce() -> Result<T, PipelineError>,
) -> Result<T, PipelineError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        Err(PipelineError::new(cause, format!("setting up the work panicked: {}", panic_text(&*payload))))
    })
}
