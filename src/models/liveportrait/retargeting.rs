//! Stitching and retargeting: small perceptrons that correct driving key points, for all frames of a batch at once.
//!
//! They run on the processor in f32 whatever the device: key points are made there, a few hundred numbers a frame.

use candle_core::Result;
use candle_nn::VarBuilder;

use super::config::Retargeting as Config;
use super::keypoints::KeyPoints;
use super::parts::Perceptron;

/// The three networks.
pub struct Retargeting {
    stitching: Perceptron,
    lip: Perceptron,
    eye: Perceptron,
}

impl Retargeting {
    /// From the tensors of `stitching_retargeting_module`.
    pub fn new(config: &Config, vb: &VarBuilder<'_>) -> Result<Self> {
        // Published weights come from a training wrapper that put `module.` before every name.
        let one = |name: &str, config| Perceptron::new(config, &vb.pp(name).pp("module"));
        Ok(Self {
            stitching: one("retarget_shoulder", &config.stitching)?,
            lip: one("retarget_mouth", &config.lip)?,
            eye: one("retarget_eye", &config.eye)?,
        })
    }

    /// What moves the eyes of a source from their openness (left, right) to another: additions to its key points.
    pub fn eyes(&self, source: &[KeyPoints], ratios: &[[f32; 3]]) -> Result<Vec<KeyPoints>> {
        deltas(&self.eye, source, ratios)
    }

    /// What moves the lips of a source from their openness to another.
    pub fn lips(&self, source: &[KeyPoints], ratios: &[[f32; 2]]) -> Result<Vec<KeyPoints>> {
        deltas(&self.lip, source, ratios)
    }

    /// Driving key points, corrected so that shoulders and background stay where they are in the source.
    pub fn stitch(&self, source: &[KeyPoints], driving: &[KeyPoints]) -> Result<Vec<KeyPoints>> {
        let rows: Vec<Vec<f32>> = source
            .iter()
            .zip(driving)
            .map(|(source, driving)| source.iter().chain(driving).flatten().copied().collect())
            .collect();
        let corrections = self.stitching.forward(&rows)?;
        let stitched = driving.iter().zip(corrections).map(|(driving, correction)| {
            let (points, shift) = correction.split_at(3 * driving.len());
            let corrected = driving.iter().zip(points.as_chunks::<3>().0).map(|(point, delta)| {
                [point[0] + delta[0] + shift[0], point[1] + delta[1] + shift[1], point[2] + delta[2]]
            });
            corrected.collect()
        });
        Ok(stitched.collect())
    }
}

fn deltas<const N: usize>(
    network: &Perceptron,
    source: &[KeyPoints],
    ratios: &[[f32; N]],
) -> Result<Vec<KeyPoints>> {
    let rows: Vec<Vec<f32>> = source
        .iter()
        .zip(ratios)
        .map(|(source, ratios)| source.iter().flatten().chain(ratios).copied().collect())
        .collect();
    Ok(network.forward(&rows)?.into_iter().map(|delta| delta.as_chunks::<3>().0.to_vec()).collect())
}
