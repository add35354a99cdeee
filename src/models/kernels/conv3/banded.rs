//! Winograd's convolution of a layer with few weights: one thread carries a band of tiles through all three steps.
//!
//! Transformed inputs and products of a band stay in a core's caches, and each picture is read and written once. Owns the
//! weights, packed in the order in which they are read, and each thread's scratch. Bands, and the order of every sum, are
//! decided by sizes alone.

use std::cell::RefCell;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::finish::{Finish, Place, Rows};
use super::tiles::{Slice, Source, Volume, transform_any, transform_row};
use super::transform::{POINTS, STEP, inverse, kernel};
use crate::simd::{lanes, vectorised};

/// Outputs of a block of weights. Two blocks are multiplied at a time: with [`GROUP`] vectors of tiles that makes 16 running
/// sums, which hide the latency of a multiply-add and leave a band's products in the first two caches.
const BLOCK: usize = 4;
/// Vectors of tiles that are multiplied at a time.
const GROUP: usize = 2;
/// Vectors between two points' products: one more than are used, so that 36 points do not share the same few places of a
/// cache.
const POINT: usize = 2 * BLOCK * GROUP + 1;

thread_local! {
    /// Lines, transformed inputs and products of this thread's last band, kept because fresh pages cost as much as
    /// filling them.
    static KEPT: RefCell<[Vec<f32>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) };
}

/// Gives back what this thread and those of the pool keep; returns how many bytes that were.
pub(super) fn release_scratch() -> usize {
    let given = || {
        let kept = KEPT.with(|kept| std::mem::take(&mut *kept.borrow_mut()));
        kept.iter().map(|part| part.capacity() * size_of::<f32>()).sum::<usize>()
    };
    given() + rayon::broadcast(|_| given()).into_iter().sum::<usize>()
}

/// A layer's weights, transformed and packed.
pub(super) struct Banded {
    outputs: usize,
    inputs: usize,
    taps: usize,
    /// Outputs whose blocks follow each other: half of an even number, so that those that SPADE pairs stand in blocks
    /// of the same place.
    half: usize,
    /// `[block][point][slice of the kernel][input][output of the block]`.
    weights: Vec<f32>,
}

impl Banded {
    /// From weights \[output\]\[input\]\[slice\]\[3\]\[3\].
    pub(super) fn prepare(weights: &[f32], outputs: usize, inputs: usize, taps: usize) -> Self {
        let half = if outputs.is_multiple_of(2) { outputs / 2 } else { outputs };
        let blocks = half.div_ceil(BLOCK) * outputs.checked_div(half).unwrap_or(0);
        let mut packed = vec![0.0; blocks * POINTS * taps * inputs * BLOCK];
        for (place, kernel_taps) in weights.chunks_exact(9).enumerate() {
            let (pair, slice) = (place / taps, place % taps);
            let (output, input) = (pair / inputs, pair % inputs);
            let block = output / half * half.div_ceil(BLOCK) + output % half / BLOCK;
            for (point, value) in kernel(kernel_taps).into_iter().enumerate() {
                let row = ((block * POINTS + point) * taps + slice) * inputs + input;
                packed[row * BLOCK + output % half % BLOCK] = value;
            }
        }
        Self { outputs, inputs, taps, half, weights: packed }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.weights.as_slice())
    }

    /// Convolves `source` and has `finish` write each plane of `out`.
    pub(super) fn run(&self, source: Source<'_>, volume: Volume, finish: &Finish<'_>, out: &mut [f32]) {
        let Volume { batch, depth, height, width } = volume;
        let (rows, columns) = volume.tiles();
        let high = (GROUP * lanes()).div_ceil(columns).clamp(1, rows);
        let bands = rows.div_ceil(high);
        let (channels, plane) = (finish.channels(self.outputs), finish.plane(height, width));
        let mut tasks: Vec<Band<'_>> = (0..batch * depth * bands)
            .map(|place| {
                let (slice, band) = (place / bands, place % bands);
                let (first, z) = (band * high, slice % depth);
                let rows = high.min(rows - first);
                Band {
                    layer: self,
                    source,
                    volume,
                    finish,
                    batch: slice / depth,
                    z,
                    first,
                    rows,
                    out: Vec::new(),
                }
            })
            .collect();
        // A band's part of every channel; the last one of a pooled picture may have none.
        let part = finish.plane(STEP * high, width);
        for (place, plane) in out.chunks_mut(plane).enumerate() {
            let (batch, z) = (place / depth / channels, place % depth);
            for (band, part) in plane.chunks_mut(part).enumerate() {
                tasks[(batch * depth + z) * bands + band].out.push(part);
            }
        }
        tasks.into_par_iter().for_each(vectorised);
    }
}

