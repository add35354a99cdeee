//! Convolution of one picture by 3×3 or 1×1 kernels, stride 1, zero padding to the same size, without unfolding it.
//!
//! In a picture padded to rows of W + 2, the nine shifted pictures are views of one buffer, nine offsets apart: the
//! convolution is nine matrix products into one tile of output that stays in cache. The two surplus columns of each row
//! are computed too and dropped when the tile is written out. Weights take no more memory than in their file, and no
//! transform loses digits: what an autoencoder's half a gigabyte of activations asks for. Where speed matters more, see
//! [`conv3`](super::conv3).

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::host::{on_host, on_processor};
use super::matrix::{Matrix, ShapeError, Target, Threads, product};
use crate::profile::timed;

/// Values per output tile: 1 MB, half of a core's second-level cache.
const TILE: usize = 1 << 18;
/// Bytes that an unfolded band may take.
const BAND: usize = 1 << 27;

/// Weights [outputs, inputs, side, side] and a bias.
#[derive(Debug)]
pub struct DirectConv {
    inputs: usize,
    outputs: usize,
    side: usize,
    kernel: Kernel,
    bias: Tensor,
}

#[derive(Debug)]
enum Kernel {
    /// [9, outputs, inputs], in host memory.
    Offsets(Vec<f32>),
    /// As stored: [outputs, inputs, side, side].
    Whole(Tensor),
}

impl DirectConv {
    /// From `weight` [outputs, inputs, side, side] with an odd side and `bias` \[outputs\]; laid out for the processor
    /// where both are there in f32.
    pub fn new(weight: Tensor, bias: Tensor) -> Result<Self> {
        let (outputs, inputs, side, other) = weight.dims4()?;
        if side != other || side.is_multiple_of(2) || bias.dims() != [outputs] {
            bail!("a kernel of {:?} with biases {:?} keeps no size", weight.shape(), bias.shape())
        }
        let is_listed = super::linear::is_stand_in(&weight);
        let kernel = if side == 3 && on_processor(&weight) && !is_listed {
            Kernel::Offsets(on_host(&[&weight], |values| by_offset(values[0], outputs, inputs))?)
        } else {
            Kernel::Whole(weight)
        };
        Ok(Self { inputs, outputs, side, kernel, bias })
    }

    /// Of `x` [1, inputs, h, w]: [1, outputs, h, w].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        timed!("direct convolution", x = x.dims());
        let (batch, inputs, height, width) = x.dims4()?;
        if batch != 1 || inputs != self.inputs {
            bail!("a convolution of one picture of {} channels was given {:?}", self.inputs, x.shape())
        }
        let shape = (1, self.outputs, height, width);
        match &self.kernel {
            Kernel::Offsets(weight) => {
                let sizes = Sizes { inputs, outputs: self.outputs, height, width };
                let out = on_host(&[x, &self.bias], |v| by_offsets(sizes, v[0], weight, v[1]))??;
                Tensor::from_vec(out, shape, x.device())
            }
            Kernel::Whole(weight) if self.side == 1 && x.device().is_cpu() => {
                let sizes = (inputs, self.outputs, height * width);
                let out = on_host(&[x, weight, &self.bias], |v| pointwise(sizes, v[0], v[1], v[2]))??;
                Tensor::from_vec(out, shape, x.device())
            }
            Kernel::Whole(weight) => {
                let y = in_bands(x, weight, self.side / 2)?;
                y.broadcast_add(&self.bias.reshape((1, self.outputs, 1, 1))?)
            }
        }
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        let of = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        let kernel = match &self.kernel {
            Kernel::Offsets(values) => size_of_val(values.as_slice()),
            Kernel::Whole(tensor) => of(tensor),
        };
        kernel + of(&self.bias)
    }
}

