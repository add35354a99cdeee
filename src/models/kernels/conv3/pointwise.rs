//! 1×1 convolution of a layer with few channels: pixels are read once, multiplied, and written with bias and activation.
//!
//! Owns the layer's weights. Each sum goes over the inputs in their order, whatever the sizes.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::super::activation::leaky;
use super::finish::Finish;
use super::pieces::{Piece, pieces};
use super::scratch::{self, grow};
use super::tile::{BLOCK, packed, sums, wide};
use super::tiles::Volume;
use super::transform::STEP;
use crate::profile::timed;
use crate::simd::vectorised;

/// Pixels of a task.
const BAND: usize = 2048;
/// Most pixels of a tile: four of the widest vectors.
const MOST: usize = 64;

/// A layer's weights.
pub(super) struct Pointwise {
    outputs: usize,
    inputs: usize,
    /// `[block][input][output of the block]`.
    weights: Vec<f32>,
}

impl Pointwise {
    /// From weights \[output\]\[input\].
    pub(super) fn prepare(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        let weights = packed(outputs, inputs, |output, input| weights[output * inputs + input]);
        Self { outputs, inputs, weights }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.weights.as_slice())
    }

    /// Of `x`, `[batch, inputs, height, width]`, into `out`: sum + bias, activated.
    pub(super) fn run(&self, x: &[f32], volume: Volume, bias: &[f32], slope: f32, out: &mut [f32]) {
        let high = BAND.div_ceil(volume.width).next_multiple_of(STEP);
        let finish = Finish::Plain { bias, slope, residual: None, pool: false };
        let pieces = pieces(volume, high, &finish, self.outputs, out);
        pieces.into_par_iter().for_each(|piece| {
            timed!("conv 1x1");
            vectorised(Pixels { layer: self, x, volume, bias, slope, piece });
        });
    }
}

/// Some rows of one picture, all channels.
struct Pixels<'a> {
    layer: &'a Pointwise,
    x: &'a [f32],
    volume: Volume,
    bias: &'a [f32],
    slope: f32,
    piece: Piece<'a>,
}

impl WithSimd for Pixels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, x, volume, bias, slope, mut piece } = self;
        let (plane, count) = (volume.height * volume.width, piece.rows * volume.width);
        let x = &x[piece.batch * layer.inputs * plane + piece.top * volume.width..];
        let [mut near, spare, more] = scratch::taken();
        grow(&mut near, layer.inputs * wide::<S>());
        let mut made = [[0.0; MOST]; BLOCK];
        for first in (0..count).step_by(wide::<S>()) {
            let seen = wide::<S>().min(count - first);
            // Planes lie so far apart that they share a few places of a cache, so what is read twice is laid side by side.
            let moved = seen < wide::<S>() || layer.outputs > BLOCK;
            if moved {
                for (input, near) in near.chunks_exact_mut(wide::<S>()).take(layer.inputs).enumerate() {
                    near[..seen].copy_from_slice(&x[input * plane + first..][..seen]);
                    near[seen..].fill(0.0);
                }
            }
            let (pixels, stride) = if moved { (&near[..], wide::<S>()) } else { (&x[first..], plane) };
            for block in 0..layer.outputs.div_ceil(BLOCK) {
                let weights = &layer.weights[block * layer.inputs * BLOCK..][..layer.inputs * BLOCK];
                let weights = weights.as_chunks::<BLOCK>().0;
                sums(simd, weights, pixels, stride, made.as_flattened_mut(), MOST);
                let channels = block * BLOCK..layer.outputs.min((block + 1) * BLOCK);
                for (made, channel) in made.iter().zip(channels) {
                    let (bias, out) = (bias[channel], &mut piece.out[channel][first..][..seen]);
                    for (out, sum) in out.iter_mut().zip(made) {
                        *out = leaky(sum + bias, slope);
                    }
                }
            }
        }
        scratch::keep([near, spare, more]);
    }
}
