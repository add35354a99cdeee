//! `vortex-node gpu-check`: the GPU path proves itself in one command, on the card that is there.
//!
//! What it compares with are recordings of the reference implementations, our own processor path, and its own budgets;
//! speed against PyTorch is `tests/gpu_twin.py`'s.
//! On a machine without a card it says why and ends with 1; `--device cpu` runs the same checks on the processor.

mod print;

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;

use super::{Context, Failed};
use crate::exit::Exit;
use crate::gpu_check::{GpuCheck, GpuCheckError};
use crate::types::{Bytes, DeviceId};

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
        let json = self.json;
        let console = &mut *context.console;
        let report = self.check().run(|what| {
            // Progress is a courtesy: where nobody reads it, the check goes on.
            let _ = writeln!(console.err(), "{what} ...");
        })?;
        if json {
            console.json(&report)?;
        } else {
            print::report(&report, console)?;
        }
        Ok(if report.ok { Exit::Success } else { Exit::Failure })
    }

    fn check(self) -> GpuCheck {
        let Self { device, full, bundle, fixtures, limit, slots, frames, batch, pool, gentle, .. } = self;
        GpuCheck { device, full, bundle, fixtures, limit, slots, frames, batch, pool, gentle }
    }
}

impl From<GpuCheckError> for Failed {
    fn from(error: GpuCheckError) -> Self {
        let told = error.to_string();
        if error.is_bad_input() { Self::bad_input(told) } else { Self::failure(told) }
    }
}
