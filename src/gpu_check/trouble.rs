//! Trouble on purpose: a job that may not be promised its memory, a card with none left, a model that starts again.

use candle_core::{DType, Device, Tensor};

use super::jobs::Size;
use super::report::{Outcome, Report, Sampling};
use super::seat::{Company, Stage};
use crate::clock;
use crate::contract::{ErrorClass, ModelError};
use crate::models::device;
use crate::types::{Bytes, DeviceId, ModelId};
use crate::vram::{ChainSettings, Claim, ProbeChain, probes_of};

/// Looks at memory whose time is taken.
const LOOKS: u32 = 500;
/// Taken at a time when a card is filled: what is left at the end is less than any job needs.
const CHUNKS: [Bytes; 3] = [Bytes::gb(1), Bytes::mb(64), Bytes::mb(2)];

/// Makes trouble and enters how it ended.
pub fn run(
    company: Company,
    stage: &mut Stage,
    size: &Size,
    gentle: bool,
    report: &mut Report,
) -> Result<(), ModelError> {
    report.refusal = Some(refusal(stage));
    report.out_of_memory = Some(match stage.device {
        DeviceId::Cuda(_) if gentle => Outcome::skipped("left out by --gentle"),
        DeviceId::Cuda(_) => out_of_memory(&company, stage, size)?,
        DeviceId::Cpu | DeviceId::Scripted(_) => {
            Outcome::skipped("only a card runs out of memory without taking the machine down")
        }
    });
    report.sampling = Some(sampling(stage));

    company.kokoro.leave();
    let again = stage.kokoro(&mut Vec::new())?;
    report.restart_seconds = Some(again.ready_after.as_secs_f64());
    again.leave();
    Ok(())
}

/// What would cross the limit is refused with numbers, before anything is allocated.
fn refusal(stage: &Stage) -> Outcome {
    let usage = stage.ledger.usage();
    let too_much = usage.available.saturating_add(Bytes::new(1));
    match stage.ledger.reserve(Claim::workspace(ModelId::Flux, None, too_much)) {
        Ok(_) => Outcome::failed("a lease beyond the limit was granted"),
        Err(refusal) => Outcome::passed(refusal.to_string()),
    }
}

/// Takes all that is left of the card, has a job fail for it, gives it back, and has the same job succeed.
fn out_of_memory(company: &Company, stage: &Stage, size: &Size) -> Result<Outcome, ModelError> {
    let device = device::open(stage.device, Bytes::ZERO)?;
    company.flux.trim()?;
    let held = fill(&device)?;
    let full = company.flux.run(size.paint());
    let taken: usize = held.iter().map(Tensor::elem_count).sum();
    drop(held);
    device::synchronise(&device)?;
    device::trim(&device);
    let failed = match full {
        Ok(_) => {
            return Ok(Outcome::failed(format!("a job found room on a card filled with {taken} B more")));
        }
        Err(error) => error,
    };
    if failed.class() != ErrorClass::OutOfMemory {
        return Ok(Outcome::failed(format!("it was told as {:?}: {}", failed.class(), failed.chain())));
    }
    company.flux.run(size.paint())?;
    Ok(Outcome::passed(format!(
        "told as out of memory ({}), and the same job succeeded after",
        failed.chain()
    )))
}

fn fill(device: &Device) -> Result<Vec<Tensor>, ModelError> {
    let mut held = Vec::new();
    for chunk in CHUNKS {
        loop {
            match Tensor::zeros(usize::try_from(chunk.get()).unwrap_or(usize::MAX), DType::U8, device) {
                Ok(tensor) => held.push(tensor),
                Err(error) if device::class_of(&error) == ErrorClass::OutOfMemory => break,
                Err(error) => return Err(ModelError::own("filling the card").because(error)),
            }
        }
    }
    Ok(held)
}

/// What a look at memory costs.
fn sampling(stage: &Stage) -> Sampling {
    let mut looks = ProbeChain::new(probes_of(stage.device, None), ChainSettings::default());
    // The first opens the library.
    let first = looks.sample(clock::now());
    let began = clock::now();
    let answered = (0..LOOKS).filter(|_| looks.sample(clock::now()).sample.is_some()).count();
    let each = clock::now().saturating_duration_since(began) / LOOKS;
    Sampling {
        probe: first.sample.map_or("none", |sample| sample.source).to_owned(),
        looks: LOOKS,
        mean_microseconds: each.as_secs_f64() * 1e6,
        core_share_at_10_hz: each.as_secs_f64() * 10.0,
        // The bounds: a millisecond each, a thousandth of a core.
        ok: answered == LOOKS as usize && each.as_secs_f64() <= 1e-3 && each.as_secs_f64() * 10.0 <= 1e-3,
    }
}
