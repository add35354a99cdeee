//! The same jobs on the device and on the processor: how far apart they come out.
//!
//! Each stage is fed with the processor's results, so that one stage's difference is not counted in the next. The
//! bounds are those of the arithmetic, not of trained weights: random weights amplify, so they are loose; a wrong
//! kernel is off by orders of magnitude.

use std::num::NonZeroU32;

use super::hosted::{Bench, Done, HostedModels};
use super::jobs::{Film, Size, portrait};
use super::report::Parity;
use crate::contract::{ModelError, Scores, Speech};
use crate::models::bundle::Bundle;
use crate::types::{Bytes, DeviceId};

/// Levels of 255, on average over a picture: the device computes Flux in bf16, whose eight bits are a level or two at
/// each of some dozen roundings.
const PAINTED: f64 = 4.0;
/// The same for LivePortrait in f16.
const ANIMATED: f64 = 2.0;
/// Of the sound's own level, root mean square: f32 on both sides, but a phase runs through the vocoder.
const SPOKEN: f64 = 0.05;
/// Of a cosine: activations in half precision around eight-bit weights.
const SCORED: f64 = 0.02;

/// A tiny bundle is far below any limit.
const LIMIT: Bytes = Bytes::gb(2);

/// Compares every stage of one slot.
pub(super) fn compare(tiny: &Bundle, device: DeviceId, batch: NonZeroU32) -> Result<Vec<Parity>, ModelError> {
    let size = Size::tiny(4);
    let load = |device| -> Result<(Bench, HostedModels), ModelError> {
        let mut bench = Bench::new(tiny.clone(), device, LIMIT, batch, Bytes::ZERO);
        let models = bench.load(&mut Vec::new())?;
        Ok((bench, models))
    };
    let ((_, here), (_, there)) = (load(DeviceId::Cpu)?, load(device)?);
    let mut found = Vec::new();

    let paint = |models: &HostedModels| models.flux.run(size.paint()).map(|done| done.output);
    let (ours, theirs) = (paint(&here)?, paint(&there)?);
    found.push(Parity::new("picture, mean levels", levels(ours.image.data(), theirs.image.data()), PAINTED));

    let speak = |models: &HostedModels| -> Result<Speech, ModelError> {
        models.kokoro.run(size.speak(tiny)?).map(|done| done.output)
    };
    let (spoken, answered) = (speak(&here)?, speak(&there)?);
    found.push(Parity::new("sound, share of its level", sound(&spoken, &answered), SPOKEN));
    let apart = if spoken.timeline == answered.timeline { 0.0 } else { 1.0 };
    found.push(Parity::new("phonemes' times, equal or not", apart, 0.0));

    let image = portrait(ours);
    let animate = |models: &HostedModels| -> Result<_, ModelError> {
        let film = Film::kept();
        let Done { output, .. } =
            models.liveportrait.run(size.animate(image.clone(), Box::new(film.clone())))?;
        Ok((output, film.pixels()))
    };
    let ((animation, frames), (_, theirs)) = (animate(&here)?, animate(&there)?);
    found.push(Parity::new("frames, mean levels", levels(&frames, &theirs), ANIMATED));

    let job = Size::score(&animation);
    for (name, ours, theirs) in [
        ("cosines of B/32", here.clip_b.run(job.clone())?, there.clip_b.run(job.clone())?),
        ("cosines of L/14", here.clip_l.run(job.clone())?, there.clip_l.run(job)?),
    ] {
        found.push(Parity::new(name, cosines(&ours.output, &theirs.output), SCORED));
    }
    Ok(found)
}

fn levels(ours: &[u8], theirs: &[u8]) -> f64 {
    if ours.len() != theirs.len() || ours.is_empty() {
        return f64::INFINITY;
    }
    let sum: u64 = ours.iter().zip(theirs).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / ours.len() as f64
}

fn sound(ours: &Speech, theirs: &Speech) -> f64 {
    let (ours, theirs) = (&ours.pcm.samples, &theirs.pcm.samples);
    if ours.len() != theirs.len() {
        return f64::INFINITY;
    }
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let level = square(&mut ours.iter().map(|sample| f64::from(*sample)));
    let apart = square(&mut ours.iter().zip(theirs).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    if level > 0.0 { (apart / level).sqrt() } else { f64::INFINITY }
}

fn cosines(ours: &Scores, theirs: &Scores) -> f64 {
    let pairs = ours.cosines.iter().flatten().zip(theirs.cosines.iter().flatten());
    pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_compared_with_itself_is_nowhere_apart() {
        let folder = tempfile::tempdir().unwrap();
        let models = crate::types::ModelId::ALL;
        let tiny = crate::models::synth::write(
            folder.path(),
            &models,
            crate::models::synth::Profile::Tiny,
            0,
            |_| {},
        );
        let found = compare(&tiny.unwrap(), DeviceId::Cpu, NonZeroU32::new(2).unwrap()).unwrap();
        assert!(found.len() == 6 && found.iter().all(|parity| parity.worst == 0.0 && parity.ok), "{found:?}");
    }

    #[test]
    fn what_cannot_be_compared_is_infinitely_apart() {
        assert_eq!(levels(&[1, 2], &[1]), f64::INFINITY);
        assert_eq!(levels(&[0, 10], &[4, 10]), 2.0);
    }
}
