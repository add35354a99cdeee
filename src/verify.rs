//! From the scores of both CLIP models to a verdict on a video.
//!
//! Owns which frames and texts are scored, the ensemble, its thresholds, and every reason for refusing. Pure: the same
//! scores give the same verdict. Knows the contract's scores, never a model or an actor.
//!
//! Score: CLIPScore, 2.5·max(cos, 0) (Hessel et al. 2021), the mean over keyframes. Concepts: zero-shot, as Radford et
//! al. 2021 classify, against a text that fits every picture.
//!
//! [clip]: crate::models::clip
//! [bundle]: crate::models::bundle
//!
#![doc = include_str!("verify/README.md")]

mod ensemble;
mod questions;
mod verdict;

#[cfg(test)]
mod tests;

pub(crate) use ensemble::Thresholds;
pub(crate) use questions::{Criteria, Questions};
#[cfg(test)]
pub(crate) use verdict::Reason;
pub(crate) use verdict::{Verdict, judge};

/// Keyframes of a video that is long enough.
const KEYFRAMES: u64 = 5;

/// The frames of a video of `frames` that are scored: min(⌊i·n/4⌋, n − 1) for i = 0…4, each once, ascending.
pub(crate) fn keyframes(frames: u32) -> Vec<u32> {
    let last = frames.saturating_sub(1);
    let place = |i: u64| u32::try_from(i * u64::from(frames) / (KEYFRAMES - 1)).unwrap_or(last).min(last);
    let mut chosen: Vec<u32> = (0..KEYFRAMES).map(place).collect();
    chosen.dedup();
    if frames == 0 { Vec::new() } else { chosen }
}
