//! Kokoro by itself, for commands that only hear a voice or time a script: chosen, planned and loaded as the node would,
//! and nothing else with it.

use std::path::Path;

use super::BuildError;
use super::bundle::{Chosen, budget, there_with};
use super::settings::{hard_limit, open_all};
use crate::config::preflight::Budget;
use crate::config::{Loaded, Settings, SpeakerError, Voices};
use crate::contract::{ModelError, Run, Speak};
use crate::models::bundle::{Bundle, held};
use crate::models::catalog::load;
use crate::models::kokoro::text::Accent;
use crate::models::kokoro::timer::{Saying, Timer, without_weights};
use crate::models::kokoro::{KokoroModel, Readers, speaker};
use crate::models::workspace::SlotSize;
use crate::pipeline::speak;
use crate::recipe::Recipe;
use crate::types::{DeviceId, ModelId};
use crate::vram::policy::{ModelNeed, Plan, Variant, preflight};

/// The only model that is needed.
pub const NEEDED: [ModelId; 1] = [ModelId::Kokoro];

/// What the node would have said for `recipe` with a bundle of the voices `known`, and what a user has to know of who
/// speaks.
pub fn job(
    recipe: &Recipe,
    voices: &Voices,
    known: &[String],
) -> Result<(Speak, Option<String>), SpeakerError> {
    let speaker = voices.speaker(&recipe.audio.voice_id, known)?;
    Ok((speak(recipe, speaker.voice), speaker.replaced))
}

/// Loads Kokoro of `chosen` onto the first device of the settings that has room for it; tells which that is, and why others
/// are left out.
pub fn kokoro(
    chosen: &Chosen,
    settings: &Settings,
    run: &Run,
) -> Result<(KokoroModel, DeviceId, Vec<String>), BuildError> {
    held::check(&chosen.bundle, &NEEDED)?;
    let (mut opened, notes) = open_all(settings, |it| {
        let Budget { resident, workspace } =
            budget(&chosen.bundle, ModelId::Kokoro, settings, &it.device, SlotSize::PLANNED)?;
        let variant = Variant {
            precision: settings.models.budget(ModelId::Kokoro).precision.name().to_owned(),
            resident: resident.bytes,
            workspace: workspace.bytes,
        };
        let need = ModelNeed { model: ModelId::Kokoro, chosen: variant, alternatives: Vec::new() };
        let (limit, overhead) = (hard_limit(settings, it.free), settings.memory.overhead);
        preflight(&Plan { limit, free: Some(it.free), overhead, models: &[need], concurrent: &[] })?;
        Ok(())
    })?;
    let first = opened.remove(0);
    let model = load::kokoro(&chosen.bundle, &first.device, run)?;
    Ok((model, first.id, notes))
}

/// Tells how long scripts take to speak: by the durations that a bundle's own network predicts, else by a table of what
/// published voices take.
pub struct Pace {
    timer: Option<Timer>,
    readers: Readers,
}

/// By what a length is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The bundle's network.
    Weights,
    /// The table.
    Table,
}

impl Pace {
    /// Without weights.
    pub fn by_table() -> Self {
        Self { timer: None, readers: Readers::default() }
    }

    /// With Kokoro of the bundle that `flag`, the settings or the configuration folder name, where its weights are there and
    /// can be read.
    pub fn of(flag: Option<&Path>, loaded: &Loaded) -> Self {
        let chosen = there_with(&NEEDED, flag, loaded).and_then(Result::ok);
        Self { timer: chosen.and_then(|chosen| timer(&chosen.bundle).ok()), ..Self::by_table() }
    }

    /// What `job` will say, and by what its length is told.
    pub fn saying(&self, job: &Speak) -> Result<(Saying, Basis), ModelError> {
        if let Some(timer) = &self.timer {
            return Ok((timer.saying(job)?, Basis::Weights));
        }
        let accent = speaker(&job.voice).1.unwrap_or(Accent::American);
        Ok((without_weights(self.readers.reader(accent), job)?, Basis::Table))
    }
}

fn timer(bundle: &Bundle) -> Result<Timer, ModelError> {
    load::kokoro_timer(bundle, &candle_core::Device::Cpu, &Run::unobserved())
}
