//! 3×3 convolution with stride 1 and one pixel of zeros around, without unfolding the picture.
//!
//! In a picture padded to rows of W + 2, the nine shifted pictures are views of one buffer, nine offsets apart: the
//! convolution is nine matrix products into one tile of output that stays in cache. The two surplus columns of each row
//! are computed too and dropped when the tile is written out.

use rayon::prelude::*;

use super::gemm::{Before, Matrix, Target, product};

/// Values per output tile: 1 MB, half of a core's second-level cache.
const TILE: usize = 1 << 18;

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Rows of the picture.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// Weights of [outputs, inputs, 3, 3] as [9, outputs, inputs], which is what [`conv3x3`] takes.
pub fn by_offset(weight: &[f32], outputs: usize, inputs: usize) -> Vec<f32> {
    let mut out = vec![0f32; weight.len()];
    for (offset, plane) in out.chunks_mut((outputs * inputs).max(1)).enumerate() {
        plane.iter_mut().enumerate().for_each(|(i, value)| *value = weight[i * 9 + offset]);
    }
    out
}

/// `x` of [inputs, height, width] to [outputs, height, width]; `None` where a size does not match.
pub fn conv3x3(sizes: Sizes, x: &[f32], weight: &[f32], bias: &[f32]) -> Option<Vec<f32>> {
    let Sizes { inputs, outputs, height, width } = sizes;
    let area = height * width;
    if x.len() != inputs * area || weight.len() != 9 * inputs * outputs || bias.len() != outputs {
        return None;
    }
    let mut out = vec![0f32; outputs * area];
    if out.is_empty() || inputs == 0 {
        return Some(out);
    }
    let row = width + 2;
    // Two values beyond the last padded row: the last tile's surplus columns at the largest offset end there.
    let plane = (height + 2) * row + 2;
    let mut padded = vec![0f32; inputs * plane];
    padded.par_chunks_mut(plane).zip(x.par_chunks(area)).for_each(|(padded, x)| {
        for (y, x) in x.chunks(width).enumerate() {
            padded[(y + 1) * row + 1..][..width].copy_from_slice(x);
        }
    });

    let threads = rayon::current_num_threads().max(1);
    let largest = (TILE / (outputs * row)).max(1);
    let tiles = height.div_ceil(largest).next_multiple_of(threads).min(height);
    let rows = height.div_ceil(tiles);
    let starts: Vec<usize> = (0..height).step_by(rows).collect();
    let done: Vec<Option<Vec<f32>>> = starts
        .par_iter()
        .map(|first| {
            let count = rows.min(height - first) * row;
            let mut tile = vec![0f32; outputs * count];
            for (channel, bias) in tile.chunks_mut(count).zip(bias) {
                channel.fill(*bias);
            }
            for offset in 0..9 {
                let shift = (first + offset / 3) * row + offset % 3;
                let view = Matrix::new(&padded[shift..], (inputs, count), (plane, 1))?;
                let taps =
                    Matrix::rows(&weight[offset * inputs * outputs..][..inputs * outputs], outputs, inputs)?;
                product(&mut Target::new(&mut tile, count), Before::Kept, 1.0, taps, view, 1).then_some(())?;
            }
            Some(tile)
        })
        .collect();
    let done: Vec<Vec<f32>> = done.into_iter().collect::<Option<_>>()?;
    out.par_chunks_mut(area).enumerate().for_each(|(channel, out)| {
        for (tile, first) in done.iter().zip(&starts) {
            let count = tile.len() / outputs;
            let from = &tile[channel * count..][..count];
            for (y, values) in from.chunks(row).enumerate() {
                out[(first + y) * width..][..width].copy_from_slice(&values[..width]);
            }
        }
    });
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::noise::Noise;

    #[test]
    fn every_size_gives_what_the_formula_gives() {
        for (inputs, outputs, height, width) in [(1, 1, 1, 1), (3, 2, 5, 4), (2, 7, 1, 9), (4, 3, 13, 2)] {
            let sizes = Sizes { inputs, outputs, height, width };
            let x = Noise::new(1, 0).normals(inputs * height * width);
            let weight = Noise::new(2, 0).normals(outputs * inputs * 9);
            let bias = Noise::new(3, 0).normals(outputs);
            let ours = conv3x3(sizes, &x, &by_offset(&weight, outputs, inputs), &bias).unwrap();
            for o in 0..outputs {
                for y in 0..height {
                    for c in 0..width {
                        let mut exact = f64::from(bias[o]);
                        for (i, dy, dx) in (0..inputs * 9).map(|n| (n / 9, n % 9 / 3, n % 3)) {
                            let (sy, sx) = ((y + dy).wrapping_sub(1), (c + dx).wrapping_sub(1));
                            if sy < height && sx < width {
                                exact += f64::from(x[(i * height + sy) * width + sx])
                                    * f64::from(weight[(o * inputs + i) * 9 + dy * 3 + dx]);
                            }
                        }
                        let found = f64::from(ours[(o * height + y) * width + c]);
                        assert!(
                            (found - exact).abs() < 1e-5,
                            "{sizes:?} at {o},{y},{c}: {found} is not {exact}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn sizes_that_do_not_match_are_refused() {
        let sizes = Sizes { inputs: 1, outputs: 1, height: 2, width: 2 };
        assert!(conv3x3(sizes, &[0.0; 3], &[0.0; 9], &[0.0]).is_none());
    }
}