/// candle's convolution, some rows at a time: it unfolds what it is given to k² times its size, which at 512×512 would
/// be more than a gigabyte for the widest pictures.
fn in_bands(x: &Tensor, weight: &Tensor, padding: usize) -> Result<Tensor> {
    let (_, inputs, height, width) = x.dims4()?;
    let unfolded_row = inputs * weight.dim(2)? * weight.dim(3)? * width * x.dtype().size_in_bytes();
    let rows = (BAND / unfolded_row.max(1)).clamp(1, height.max(1));
    if rows >= height {
        return x.conv2d(weight, padding, 1, 1, 1);
    }
    let padded = x.pad_with_zeros(2, padding, padding)?.pad_with_zeros(3, padding, padding)?;
    let bands = (0..height)
        .step_by(rows)
        .map(|first| {
            let count = rows.min(height - first) + 2 * padding;
            padded.narrow(2, first, count)?.contiguous()?.conv2d(weight, 0, 1, 1, 1)
        })
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&bands, 2)
}

/// A matrix product over channels, at every pixel.
fn pointwise(
    (inputs, outputs, area): (usize, usize, usize),
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
) -> std::result::Result<Vec<f32>, ShapeError> {
    let mut out = vec![0f32; outputs * area];
    out.par_chunks_mut(area.max(1)).zip(bias).for_each(|(out, bias)| out.fill(*bias));
    let (weight, x) = (Matrix::dense(weight, outputs, inputs)?, Matrix::dense(x, inputs, area)?);
    product(Target::onto(&mut out, area), 1.0, weight, x, Threads::All)?;
    Ok(out)
}

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    inputs: usize,
    outputs: usize,
    height: usize,
    width: usize,
}

/// Weights of [outputs, inputs, 3, 3] as [9, outputs, inputs].
fn by_offset(weight: &[f32], outputs: usize, inputs: usize) -> Vec<f32> {
    let mut out = vec![0f32; weight.len()];
    for (offset, plane) in out.chunks_mut((outputs * inputs).max(1)).enumerate() {
        plane.iter_mut().enumerate().for_each(|(i, value)| *value = weight[i * 9 + offset]);
    }
    out
}

/// `x` of [inputs, height, width] to [outputs, height, width].
fn by_offsets(sizes: Sizes, x: &[f32], weight: &[f32], bias: &[f32]) -> Result<Vec<f32>> {
    let Sizes { inputs, outputs, height, width } = sizes;
    let area = height * width;
    if x.len() != inputs * area || weight.len() != 9 * inputs * outputs || bias.len() != outputs {
        bail!(
            "a convolution of {sizes:?} of {} values, {} weights, {} biases",
            x.len(),
            weight.len(),
            bias.len()
        )
    }
    let mut out = vec![0f32; outputs * area];
    if out.is_empty() || inputs == 0 {
        return Ok(out);
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
    let done = starts
        .par_iter()
        .map(|first| {
            let count = rows.min(height - first) * row;
            let mut tile = vec![0f32; outputs * count];
            for (channel, bias) in tile.chunks_mut(count).zip(bias) {
                channel.fill(*bias);
            }
            for (offset, taps) in weight.chunks(inputs * outputs).enumerate() {
                let shift = (first + offset / 3) * row + offset % 3;
                let view = Matrix::new(&padded[shift..], (inputs, count), plane)?;
                let taps = Matrix::dense(taps, outputs, inputs)?;
                product(Target::onto(&mut tile, count), 1.0, taps, view, Threads::One)?;
            }
            Ok(tile)
        })
        .collect::<std::result::Result<Vec<Vec<f32>>, ShapeError>>()?;
    out.par_chunks_mut(area).enumerate().for_each(|(channel, out)| {
        for (tile, first) in done.iter().zip(&starts) {
            let count = tile.len() / outputs;
            let from = &tile[channel * count..][..count];
            for (y, values) in from.chunks(row).enumerate() {
                out[(first + y) * width..][..width].copy_from_slice(&values[..width]);
            }
        }
    });
    Ok(out)
}

#[cfg(test)]
mod tests;
