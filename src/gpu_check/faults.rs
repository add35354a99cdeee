//! Faults on purpose: a job that may not be promised its memory, a card with none left, a model that starts again.

use candle_core::{DType, Device, Tensor};

use super::hosted::{Bench, HostedModels};
use super::jobs::Size;
use super::report::{Outcome, Report, Sampling};
use crate::clock;
use crate::contract::{ErrorClass, ModelError};
use crate::models::device;
use crate::types::{Bytes, DeviceId, ModelId};
use crate::vram::{ChainSettings, Claim, ProbeChain, probes_of};

/// Looks at memory whose time is taken.
const LOOKS: u32 = 500;
/// Taken at a time when a card is filled: what is left at the end is less than any job needs.
const CHUNKS: [Bytes; 3] = [Bytes::gb(1), Bytes::mb(64), Bytes::mb(2)];

/// Brings the faults about and enters how each ended.
pub(super) fn run(
    models: HostedModels,
    bench: &mut Bench,
    size: &Size,
    gentle: bool,
    report: &mut Report,
) -> Result<(), ModelError> {
    report.refusal = Some(refusal(bench));
    report.out_of_memory = Some(match bench.device {
        DeviceId::Cuda(_) if gentle => Outcome::skipped("left out by --gentle"),
        DeviceId::Cuda(_) => out_of_memory(&models, bench, size)?,
        DeviceId::Cpu | DeviceId::Scripted(_) => {
            Outcome::skipped("only a card runs out of memory without taking the machine down")
        }
    });
    report.sampling = Some(sampling(bench));

    models.kokoro.leave();
    let again = bench.kokoro(&mut Vec::new())?;
    report.restart_seconds = Some(again.ready_after.as_secs_f64());
    again.leave();
    Ok(())
}

/// What would cross the limit is refused with numbers, before anything is allocated.
fn refusal(bench: &Bench) -> Outcome {
    let usage = bench.ledger.usage();
    let too_much = usage.available.saturating_add(Bytes::new(1));
    match bench.ledger.reserve(Claim::workspace(ModelId::Flux, None, too_much)) {
        Ok(_) => Outcome::failed("a lease beyond the limit was granted"),
        Err(refusal) => Outcome::passed(refusal.to_string()),
    }
}

/// Takes all that is left of the card, has a job fail for it, gives it back, and has the same job succeed.
fn out_of_memory(models: &HostedModels, bench: &Bench, size: &Size) -> Result<Outcome, ModelError> {
    let device = device::open(bench.device, Bytes::ZERO)?;
    models.flux.trim()?;
    let held = fill(&device)?;
    let full = models.flux.run(size.paint());
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
    models.flux.run(size.paint())?;
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
fn sampling(bench: &Bench) -> Sampling {
    let mut looks = ProbeChain::new(probes_of(bench.device, None), ChainSettings::default());
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
