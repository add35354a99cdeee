//! `vortex-node gpu-check`: the GPU path proves itself in one command, on the card that is there.
//!
//! What it compares with are recordings of the reference implementations, our own processor path, and its own budgets;
//! speed against PyTorch is `tests/gpu_twin.py`'s.
//! On a machine without a card it says why and ends with 1; `--device cpu` runs the same checks on the processor.

mod card;
mod endurance;
mod fit;
mod fixtures;
mod jobs;
mod parity;
mod report;
mod seat;
mod trouble;

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;

use self::jobs::Size;
use self::report::Report;
use self::seat::Stage;
use super::{Context, Failed};
use crate::clock;
use crate::exit::Exit;
use crate::models::bundle::Bundle;
use crate::models::synth::{self, Profile};
use crate::types::{Bytes, DeviceId, ModelId};

/// Arguments of `gpu-check`.
#[derive(Debug, Args)]
pub struct GpuCheckCommand {
    /// What to check: cuda:N, or cpu for the same checks on the processor
    #[arg(long, value_name = "DEVICE", default_value = "cuda:0")]
    device: DeviceId,
    /// Published sizes: 512x512 pictures, 45 s of speech; takes the weights from --bundle
    #[arg(long, requires = "bundle")]
    full: bool,
    /// Bundle to load [default: a tiny one, made up for the check]; full sizes at random come from `weights synth
    /// --profile full`
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Folder of parity fixtures to compare with their references [default: tests/fixtures where that is, as in a clone]
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// No lease may cross this, whatever the card holds
    #[arg(long, value_name = "BYTES", default_value = "11.5GB")]
    limit: Bytes,
    /// Slots to render one after the other
    #[arg(long, value_name = "N", default_value = "50")]
    slots: NonZeroU32,
    /// Frames rendered in each slot [default: 12, with --full 240]
    #[arg(long, value_name = "N")]
    frames: Option<NonZeroU32>,
    /// Frames rendered at a time
    #[arg(long, value_name = "N", default_value = "4")]
    batch: NonZeroU32,
    /// What the card's pool may hold unused between jobs
    #[arg(long, value_name = "BYTES", default_value = "1GB")]
    pool: Bytes,
    /// Leave out filling the card to the brim: other processes on it would run out of memory too
    #[arg(long)]
    gentle: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl GpuCheckCommand {
    /// Checks. Exit code 0 where all is well, 1 where not or where there is no card, 2 where the request makes no sense.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        if matches!(self.device, DeviceId::Scripted(_)) {
            return Err(Failed::bad_input("a scripted device holds no tensors; accepted: cpu, cuda:N"));
        }
        let mut report = Report::new(self.device, self.limit, clock::unix_time());
        match card::facts(self.device) {
            Ok(card) => {
                report.card = card;
                self.check(&mut report, context)?;
            }
            Err(fault) => report.unusable = Some(fault),
        }
        let is_good = report.finish();
        if self.json {
            context.console.json(&report)?;
        } else {
            report.print(context.console)?;
        }
        Ok(if is_good { Exit::Success } else { Exit::Failure })
    }

    fn check(&self, report: &mut Report, context: &mut Context<'_>) -> Result<(), Failed> {
        let folder = tempfile::tempdir()
            .map_err(|error| Failed::failure(format!("no folder for the tiny bundle: {error}")))?;
        let tiny = synth::write(folder.path(), &ModelId::ALL, Profile::Tiny, 0, |_| {})?;
        let bundle = match &self.bundle {
            Some(folder) => Bundle::open(folder)?,
            None => tiny.clone(),
        };
        let frames = self.frames.map_or(if self.full { 240 } else { 12 }, NonZeroU32::get);
        let size = if self.full { Size::full(frames) } else { Size::tiny(frames) };
        report.bundle = bundle.name.clone();
        report.size = size.to_string();

        let said = |context: &mut Context<'_>, what: &str| {
            // Progress is a courtesy: where nobody reads it, the check goes on.
            let _ = writeln!(context.console.err(), "{what} ...");
        };
        let compared = fixtures::compare(self.fixtures.as_deref(), self.device, |what| said(context, what))?;
        report.fixtures = Some(compared);
        let free = report.card.as_ref().map(|card| card.free);
        let fit = report.fit.insert(fit::fit(&bundle, self.limit, free)?);
        if fit.ok == Some(false) {
            return Ok(());
        }
        if self.device != DeviceId::Cpu {
            said(context, "comparing with the processor");
            report.parity = parity::compare(&tiny, self.device, self.batch)?;
        }
        said(context, "loading");
        let mut stage = Stage::new(bundle, self.device, self.limit, self.batch, self.pool);
        let company = stage.load(&mut report.footprint)?;
        said(context, &format!("rendering slots: {}", self.slots));
        endurance::run(&company, &mut stage, &size, self.slots, report)?;
        said(context, "making trouble");
        trouble::run(company, &mut stage, &size, self.gentle, report)
    }
}