/// Some rows of tiles of one slice, all channels.
struct Band<'a> {
    layer: &'a Banded,
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

impl WithSimd for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if self.out.is_empty() {
            return;
        }
        let (_, columns) = self.volume.tiles();
        let vectors = (self.rows * columns).div_ceil(S::F32_LANES);
        let [mut lines, mut inputs, mut products] = KEPT.with(|kept| std::mem::take(&mut *kept.borrow_mut()));
        let width = Slice::pitch(self.volume.width);
        grow(&mut lines, (STEP * self.rows + 2) * width);
        grow(&mut inputs, (POINTS * (self.depth() * vectors + 1) + vectors) * S::F32_LANES);
        grow(&mut products, POINTS * POINT * S::F32_LANES);
        self.transform(simd, vectors, &mut lines, S::as_mut_simd_f32s(&mut inputs).0);
        for group in (0..vectors).step_by(GROUP) {
            let inputs = S::as_simd_f32s(&inputs).0;
            let products = S::as_mut_simd_f32s(&mut products).0;
            match vectors - group {
                1 => self.finish_group::<S, 1>(simd, [group, vectors], inputs, products),
                _ => self.finish_group::<S, GROUP>(simd, [group, vectors], inputs, products),
            }
        }
        KEPT.with(|kept| *kept.borrow_mut() = [lines, inputs, products]);
    }
}

fn grow(scratch: &mut Vec<f32>, count: usize) {
    if scratch.len() < count {
        scratch.resize(count, 0.0);
    }
}

impl<'a> Band<'a> {
    /// Slices of the kernel that see a slice of the input from here: (first, one beyond the last).
    fn taps(&self) -> (usize, usize) {
        let margin = self.layer.taps / 2;
        (margin.saturating_sub(self.z), self.layer.taps.min(self.volume.depth + margin - self.z))
    }

    /// Channels of all those slices.
    fn depth(&self) -> usize {
        let (from, to) = self.taps();
        (to - from) * self.layer.inputs
    }

    /// Vectors between two points' inputs. Within a point each group of vectors has its own `[slice, channel][vector]`.
    fn stride(&self, vectors: usize) -> usize {
        self.depth() * vectors + 1
    }

    #[inline(always)]
    fn transform<S: Simd>(&self, simd: S, vectors: usize, lines: &mut [f32], inputs: &mut [S::f32s]) {
        let (from, to) = self.taps();
        let (_, columns) = self.volume.tiles();
        let (stride, pitch) = (self.stride(vectors), Slice::pitch(self.volume.width));
        let tiles = self.rows * columns;
        for tap in from..to {
            let depth = self.z + tap - self.layer.taps / 2;
            for channel in 0..self.layer.inputs {
                let slice = self.source.slice(self.volume, self.batch, channel, depth);
                slice.lay_out(self.first, self.rows, lines);
                let place = (tap - from) * self.layer.inputs + channel;
                for vector in 0..vectors {
                    let group = vector - vector % GROUP;
                    let wide = GROUP.min(vectors - group);
                    let at = group * self.depth() + place * wide + vector - group;
                    let out = &mut inputs[at..][..(POINTS - 1) * stride + 1];
                    let tile = vector * S::F32_LANES;
                    if is_row(tile, S::F32_LANES, columns, tiles) {
                        let lines = &lines[tile / columns * STEP * pitch..];
                        transform_row(simd, lines, pitch, tile % columns, out, stride);
                    } else {
                        let of = |lane: usize| {
                            let tile = tile + lane;
                            (tile < tiles).then(|| (slice, self.first + tile / columns, tile % columns))
                        };
                        transform_any(simd, of, out, stride);
                    }
                }
            }
        }
    }

