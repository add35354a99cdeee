//! Winograd's convolution of a layer with few weights: one thread carries a band of tiles through all three steps.
//!
//! Transformed inputs and products of a band stay in a core's caches, and each picture is read and written once. Owns each
//! thread's scratch; the weights are `packed.rs`'s. Bands, and the order of every sum, are decided by sizes alone.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::finish::{Finish, Place, Rows};
use super::packed::BLOCK;
pub(super) use super::packed::Banded;
use super::pieces::{Piece, pieces};
use super::scratch::{self, grow};
use super::tile::times;
use super::tiles::{Slice, Source, Volume, transform};
use super::transform::{STEP, Tile};
use crate::profile::timed;
use crate::simd::{lanes, vectorised};

/// Vectors of tiles that are multiplied at a time. With two blocks of weights that makes 16 running sums, which hide the
/// latency of a multiply-add and leave a band's products in the first two caches.
const GROUP: usize = 2;
/// Inputs, slices of a kernel counted apart, that are transformed and multiplied at a time where a layer has many and few
/// outputs: those of two vectors of tiles take 0.4 MB at most.
const PASS: usize = 64;
/// Most pairs of blocks whose sums are kept from one such pass to the next.
const FEW: usize = 8;
/// Vectors between two points' products: one more than are used, so that the points do not share the same few places of a
/// cache.
const POINT: usize = 2 * BLOCK * GROUP + 1;

impl<T: Tile> Banded<T> {
    /// Convolves `source` and has `finish` write each plane of `out`.
    pub(super) fn run(&self, source: Source<'_>, volume: Volume, finish: &Finish<'_>, out: &mut [f32]) {
        let (rows, columns) = volume.tiles();
        let high = (GROUP * lanes()).div_ceil(columns).clamp(1, rows);
        let pieces = pieces(volume, STEP * high, finish, self.outputs, out);
        pieces.into_par_iter().for_each(|piece| {
            timed!("conv3 band");
            let Piece { batch, z, top, rows, out } = piece;
            let (first, rows) = (top / STEP, rows.div_ceil(STEP));
            vectorised(Band { layer: self, source, volume, finish, batch, z, first, rows, out });
        });
    }
}

/// Some rows of tiles of one slice, all channels.
struct Band<'a, T> {
    layer: &'a Banded<T>,
    source: Source<'a>,
    volume: Volume,
    finish: &'a Finish<'a>,
    batch: usize,
    z: usize,
    first: usize,
    rows: usize,
    /// Each channel's part of the result.
    out: Vec<&'a mut [f32]>,
}

impl<T: Tile> WithSimd for Band<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if self.out.is_empty() {
            return;
        }
        let (_, columns) = self.volume.tiles();
        let vectors = (self.rows * columns).div_ceil(S::F32_LANES);
        let [mut lines, mut inputs, mut products] = scratch::taken();
        let (depth, pairs) = (self.depth(), self.pairs());
        let pass = if pairs <= FEW { PASS.min(depth) } else { depth };
        let kept = if pass < depth { pairs * vectors.div_ceil(GROUP) } else { 1 };
        grow(&mut lines, (STEP * self.rows + T::SIDE - STEP) * Slice::pitch(self.volume.width));
        grow(&mut inputs, (T::POINTS * (pass * vectors + 1) + vectors) * S::F32_LANES);
        grow(&mut products, kept * T::POINTS * POINT * S::F32_LANES);
        for first in (0..depth).step_by(pass.max(1)) {
            let part = Part { first, last: depth.min(first + pass), vectors, depth };
            self.transform(simd, part, &mut lines, S::as_mut_simd_f32s(&mut inputs).0);
            for group in (0..vectors).step_by(GROUP) {
                let inputs = S::as_simd_f32s(&inputs).0;
                let products = S::as_mut_simd_f32s(&mut products).0;
                match vectors - group {
                    1 => self.finish_group::<S, 1>(simd, part, group, inputs, products),
                    _ => self.finish_group::<S, GROUP>(simd, part, group, inputs, products),
                }
            }
        }
        scratch::keep([lines, inputs, products]);
    }
}

/// Inputs `first` to `last` of the `depth` ones of all slices of the kernel, for so many vectors of tiles.
#[derive(Clone, Copy)]
struct Part {
    first: usize,
    last: usize,
    vectors: usize,
    depth: usize,
}

