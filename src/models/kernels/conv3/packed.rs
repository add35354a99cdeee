//! The weights of a convolution that is carried out band by band, transformed and in the order in which they are read.
//!
//! Owns how a kernel wider than a tile's becomes a sum of smaller ones, each of the input shifted by so many pixels.

use std::marker::PhantomData;

use super::transform::Tile;

/// Outputs of a block of weights.
pub(super) const BLOCK: usize = 4;

/// A layer's weights, for tiles `T`.
pub(super) struct Banded<T> {
    pub(super) outputs: usize,
    /// Channels of the input, once for each shift.
    pub(super) inputs: usize,
    /// Where the input's pixels are looked for: (y, x).
    pub(super) shifts: Vec<[isize; 2]>,
    /// Slices of the kernel.
    pub(super) taps: usize,
    /// Outputs whose blocks follow each other: half of an even number, so that those that SPADE pairs stand in blocks
    /// of the same place.
    pub(super) half: usize,
    /// `[block][point][slice of the kernel][input][output of the block]`.
    pub(super) weights: Vec<f32>,
    tile: PhantomData<T>,
}

impl<T: Tile> Banded<T> {
    /// From weights \[output\]\[input\]\[slice\]\[side\]\[side\], `side` odd.
    pub(super) fn prepare(weights: &[f32], outputs: usize, inputs: usize, [taps, side]: [usize; 2]) -> Self {
        let across = side.div_ceil(T::KERNEL);
        // The first tap of a part; a tile begins with the pixel before its own.
        let shift = |part: usize| (T::KERNEL * part + 1) as isize - (side / 2) as isize;
        let shifts: Vec<[isize; 2]> =
            (0..across * across).map(|part| [shift(part / across), shift(part % across)]).collect();
        let half = if outputs.is_multiple_of(2) { outputs / 2 } else { outputs };
        let blocks = half.div_ceil(BLOCK) * outputs.checked_div(half).unwrap_or(0);
        let all = shifts.len() * inputs;
        let mut packed = vec![0.0; blocks * T::POINTS * taps * all * BLOCK];
        for (place, taps_of) in weights.chunks_exact(side * side).enumerate() {
            let (pair, slice) = (place / taps, place % taps);
            let (output, input) = (pair / inputs, pair % inputs);
            let block = output / half * half.div_ceil(BLOCK) + output % half / BLOCK;
            for part in 0..shifts.len() {
                let part_of = part_of::<T>(taps_of, side, [part / across, part % across]);
                for (point, value) in T::kernel(&part_of).into_iter().enumerate() {
                    let row = ((block * T::POINTS + point) * taps + slice) * all + part * inputs + input;
                    packed[row * BLOCK + output % half % BLOCK] = value;
                }
            }
        }
        Self { outputs, inputs: all, shifts, taps, half, weights: packed, tile: PhantomData }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.weights.as_slice())
    }
}

/// The taps of one part of a kernel, zero where it reaches beyond.
fn part_of<T: Tile>(taps: &[f32], side: usize, [down, along]: [usize; 2]) -> Vec<f32> {
    let places = |part: usize| (0..T::KERNEL).map(move |tap| T::KERNEL * part + tap);
    let at = |y: usize, x: usize| if y < side && x < side { taps[y * side + x] } else { 0.0 };
    places(down).flat_map(|y| places(along).map(move |x| at(y, x))).collect()
}