    /// All outputs of `COUNT` vectors from `group` on.
    #[inline(always)]
    fn finish_group<S: Simd, const COUNT: usize>(
        &mut self,
        simd: S,
        [group, vectors]: [usize; 2],
        inputs: &[S::f32s],
        products: &mut [S::f32s],
    ) {
        let blocks = self.layer.half.div_ceil(BLOCK);
        let paired = self.finish.is_paired();
        let all = if paired { blocks } else { blocks * (self.layer.outputs / self.layer.half) };
        let step = if paired { 1 } else { 2 };
        for block in (0..all).step_by(step) {
            let second = if paired { block + blocks } else { block + 1 };
            if second < blocks * (self.layer.outputs / self.layer.half) {
                self.multiply::<S, COUNT, 2>(simd, [block, second], [group, vectors], inputs, products);
            } else {
                self.multiply::<S, COUNT, 1>(simd, [block, block], [group, vectors], inputs, products);
            }
            self.write::<S, COUNT>(simd, block, group, products);
        }
    }

    /// Products of one or two blocks: `[point][output][vector]`.
    #[inline(always)]
    fn multiply<S: Simd, const COUNT: usize, const BLOCKS: usize>(
        &self,
        simd: S,
        blocks: [usize; 2],
        [group, vectors]: [usize; 2],
        inputs: &[S::f32s],
        products: &mut [S::f32s],
    ) {
        let (from, _) = self.taps();
        let (layer, depth, stride) = (self.layer, self.depth(), self.stride(vectors));
        let size = layer.taps * layer.inputs * BLOCK;
        for point in 0..POINTS {
            let inputs = &inputs[point * stride + group * depth..][..COUNT * depth];
            let weights = |block: usize| {
                let start = (block * POINTS + point) * size + from * layer.inputs * BLOCK;
                layer.weights[start..][..depth * BLOCK].as_chunks::<BLOCK>().0
            };
            let (near, far) = (weights(blocks[0]), weights(blocks[1]));
            let mut sums = [[[simd.splat_f32s(0.0); COUNT]; BLOCK]; BLOCKS];
            for ((inputs, near), far) in inputs.as_chunks::<COUNT>().0.iter().zip(near).zip(far) {
                for (block, sums) in sums.iter_mut().enumerate() {
                    let weights = if block == 0 { near } else { far };
                    for (sums, weight) in sums.iter_mut().zip(weights) {
                        let weight = simd.splat_f32s(*weight);
                        for (sum, input) in sums.iter_mut().zip(inputs) {
                            *sum = simd.mul_add_e_f32s(weight, *input, *sum);
                        }
                    }
                }
            }
            let out = &mut products[point * POINT..][..BLOCKS * BLOCK * COUNT];
            for (out, sums) in out.chunks_exact_mut(COUNT).zip(sums.as_flattened()) {
                out.copy_from_slice(sums);
            }
        }
    }

    /// Transforms products back and has them finished.
    #[inline(always)]
    fn write<S: Simd, const COUNT: usize>(
        &mut self,
        simd: S,
        block: usize,
        group: usize,
        products: &[S::f32s],
    ) {
        let (half, paired) = (self.layer.half, self.finish.is_paired());
        let blocks = half.div_ceil(BLOCK);
        let (mut rows, mut other) = (Rows::new(), Rows::new());
        for place in 0..if paired { BLOCK } else { 2 * BLOCK } {
            let block = block + place / BLOCK;
            let inner = block % blocks * BLOCK + place % BLOCK;
            let channel = block / blocks * half + inner;
            if inner >= half || channel >= self.out.len() {
                continue;
            }
            for vector in 0..COUNT {
                let tile = (group + vector) * S::F32_LANES;
                let (_, columns) = self.volume.tiles();
                let tiles = self.rows * columns;
                let is_row = is_row(tile, S::F32_LANES, columns, tiles);
                rows.set(simd, inverse(simd, &products[place * COUNT + vector..], POINT), is_row);
                if paired {
                    let far = (place + BLOCK) * COUNT + vector;
                    other.set(simd, inverse(simd, &products[far..], POINT), is_row);
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
                    self.finish.write(place, &rows, &other, self.out[channel]);
                    at += count;
                }
            }
        }
    }
}

/// Whether the `count` tiles from `first` on all exist and stand in one row.
#[inline(always)]
fn is_row(first: usize, count: usize, columns: usize, tiles: usize) -> bool {
    first % columns + count <= columns && first + count <= tiles
}
