//! The result of a slot, however it ended: everything that it says is gathered, signed, and put into the slot's folder.
//!
//! One step for every ending. A completed slot's result is part of its package; the result of one that failed or was
//! cancelled is written before the record of its end, so that where the record stands, the result stands too. Artifacts of
//! finished stages stay beside it.

use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;

use super::Shared;
use super::notes::{Noted, Notes};
use super::slot::directed;
use super::timings::SlotTimings;
use crate::actors::pipeline::PipelineError;
use crate::clock;
use crate::contract::Warning;
use crate::direction::planner::{Budget, plan};
use crate::journal::{Accepted, Ending, Failure, JournalError, Outputs, Parcel, SlotFolder};
use crate::recipe::{Recipe, document};
use crate::sink::{self, BundleRef, Frames, Manifest, NodeReport, Outcome, RecipeRef, WriteError};
use crate::types::Sha256;

/// Who signs, and what all results of a process say.
pub(crate) struct Signer {
    /// The node's own.
    pub(crate) key: SigningKey,
    /// The weights.
    pub(crate) bundle: BundleRef,
    /// Who renders; on the first of its devices, until a slot says on which.
    pub(crate) node: NodeReport,
}

/// A slot whose result is to be written.
pub(super) struct Ended {
    /// As it came in.
    pub(super) accepted: Accepted,
    /// What it asked for.
    pub(super) recipe: Recipe,
    /// What came up on the way.
    pub(super) notes: Arc<Notes>,
    /// How it ended.
    pub(super) ending: Ending,
    /// What it brought.
    pub(super) outputs: Outputs,
}

/// Writes and signs the result of `ended` into its folder. The parcel names every artifact of the result.
pub(super) async fn deliver(mut ended: Ended, shared: Arc<Shared>) -> Result<Parcel, PipelineError> {
    let slot = ended.accepted.slot;
    let failed =
        |message: String| PipelineError { transient: true, ..PipelineError::new(Failure::Package, message) };
    let folders = Arc::clone(&shared.folders);
    let folder = tokio::task::spawn_blocking(move || folders.ensure(slot)).await;
    let folder = folder
        .map_err(|error| failed(format!("making the slot's folder: {error}")))?
        .map_err(|error| failed(error.to_string()))?;
    if !matches!(ended.ending, Ending::Completed { .. }) {
        // What the folder has: an output may still be on its way there, or may not have arrived.
        let kept = folder.read().await.map_err(|error| failed(error.to_string()))?;
        ended.outputs = kept.map(|open| open.outputs).unwrap_or_default();
    }
    let written = tokio::task::spawn_blocking(move || {
        let timings = shared.timings.of(slot);
        write(&ended, &timings, &folder, &shared.signer)
    });
    let written = written.await.map_err(|error| failed(format!("writing the result: {error}")))?;
    Ok(Parcel { artifacts: written.map_err(failed)? })
}

/// Blocks on the disk. The names of everything that the result names.
fn write(
    ended: &Ended,
    timings: &SlotTimings,
    folder: &SlotFolder,
    signer: &Signer,
) -> Result<Vec<String>, String> {
    let Ended { accepted, recipe, notes, ending, outputs } = ended;
    let Noted { mut warnings, mut verdict } = notes.all();
    let animation = outputs.animation.as_deref();
    let frames = animation.map(|animation| frames(recipe, outputs, animation.rendered)).transpose()?;
    let of_models = [
        outputs.speech.as_deref().map(|it| &it.warnings),
        outputs.painting.as_deref().map(|it| &it.warnings),
        animation.map(|it| &it.warnings),
    ];
    of_models.into_iter().flatten().flatten().for_each(|warning| once(&mut warnings, warning));
    if verdict.is_none()
        && let Some(judgement) = &outputs.judgement
    {
        let report = judgement.report.clone();
        verdict = Some(serde_json::from_value(report).map_err(|error| format!("the verdict kept: {error}"))?);
    }
    verdict.iter().flat_map(|it| &it.warnings).for_each(|warning| once(&mut warnings, warning));
    let now = clock::unix_time();
    let artifacts = folder.artifacts();
    let names = artifacts.iter().map(|artifact| artifact.name.clone()).collect();
    let manifest = Manifest {
        version: sink::VERSION,
        trace_id: accepted.traceparent.as_ref().map(|it| it.trace_id().to_owned()),
        recipe_id: accepted.slot,
        outcome: Outcome::of(ending, verdict.as_ref()),
        // Of the canonical document: comments and layout change nothing.
        recipe: RecipeRef { sha256: Sha256::of(&document::canonical(recipe.document())) },
        bundle: signer.bundle.clone(),
        artifacts,
        verification: verdict,
        stages: timings.stages(|stage| outputs.has(stage)),
        elapsed: clock::now().saturating_duration_since(accepted.at).as_secs_f64(),
        deadline: recipe.deadline.map(|deadline| deadline.as_secs()),
        deadline_met: recipe.deadline.is_none_or(|deadline| now <= deadline),
        models: timings.models(),
        frames,
        warnings,
        node: NodeReport { device: timings.device().unwrap_or(signer.node.device), ..signer.node.clone() },
        rendered_at: now.as_secs(),
    };
    sink::write(folder.dir(), &manifest, &signer.key)
        .map_err(|WriteError { path, source }| JournalError::io(path, "written", source).to_string())?;
    Ok(names)
}

fn once(warnings: &mut Vec<Warning>, warning: &Warning) {
    if !warnings.contains(warning) {
        warnings.push(warning.clone());
    }
}

/// The plan that the video was made by. It follows from the recipe, the speech and how many frames time allowed to be
/// rendered, so a resumed slot need not have kept it.
fn frames(recipe: &Recipe, outputs: &Outputs, rendered: u32) -> Result<Frames, String> {
    let (Some(speech), Some(animation)) = (&outputs.speech, &outputs.animation) else {
        return Err("a video was kept without its speech".to_owned());
    };
    let (directed, _) = directed(recipe, speech).map_err(|error| error.to_string())?;
    let unit = Duration::from_nanos(1);
    let planned = plan(directed, Budget { per_frame: unit, left: Some(unit * rendered) });
    Ok(Frames::of(&planned.plan, animation, recipe.resolution))
}
