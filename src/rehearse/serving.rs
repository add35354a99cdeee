//! A scenario's devices and models behind the real service: what `serve --scripted` runs.
//!
//! Clients, alerts and drills can be tried against it without a card and without weights. Owns the devices and what befalls
//! them; slots come from outside, their folders hold small files in place of sound and video, and time is real. The
//! arrivals and expectations of the scenario mean nothing here.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tokio::task::JoinSet;

use super::RehearsalError;
use super::drive::{held, ledger, settings};
use super::misfortune::let_happen;
use super::scenario::Scenario;
use super::scripted_models::{Hosting, company};
use super::scripted_pipeline::ScriptedPipeline;
use super::theatre::{Memory, Theatre};
use crate::actors::handle::{Cards, NodeHandle};
use crate::actors::limits::ModelLimits;
use crate::actors::pipeline::{Delivering, Pipeline, PipelineError, SlotPipeline};
use crate::actors::plan::Costs;
use crate::actors::sampler::InlineSampler;
use crate::actors::tree::{DeviceTree, OpenSlots, TreeParts};
use crate::contract::{Animate, Animation, Paint, Painting, Score, Scores, Speak, Speech};
use crate::events::Bus;
use crate::files::{Existing, Readers, write_whole};
use crate::journal::{Accepted, Ending, Failure, Journal, Judgement, Outputs, Parcel, SlotFolders};
use crate::recipe::Recipe;
use crate::types::{AttemptId, DeviceId, SlotId, Stage};
use crate::vram::{ChainSettings, ProbeChain, ScriptedDevice, ScriptedProbe, Shape};

/// The name of the file that says how a slot ended.
const RESULT: &str = "result.json";

/// A scenario's devices, ready to serve.
pub struct Serving {
    scenario: Scenario,
    devices: Vec<(DeviceId, ScriptedDevice)>,
}

impl Serving {
    /// Empty devices, as a new process finds them, and the cards that serve them.
    pub fn new(
        scenario: Scenario,
        journal: &Arc<dyn Journal>,
        folders: &Arc<SlotFolders>,
        bus: &Bus,
    ) -> Result<(Self, Cards), RehearsalError> {
        let empty = |id| (id, ScriptedDevice::new(scenario.device.total));
        let devices: Vec<(DeviceId, ScriptedDevice)> = scenario.device.ids().map(empty).collect();
        let played = Memory::default();
        let inner = ScriptedPipeline::new(scenario.package).map_err(held)?;
        let pipeline = Arc::new(ServedPipeline { inner, folders: Arc::clone(folders) });
        let mut trees = Vec::new();
        for (id, device) in &devices {
            let theatre = Theatre::new(*id, device.clone(), &scenario.faults, played.clone());
            let limits = ModelLimits {
                grace: scenario.grace,
                stall: scenario.stall,
                memory: scenario.memory_back,
                ..ModelLimits::default()
            };
            let chain = ChainSettings {
                max_age: scenario.device.stale_after,
                retry_after: scenario.device.sample_every,
                ..ChainSettings::default()
            };
            let probe = Box::new(ScriptedProbe::new("scripted", device.clone()));
            trees.push(DeviceTree::new(TreeParts {
                settings: settings(&scenario, OpenSlots::Resume)?,
                models: company(&scenario.parts, limits, &Arc::new(theatre), Hosting::Threads),
                pipeline: pipeline.clone(),
                journal: Arc::clone(journal),
                sampler: Arc::new(InlineSampler::new(ProbeChain::new(vec![probe], chain))),
                ledger: ledger(&scenario, *id, device),
                bus: bus.clone(),
            }));
        }
        let first = trees.remove(0);
        let cards = if scenario.device.standby {
            Cards::one_at_a_time(first, trees)
        } else {
            Cards::new(first, trees)
        };
        Ok((Self { scenario, devices }, cards))
    }

    /// Lets everything befall the node behind `handle` that the scenario has, counted from `start`; until what is returned
    /// is dropped.
    pub fn let_happen(&self, start: Instant, handle: &NodeHandle) -> JoinSet<()> {
        let_happen(&self.scenario, start, handle, &self.devices)
    }
}

/// Reads recipes of clients as the scripted models need them: by the slot's number.
struct ServedPipeline {
    inner: ScriptedPipeline,
    folders: Arc<SlotFolders>,
}

impl Pipeline for ServedPipeline {
    fn open(&self, accepted: &Accepted) -> Result<Arc<dyn SlotPipeline>, PipelineError> {
        let recipe = Recipe::read(&accepted.recipe);
        let recipe = recipe.map_err(|problems| PipelineError::new(Failure::Recipe, problems.to_string()))?;
        let inner = self.inner.slot(recipe.slot_number);
        Ok(Arc::new(ServedSlot { inner, slot: accepted.slot, folders: Arc::clone(&self.folders) }))
    }
}

struct ServedSlot {
    inner: Arc<dyn SlotPipeline>,
    slot: SlotId,
    folders: Arc<SlotFolders>,
}

impl ServedSlot {
    fn failed(error: impl std::fmt::Display) -> PipelineError {
        PipelineError { transient: true, ..PipelineError::new(Failure::Package, error.to_string()) }
    }
}

impl SlotPipeline for ServedSlot {
    fn costs(&self) -> Costs {
        self.inner.costs()
    }

    fn shape(&self, stage: Stage) -> Shape {
        self.inner.shape(stage)
    }

    fn speak(&self) -> Result<Speak, PipelineError> {
        self.inner.speak()
    }

    fn paint(&self) -> Result<Paint, PipelineError> {
        self.inner.paint()
    }

    fn animate(
        &self,
        attempt: AttemptId,
        speech: &Arc<Speech>,
        painting: &Arc<Painting>,
    ) -> Result<Animate, PipelineError> {
        let folders = self.folders.ensure(self.slot);
        let folder = folders.map_err(|error| PipelineError::new(Failure::Journal, error.to_string()))?;
        let file = folder.partial_video();
        folder.encoding(async move {
            let written =
                tokio::task::spawn_blocking(move || write(&file, b"a scripted video\n").map(|()| file));
            Ok(written.await??)
        });
        self.inner.animate(attempt, speech, painting)
    }

    fn score(&self, animation: &Arc<Animation>) -> Result<Score, PipelineError> {
        self.inner.score(animation)
    }

    fn judge(&self, b32: &Scores, l14: &Scores) -> Result<Judgement, PipelineError> {
        self.inner.judge(b32, l14)
    }

    fn deliver(&self, ending: &Ending, outputs: &Outputs) -> Delivering {
        let played = self.inner.deliver(ending, outputs);
        let (slot, folders) = (self.slot, Arc::clone(&self.folders));
        let result = json!({ "recipe_id": slot, "outcome": ending, "scripted": true });
        Box::pin(async move {
            played.await?;
            let written = tokio::task::spawn_blocking(move || {
                let folder = folders.ensure(slot).map_err(Self::failed)?;
                write(&folder.dir().join(RESULT), format!("{result:#}\n").as_bytes())
                    .map_err(Self::failed)?;
                Ok(folder.artifacts().into_iter().map(|artifact| artifact.name).collect())
            });
            Ok(Parcel { artifacts: written.await.map_err(Self::failed)?? })
        })
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    write_whole(path, Existing::Replace, Readers::Umask, |file| file.write_all(bytes))
}
