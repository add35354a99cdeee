//! The GPU path proves itself on the card that is there: parity, footprint, speed, memory, recovery.
//!
//! Compares with recordings of the reference implementations, with our own processor path and with its own budgets.
//! Owns its models and its memory account; knows no command line: the caller prints the report.
//!
//! [actors]: crate::actors
//!
#![doc = include_str!("gpu_check/README.md")]

pub(crate) mod card;
mod endurance;
mod faults;
mod fit;
pub(crate) mod fixtures;
mod hosted;
mod jobs;
mod parity;
pub(crate) mod report;

use std::num::NonZeroU32;
use std::path::PathBuf;

use self::hosted::Bench;
use self::jobs::Size;
use self::report::Report;
use crate::clock;
use crate::contract::ModelError;
use crate::models::bundle::{Bundle, BundleError, held};
use crate::models::synth::{self, Profile};
use crate::types::{Bytes, DeviceId, ModelId};

/// What to check, and how thoroughly.
#[derive(Clone, Debug)]
pub(crate) struct GpuCheck {
    /// A card, or the processor for the same checks without one.
    pub device: DeviceId,
    /// Published sizes: 512x512 pictures, 45 s of speech.
    pub full: bool,
    /// Bundle to load; none for a tiny one that is made up for the check.
    pub bundle: Option<PathBuf>,
    /// Folder of parity fixtures; none for those of a clone, where this is run in one.
    pub fixtures: Option<PathBuf>,
    /// No lease may cross this, whatever the card holds.
    pub limit: Bytes,
    /// Slots to render one after the other.
    pub slots: NonZeroU32,
    /// Frames rendered in each slot; none for 12, or 240 with `full`.
    pub frames: Option<NonZeroU32>,
    /// Frames rendered at a time.
    pub batch: NonZeroU32,
    /// What the card's pool may hold unused between jobs.
    pub pool: Bytes,
    /// Leave out filling the card to the brim.
    pub gentle: bool,
}

/// Why the check could not be carried out; what it finds wrong stands in the report.
#[derive(Debug, thiserror::Error)]
pub enum GpuCheckError {
    /// A scripted device was named.
    #[error("a scripted device holds no tensors; accepted: cpu, cuda:N")]
    ScriptedDevice,
    /// The folder of fixtures that was named is not there or holds no set.
    #[error("--fixtures {}: {}", folder.display(), source.chain())]
    Fixtures {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        source: ModelError,
    },
    /// The bundle that was named cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The system gives no temporary folder.
    #[error("no folder for the tiny bundle: {0}")]
    Folder(#[source] std::io::Error),
    /// A model failed where none should.
    #[error("{}", .0.chain())]
    Model(#[from] ModelError),
}

impl GpuCheckError {
    /// Whether the request was wrong, not the machine.
    pub fn is_bad_input(&self) -> bool {
        matches!(self, Self::ScriptedDevice | Self::Fixtures { .. } | Self::Bundle(_))
    }
}

impl GpuCheck {
    /// Checks; `said` hears of each step as it begins.
    pub(crate) fn run(&self, mut said: impl FnMut(&str)) -> Result<Report, GpuCheckError> {
        if matches!(self.device, DeviceId::Scripted(_)) {
            return Err(GpuCheckError::ScriptedDevice);
        }
        let mut report = Report::new(self.device, self.limit, clock::unix_time());
        match card::facts(self.device) {
            Ok(card) => {
                report.card = card;
                self.check(&mut report, &mut said)?;
            }
            Err(fault) => report.unusable = Some(fault),
        }
        report.finish();
        Ok(report)
    }

    fn check(&self, report: &mut Report, said: &mut impl FnMut(&str)) -> Result<(), GpuCheckError> {
        let folder = tempfile::tempdir().map_err(GpuCheckError::Folder)?;
        let tiny = synth::write(folder.path(), &ModelId::ALL, Profile::Tiny, 0, |_| {})?;
        let bundle = match &self.bundle {
            Some(folder) => {
                let bundle = Bundle::open(folder)?;
                held::check(&bundle, &ModelId::ALL).map_err(ModelError::from)?;
                bundle
            }
            None => tiny.clone(),
        };
        let frames = self.frames.map_or(if self.full { 240 } else { 12 }, NonZeroU32::get);
        let size = if self.full { Size::full(frames) } else { Size::tiny(frames) };
        report.bundle = bundle.name.clone();
        report.size = size.to_string();

        let compared = fixtures::compare(self.fixtures.as_deref(), self.device, &mut *said)?;
        report.fixtures = Some(compared);
        let free = report.card.as_ref().map(|card| card.free);
        let fit = report.fit.insert(fit::fit(&bundle, self.limit, free)?);
        if fit.ok == Some(false) {
            return Ok(());
        }
        if self.device != DeviceId::Cpu {
            said("comparing with the processor");
            report.parity = parity::compare(&tiny, self.device, self.batch)?;
        }
        said("loading");
        let mut bench = Bench::new(bundle, self.device, self.limit, self.batch, self.pool);
        let models = bench.load(&mut report.footprint)?;
        said(&format!("rendering slots: {}", self.slots));
        endurance::run(&models, &mut bench, &size, self.slots, report)?;
        said("bringing faults about");
        Ok(faults::run(models, &mut bench, &size, self.gentle, report)?)
    }
}
