//! Two models as one: weights, thresholds, and an embedding in which both have their share.

use serde::{Deserialize, Serialize};

use crate::contract::UnitEmbedding;

/// One of the two models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Member {
    /// ViT-B/32.
    ClipB,
    /// ViT-L/14.
    ClipL,
}

/// How the ensemble judges; a bundle may say otherwise.
///
/// The default of L/14 wants calibration with real weights: its cosines run lower than B/32's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// The least score of ViT-B/32 that passes.
    pub clip_b: f64,
    /// The least score of ViT-L/14 that passes.
    pub clip_l: f64,
    /// The share of ViT-B/32 in the ensemble.
    pub weight_b: f64,
    /// The share of ViT-L/14; both add up to 1.
    pub weight_l: f64,
    /// Scores further apart than this flag an outlier.
    pub outlier: f64,
}

impl Default for Thresholds {
    /// The origin's.
    fn default() -> Self {
        Self { clip_b: 0.70, clip_l: 0.72, weight_b: 0.4, weight_l: 0.6, outlier: 0.15 }
    }
}

impl Thresholds {
    /// The least score of `member` that passes.
    pub fn of(&self, member: Member) -> f64 {
        match member {
            Member::ClipB => self.clip_b,
            Member::ClipL => self.clip_l,
        }
    }
}

/// CLIPScore of one picture and one text: 2.5·max(cos, 0) (Hessel et al. 2021).
pub(crate) fn clip_score(cosine: f64) -> f64 {
    2.5 * cosine.max(0.0)
}

/// [√w_b·b, √w_l·l]: of length one, and the dot product of two such is w_b·cos_b + w_l·cos_l.
///
/// `None` where the shares leave no direction.
pub(crate) fn combine(
    b: &UnitEmbedding,
    l: &UnitEmbedding,
    thresholds: &Thresholds,
) -> Option<UnitEmbedding> {
    let part = |embedding: &UnitEmbedding, share: f64| {
        let scale = share.max(0.0).sqrt();
        embedding.values().iter().map(|value| (f64::from(*value) * scale) as f32).collect::<Vec<_>>()
    };
    let mut values = part(b, thresholds.weight_b);
    values.extend(part(l, thresholds.weight_l));
    UnitEmbedding::normalise(values)
}

/// The renormalised mean of a video's frames; `None` where they cancel out, differ in dimension, or there are none.
pub(super) fn mean(frames: &[UnitEmbedding]) -> Option<UnitEmbedding> {
    let size = frames.first()?.values().len();
    let mut sums = vec![0.0f64; size];
    for frame in frames {
        if frame.values().len() != size {
            return None;
        }
        sums.iter_mut().zip(frame.values()).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    UnitEmbedding::normalise(sums.into_iter().map(|sum| (sum / frames.len() as f64) as f32).collect())
}
