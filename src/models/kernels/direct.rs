//! Convolution of one picture by square kernels of odd side, stride 1, zero padding to the same size, without unfolding it.
//!
//! A convolution is a product of the kernels with a matrix that has a column for every pixel, of that pixel's
//! neighbourhood in every channel. Only some panels of that matrix ever exist, in the cache where they are multiplied.
//! Weights take no more memory than in their file, and no transform loses digits: what an autoencoder's half a gigabyte
//! of activations asks for. Where speed matters more, see [`conv3`](super::conv3).

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

use super::host::{on_host, on_processor};
use super::panels::{Columns, Finish, WIDTH, product};
use crate::profile::timed;
use crate::simd::Row;

/// Bytes that an unfolded band may take.
const BAND: usize = 1 << 27;

/// Weights [outputs, inputs, side, side] and a bias.
#[derive(Debug)]
pub struct DirectConv {
    inputs: usize,
    outputs: usize,
    side: usize,
    weight: Tensor,
    bias: Tensor,
}

impl DirectConv {
    /// From `weight` [outputs, inputs, side, side] with an odd side and `bias` \[outputs\].
    pub fn new(weight: Tensor, bias: Tensor) -> Result<Self> {
        let (outputs, inputs, side, other) = weight.dims4()?;
        if side != other || side.is_multiple_of(2) || bias.dims() != [outputs] {
            bail!("a kernel of {:?} with biases {:?} keeps no size", weight.shape(), bias.shape())
        }
        Ok(Self { inputs, outputs, side, weight, bias })
    }

    /// Of `x` [1, inputs, h, w]: [1, outputs, h, w].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        timed!("direct convolution", x = x.dims());
        let (batch, inputs, height, width) = x.dims4()?;
        if batch != 1 || inputs != self.inputs {
            bail!("a convolution of one picture of {} channels was given {:?}", self.inputs, x.shape())
        }
        if ![x, &self.weight, &self.bias].into_iter().all(on_processor) {
            let y = in_bands(x, &self.weight, self.side / 2)?;
            return y.broadcast_add(&self.bias.reshape((1, self.outputs, 1, 1))?);
        }
        let out = on_host(&[x, &self.weight, &self.bias], |values| {
            let pixels = Pixels { x: values[0], channels: inputs, height, width, side: self.side };
            product(&pixels, values[1], Finish { of_rows: Some(values[2]), ..Finish::default() })
        })?;
        Tensor::from_vec(out, (1, self.outputs, height, width), x.device())
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        let of = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        of(&self.weight) + of(&self.bias)
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

/// A picture's pixels, each with those around it in every channel, as the columns of a matrix.
struct Pixels<'a> {
    /// [channels, height, width].
    x: &'a [f32],
    channels: usize,
    height: usize,
    width: usize,
    /// Of the kernel.
    side: usize,
}

impl Pixels<'_> {
    /// What the kernel's number `step` is multiplied with at `out.len()` pixels of row `y`, from column `first` on.
    fn shifted(&self, step: usize, (y, first): (usize, usize), out: &mut [f32]) {
        let (area, padding) = (self.side * self.side, self.side / 2);
        let (down, right) = (step % area / self.side, step % self.side);
        // Where the first of them would be taken from, in a picture that begins `padding` pixels further left.
        let from = first + right;
        let line = (y + down).checked_sub(padding).filter(|y| *y < self.height);
        let line = line.map(|y| &self.x[(step / area * self.height + y) * self.width..][..self.width]);
        let Some(line) = line else { return out.fill(0.0) };
        let inside = from.checked_sub(padding).and_then(|from| line.get(from..from + out.len()));
        if let Some(inside) = inside {
            // Whole panels by a copy of known length.
            match (out.as_chunks_mut::<WIDTH>(), inside.as_chunks::<WIDTH>()) {
                (([out], []), ([inside], [])) => *out = *inside,
                _ => out.copy_from_slice(inside),
            }
            return;
        }
        for (i, out) in out.iter_mut().enumerate() {
            *out = (from + i).checked_sub(padding).and_then(|x| line.get(x)).copied().unwrap_or(0.0);
        }
    }
}

impl Columns for Pixels<'_> {
    fn depth(&self) -> usize {
        self.channels * self.side * self.side
    }

    fn columns(&self) -> usize {
        self.height * self.width
    }

    fn panel<'a>(&'a self, index: usize, steps: Range<usize>, room: &'a mut [Row]) -> &'a [Row] {
        let pixels = index * WIDTH..((index + 1) * WIDTH).min(self.columns());
        for (step, row) in steps.zip(room.iter_mut()) {
            let mut pixel = pixels.start;
            while pixel < pixels.end {
                let (y, first) = (pixel / self.width, pixel % self.width);
                let end = ((y + 1) * self.width).min(pixels.end);
                self.shifted(step, (y, first), &mut row.0[pixel - pixels.start..end - pixels.start]);
                pixel = end;
            }
        }
        room
    }

    fn needs_room(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