impl Part {
    fn len(self) -> usize {
        self.last - self.first
    }

    /// Vectors between two points' inputs. Within a point each group of vectors has its own `[input][vector]`.
    fn stride(self) -> usize {
        self.len() * self.vectors + 1
    }

    /// Whether it is all there is; else the sums of all blocks are kept until the last one.
    fn is_whole(self) -> bool {
        self.len() == self.depth
    }
}

impl<T: Tile> Band<'_, T> {
    /// Slices of the kernel that see a slice of the input from here: (first, one beyond the last).
    fn taps(&self) -> (usize, usize) {
        let margin = self.layer.taps / 2;
        (margin.saturating_sub(self.z), self.layer.taps.min(self.volume.depth + margin - self.z))
    }

    /// Inputs of all those slices.
    fn depth(&self) -> usize {
        let (from, to) = self.taps();
        (to - from) * self.layer.inputs
    }

    /// Blocks of weights, of all outputs.
    fn blocks(&self) -> usize {
        self.layer.half.div_ceil(BLOCK) * (self.layer.outputs / self.layer.half)
    }

    /// How often blocks are multiplied, two at a time: neighbours, or those that SPADE pairs.
    fn pairs(&self) -> usize {
        self.blocks().div_ceil(2)
    }

    /// The blocks of a pair; the last one may be alone.
    fn pair(&self, pair: usize) -> (usize, Option<usize>) {
        if self.finish.is_paired() {
            (pair, Some(pair + self.blocks() / 2))
        } else {
            (2 * pair, Some(2 * pair + 1).filter(|second| *second < self.blocks()))
        }
    }

    #[inline(always)]
    fn transform<S: Simd>(&self, simd: S, part: Part, lines: &mut [f32], inputs: &mut [S::f32s]) {
        let (from, _) = self.taps();
        let (_, columns) = self.volume.tiles();
        let (stride, pitch) = (part.stride(), Slice::pitch(self.volume.width));
        let channels = self.layer.inputs / self.layer.shifts.len();
        for place in part.first..part.last {
            let (tap, input) = (from + place / self.layer.inputs, place % self.layer.inputs);
            let depth = self.z + tap - self.layer.taps / 2;
            let slice = self.source.slice(self.volume, self.batch, input % channels, depth);
            slice.shifted(self.layer.shifts[input / channels]).lay_out::<T>(self.first, self.rows, lines);
            for vector in 0..part.vectors {
                let group = vector - vector % GROUP;
                let wide = GROUP.min(part.vectors - group);
                let at = group * part.len() + (place - part.first) * wide + vector - group;
                let out = &mut inputs[at..][..(T::POINTS - 1) * stride + 1];
                let tiles = [vector * S::F32_LANES, columns, self.rows * columns];
                transform::<S, T>(simd, lines, pitch, tiles, out, stride);
            }
        }
    }

    /// All outputs of `COUNT` vectors from `group` on.
    #[inline(always)]
    fn finish_group<S: Simd, const COUNT: usize>(
        &mut self,
        simd: S,
        part: Part,
        group: usize,
        inputs: &[S::f32s],
        products: &mut [S::f32s],
    ) {
        let pairs = self.pairs();
        for pair in 0..pairs {
            let kept = if part.is_whole() { 0 } else { group / GROUP * pairs + pair };
            let products = &mut products[kept * T::POINTS * POINT..][..T::POINTS * POINT];
            match self.pair(pair) {
                (first, Some(second)) => {
                    self.multiply::<S, COUNT, 2>(simd, [first, second], part, group, inputs, products);
                }
                (first, None) => {
                    self.multiply::<S, COUNT, 1>(simd, [first; 2], part, group, inputs, products);
                }
            }
            if part.last == part.depth {
                self.write::<S, COUNT>(simd, pair, group, products);
            }
        }
    }

    /// Products of one or two blocks: `[point][output][vector]`, on top of those of the parts before.
    #[inline(always)]
    fn multiply<S: Simd, const COUNT: usize, const BLOCKS: usize>(
        &self,
        simd: S,
        blocks: [usize; 2],
        part: Part,
        group: usize,
        inputs: &[S::f32s],
        products: &mut [S::f32s],
    ) {
        let (from, _) = self.taps();
        let (layer, stride) = (self.layer, part.stride());
        let size = layer.taps * layer.inputs * BLOCK;
        for point in 0..T::POINTS {
            let inputs = &inputs[point * stride + group * part.len()..][..COUNT * part.len()];
            let weights = |block: usize| {
                let start = (block * T::POINTS + point) * size + (from * layer.inputs + part.first) * BLOCK;
                layer.weights[start..][..part.len() * BLOCK].as_chunks::<BLOCK>().0
            };
            let (near, far) = (weights(blocks[0]), weights(blocks[1]));
            let out = &mut products[point * POINT..][..BLOCKS * BLOCK * COUNT];
            let (out, out_far) = out.as_chunks_mut::<COUNT>().0.split_at_mut(BLOCK);
            let zero = simd.splat_f32s(0.0);
            let (mut sums, mut sums_far) = match part.first {
                0 => ([[zero; COUNT]; BLOCK], [[zero; COUNT]; BLOCK]),
                _ => (of_block(zero, out), of_block(zero, out_far)),
            };
            for ((inputs, near), far) in inputs.as_chunks::<COUNT>().0.iter().zip(near).zip(far) {
                accumulate(simd, &mut sums, near, inputs);
                if BLOCKS > 1 {
                    accumulate(simd, &mut sums_far, far, inputs);
                }
            }
            if let [a, b, c, d] = out {
                [*a, *b, *c, *d] = sums;
            }
            if let [a, b, c, d] = out_far {
                [*a, *b, *c, *d] = sums_far;
            }
        }
    }

    /// Transforms products back and has them finished.
    #[inline(always)]
    fn write<S: Simd, const COUNT: usize>(
        &mut self,
        simd: S,
        pair: usize,
        group: usize,
        products: &[S::f32s],
    ) {
        let (half, paired) = (self.layer.half, self.finish.is_paired());
        let blocks = half.div_ceil(BLOCK);
        let (_, columns) = self.volume.tiles();
        let tiles = self.rows * columns;
        let (first, second) = self.pair(pair);
        let (mut rows, mut other) = (Rows::new(), Rows::new());
        for place in 0..if paired || second.is_none() { BLOCK } else { 2 * BLOCK } {
            let block = first + place / BLOCK;
            let inner = block % blocks * BLOCK + place % BLOCK;
            let channel = block / blocks * half + inner;
            if inner >= half || channel >= self.out.len() {
                continue;
            }
            for vector in 0..COUNT {
                let tile = (group + vector) * S::F32_LANES;
                rows.set(simd, &T::inverse(simd, &products[place * COUNT + vector..], POINT), true);
                if paired {
                    let far = (place + BLOCK) * COUNT + vector;
                    other.set(simd, &T::inverse(simd, &products[far..], POINT), true);
                }
                let (mut at, end) = (tile, tiles.min(tile + S::F32_LANES));
                while at < end {
                    let (row, column) = (at / columns, at % columns);
                    let count = (columns - column).min(end - at);
                    let place = Place {
                        batch: self.batch,
                        channel,
                        depth: self.z,
                        volume: self.volume,
                        y: STEP * (self.first + row),
                        x: STEP * column,
                        width: (STEP * count).min(self.volume.width - STEP * column),
                        from: STEP * (at - tile),
                        top: STEP * self.first,
                    };
                    self.finish.write(simd, place, rows.sums(), other.sums(), self.out[channel]);
                    at += count;
                }
            }
        }
    }
}

/// The sums that were kept of a block; zero where there is none.
#[inline(always)]
fn of_block<V: Copy, const COUNT: usize>(zero: V, kept: &[[V; COUNT]]) -> [[V; COUNT]; BLOCK] {
    match kept {
        [a, b, c, d] => [*a, *b, *c, *d],
        _ => [[zero; COUNT]; BLOCK],
    }
}

/// A block of weights times the inputs of some vectors. Without a loop around the sums they stay in registers however little
/// the compiler optimises.
#[inline(always)]
fn accumulate<S: Simd, const COUNT: usize>(
    simd: S,
    sums: &mut [[S::f32s; COUNT]; BLOCK],
    weights: &[f32; BLOCK],
    inputs: &[S::f32s; COUNT],
) {
    let [a, b, c, d] = sums;
    times(simd, a, weights[0], inputs);
    times(simd, b, weights[1], inputs);
    times(simd, c, weights[2], inputs);
    times(simd, d, weights[3], inputs);
}
