//! Writes down what became of a slot: gathers everything that its result says, signs it, and puts it into the folder.
//!
//! Owns the node's key and what does not change from slot to slot; everything else is handed in or asked for when the
//! slot ends, however it ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ed25519_dalek::SigningKey;

use super::recorder::Recorder;
use super::studio::{Noted, Notes, directed};
use crate::actors::studio::StudioError;
use crate::clock;
use crate::contract::Warning;
use crate::direction::planner::{Budget, plan};
use crate::journal::{Accepted, Failure, JournalError, Outputs, Parcel, SlotFolder, Terminal};
use crate::recipe::Recipe;
use crate::sink::{self, BundleRef, Frames, Manifest, NodeReport, Outcome, RecipeRef};
use crate::types::Sha256;

/// What all results of a process share.
pub(crate) struct About {
    /// Which weights.
    pub(crate) bundle: BundleRef,
    /// Of the recipe's canonical document.
    pub(crate) recipe: Sha256,
    /// Who renders; on the first of its devices, until the slot says on which.
    pub(crate) node: NodeReport,
}

/// The clerk of one slot folder.
pub(crate) struct Clerk {
    about: About,
    key: SigningKey,
    folder: Arc<SlotFolder>,
    recorder: Arc<Recorder>,
    open: Mutex<Option<Opened>>,
}

/// The slot whose result is to be written.
#[derive(Clone)]
pub(crate) struct Opened {
    /// As it came in.
    pub(crate) accepted: Accepted,
    /// What it asks for.
    pub(crate) recipe: Recipe,
    /// What came up on the way.
    pub(crate) notes: Arc<Notes>,
}

impl Clerk {
    /// Writes into `folder`, as the node of `key`.
    pub(crate) fn new(
        about: About,
        key: SigningKey,
        folder: Arc<SlotFolder>,
        recorder: Arc<Recorder>,
    ) -> Self {
        Self { about, key, folder, recorder, open: Mutex::default() }
    }

    /// A slot is taken up; of an earlier orchestrator's the newer notes count.
    pub(crate) fn opened(&self, opened: Opened) {
        self.recorder.accepted(opened.accepted.at);
        *self.open() = Some(opened);
    }

    fn open(&self) -> MutexGuard<'_, Option<Opened>> {
        // Replaced whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of a slot that passed its check.
    pub(crate) async fn complete(self: Arc<Self>, outputs: Outputs) -> Result<Parcel, StudioError> {
        let failed =
            |message: String| StudioError { transient: true, ..StudioError::new(Failure::Package, message) };
        let written = tokio::task::spawn_blocking(move || self.write(Outcome::Completed, &outputs)).await;
        let artifacts =
            written.map_err(|error| failed(format!("writing the result: {error}")))?.map_err(failed)?;
        Ok(Parcel { artifacts })
    }

    /// The result of a slot that failed; its artifacts stay.
    pub(crate) async fn fail(self: Arc<Self>, terminal: Terminal) -> Result<(), JournalError> {
        let verdict = self.open().as_ref().and_then(|opened| opened.notes.all().verdict);
        let Some(outcome) = Outcome::of(&terminal.ending, verdict.as_ref()) else { return Ok(()) };
        // What the folder has: this orchestrator may have taken the slot up a moment ago.
        let open = self.folder.read().await?;
        let slot = open.filter(|open| open.accepted.slot == terminal.slot);
        let outputs = slot.map(|open| open.outputs).unwrap_or_default();
        let written = tokio::task::spawn_blocking(move || self.write(outcome, &outputs)).await;
        written
            .map_err(|error| error.to_string())
            .and_then(|written| written)
            .map(drop)
            .map_err(|error| JournalError::Result { source: error.into() })
    }

    /// Blocks on the disk. The names of everything that the result names.
    fn write(&self, outcome: Outcome, outputs: &Outputs) -> Result<Vec<String>, String> {
        let opened = self.open().clone().ok_or("the recipe was never read")?;
        let Opened { accepted, recipe, notes } = opened;
        let Noted { mut warnings, mut verdict } = notes.all();
        let animation = outputs.animation.as_deref();
        let frames = animation.map(|animation| frames(&recipe, outputs, animation.rendered)).transpose()?;
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
            verdict =
                Some(serde_json::from_value(report).map_err(|error| format!("the verdict kept: {error}"))?);
        }
        verdict.iter().flat_map(|it| &it.warnings).for_each(|warning| once(&mut warnings, warning));
        let now = clock::unix_time();
        let artifacts = self.folder.artifacts();
        let names = artifacts.iter().map(|artifact| artifact.name.clone()).collect();
        let resumed = |stage| outputs.has(stage);
        let manifest = Manifest {
            version: sink::VERSION,
            recipe_id: accepted.slot,
            outcome,
            recipe: RecipeRef { sha256: self.about.recipe },
            bundle: self.about.bundle.clone(),
            artifacts,
            verification: verdict,
            stages: self.recorder.stages(resumed),
            elapsed: clock::now().saturating_duration_since(accepted.at).as_secs_f64(),
            deadline: recipe.deadline.map(|deadline| deadline.as_secs()),
            deadline_met: recipe.deadline.is_none_or(|deadline| now <= deadline),
            models: self.recorder.models(),
            frames,
            warnings,
            node: NodeReport {
                device: self.recorder.device().unwrap_or(self.about.node.device),
                ..self.about.node.clone()
            },
            rendered_at: now.as_secs(),
        };
        sink::write(self.folder.dir(), &manifest, &self.key).map_err(|error| error.to_string())?;
        Ok(names)
    }
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
