//! Where tokens stand, and how far that turns their queries and keys (rotary embedding, Su et al. 2021).

use candle_core::{Device, Result, Tensor};

use super::super::config::TransformerConfig;
use crate::models::kernels::Rotation;

/// The positions of a picture of `rows` × `columns` tokens: (0, row, column) each.
pub fn image_ids(rows: usize, columns: usize) -> Vec<[f64; 3]> {
    (0..rows * columns).map(|i| [0.0, (i / columns) as f64, (i % columns) as f64]).collect()
}

/// Rotations of `text` tokens, which all stand at the origin, and then of the tokens at `ids`.
///
/// Angles are made in f64, as the published code does.
pub fn rotation(
    config: &TransformerConfig,
    text: usize,
    ids: &[[f64; 3]],
    device: &Device,
) -> Result<Rotation> {
    let half = config.head() / 2;
    let tokens = text + ids.len();
    let (mut cos, mut sin) = (Vec::with_capacity(tokens * half), Vec::with_capacity(tokens * half));
    let origin = [0.0; 3];
    for id in std::iter::repeat_n(&origin, text).chain(ids) {
        for (axis, position) in config.axes.iter().zip(id) {
            for i in 0..axis / 2 {
                let angle = position / config.theta.powf(2.0 * i as f64 / *axis as f64);
                cos.push(angle.cos() as f32);
                sin.push(angle.sin() as f32);
            }
        }
    }
    Ok(Rotation {
        cos: Tensor::from_vec(cos, (tokens, half), device)?,
        sin: Tensor::from_vec(sin, (tokens, half), device)?,
    })
}
