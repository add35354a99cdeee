//! Slot after slot: stage times, frames a second, how far speech and picture overlap, and whether memory stays flat.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hosted::{Bench, HostedModels};
use super::jobs::{Film, Size, portrait};
use super::report::{Flat, Report, StageTimes};
use crate::clock;
use crate::contract::ModelError;
use crate::types::{Bytes, ModelId};
use crate::vram::policy::{LeakSettings, LeakWatch, SlotFloor};
use crate::vram::{ChainSettings, ProbeChain, Sample, probes_of};

/// Slots whose memory does not count: kernels load, caches and pools fill.
const WARM_UP: u32 = 5;

/// Times of one stage.
type Times = Vec<Duration>;

/// Renders `slots` slots and enters what was seen.
pub(super) fn run(
    models: &HostedModels,
    bench: &mut Bench,
    size: &Size,
    slots: NonZeroU32,
    report: &mut Report,
) -> Result<(), ModelError> {
    alone(models, bench, size, report)?;
    let mut looks = ProbeChain::new(probes_of(bench.device, None), ChainSettings::default());
    let [mut audio, mut image, mut video, mut verify] = [const { Times::new() }; 4];
    let mut floors = Vec::new();
    for _ in 0..slots.get() {
        let began = clock::now();
        models.kokoro.begin(size.speak(&bench.bundle)?)?;
        models.flux.begin(size.paint())?;
        let (spoken, painted) = (models.kokoro.wait()?, models.flux.wait()?);
        let (for_audio, for_image) = (since(began, spoken.at), since(began, painted.at));
        audio.push(for_audio);
        image.push(for_image);

        let began = clock::now();
        let job = size.animate(portrait(painted.output), Box::new(Film::default()));
        let animated = models.liveportrait.run(job)?;
        video.push(since(began, animated.at));

        let began = clock::now();
        let job = Size::score(&animated.output);
        models.clip_b.begin(job.clone())?;
        models.clip_l.begin(job)?;
        let (b32, l14) = (models.clip_b.wait()?, models.clip_l.wait()?);
        verify.push(since(began, b32.at.max(l14.at)));
        floors.extend(looks.sample(clock::now()).sample);
    }
    let frames = f64::from(size.frames()) / median(&video).as_secs_f64().max(1e-9);
    report.frames_per_second = Some(frames);
    report.overlap = overlap(report.alone_seconds, median(&audio).max(median(&image)).as_secs_f64());
    report.stages = vec![
        times("audio", &mut audio),
        times("image", &mut image),
        times("video", &mut video),
        times("verify", &mut verify),
    ];
    report.memory = Some(flat(&floors));
    Ok(())
}

/// Every model alone once: what a run of it takes at most, and how long speech and picture take by themselves.
fn alone(models: &HostedModels, bench: &Bench, size: &Size, report: &mut Report) -> Result<(), ModelError> {
    let began = clock::now();
    // Twice: the first loads kernels.
    models.kokoro.run(size.speak(&bench.bundle)?)?;
    let began_audio = clock::now();
    let spoken = models.kokoro.run(size.speak(&bench.bundle)?)?;
    models.flux.run(size.paint())?;
    let began_image = clock::now();
    let painted = models.flux.run(size.paint())?;
    report.alone_seconds =
        [since(began_audio, spoken.at).as_secs_f64(), since(began_image, painted.at).as_secs_f64()];
    let image = Arc::new(painted.output.image);
    let animated = models.liveportrait.run(size.animate(image, Box::new(Film::default())))?;
    let job = Size::score(&animated.output);
    let (b32, l14) = (models.clip_b.run(job.clone())?, models.clip_l.run(job)?);
    let peaks = [
        (ModelId::Kokoro, spoken.peak),
        (ModelId::Flux, painted.peak),
        (ModelId::LivePortrait, animated.peak),
        (ModelId::ClipB, b32.peak),
        (ModelId::ClipL, l14.peak),
    ];
    for (model, peak) in peaks {
        report.footprint.iter_mut().filter(|it| it.model == model).for_each(|it| it.peak = peak);
    }
    report.warm_up_seconds = since(began, clock::now()).as_secs_f64();
    Ok(())
}

/// How much of the shorter of two disappears behind the longer: 1 where both together take as long as the longer alone,
/// 0 where they take as long as one after the other.
fn overlap(alone: [f64; 2], together: f64) -> Option<f64> {
    let (shorter, sum) = (alone[0].min(alone[1]), alone[0] + alone[1]);
    (shorter > 0.0).then(|| ((sum - together) / shorter).clamp(0.0, 1.0))
}

fn since(began: Instant, at: Instant) -> Duration {
    at.saturating_duration_since(began)
}

fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    // Nearest rank.
    let place = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1).min(last);
    sorted.get(place).copied().unwrap_or_default()
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    percentile(&sorted, 0.5)
}

fn times(stage: &'static str, times: &mut Times) -> StageTimes {
    times.sort();
    let (p50, p99) = (percentile(times, 0.5).as_secs_f64(), percentile(times, 0.99).as_secs_f64());
    StageTimes { stage, runs: times.len() as u32, p50_seconds: p50, p99_seconds: p99 }
}

/// The policies' own verdict on the floors after each slot.
fn flat(samples: &[Sample]) -> Flat {
    let floor = |sample: &Sample| {
        let mut floor = SlotFloor::default();
        floor.observe(sample);
        floor.take()
    };
    let floors: Vec<Bytes> = samples.iter().filter_map(floor).collect();
    let counted = u32::try_from(floors.len()).unwrap_or(u32::MAX).saturating_sub(WARM_UP);
    let settings = LeakSettings { warm_up: WARM_UP, every: counted.max(1), ..LeakSettings::default() };
    let mut watch = LeakWatch::new(settings);
    let verdict = floors.iter().filter_map(|floor| watch.record(*floor)).last();
    let fragmentation = samples.last().and_then(Sample::fragmentation);
    Flat {
        slots: floors.len() as u32,
        first: floors.get(WARM_UP as usize).or(floors.first()).copied(),
        last: floors.last().copied(),
        growth: verdict.map(|verdict| verdict.growth),
        fragmentation,
        ok: !floors.is_empty() && verdict.is_none_or(|verdict| !verdict.leaking),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_the_share_of_the_shorter_that_disappears() {
        assert_eq!(overlap([2.0, 10.0], 10.0), Some(1.0));
        assert_eq!(overlap([2.0, 10.0], 12.0), Some(0.0));
        assert_eq!(overlap([2.0, 10.0], 11.0), Some(0.5));
        assert_eq!(overlap([0.0, 1.0], 1.0), None);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut hundred: Times = (1..=100).rev().map(Duration::from_secs).collect();
        let row = times("audio", &mut hundred);
        assert_eq!((row.runs, row.p50_seconds, row.p99_seconds), (100, 50.0, 99.0));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
