//! Winograd's convolution of a layer with many weights: 36 matrix products over many tiles, so that weights are read once.
//!
//! Owns the transformed weights, the order of the work and its scratch memory. Tiles go in chunks that bound the scratch;
//! within a chunk each stage runs on all threads: inputs by channel, products by point, outputs by plane. Every number
//! is made by one task in an order that sizes alone decide, so results do not depend on the number of threads.

use std::cell::RefCell;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::super::matrix::{Matrix, ShapeError, Target, Threads, product};
use super::finish::{Finish, Place, Rows};
use super::tiles::{MOST, Slice, Source, Volume, transform, transform_any};
use super::transform::{STEP, Three, Tile as _};
use crate::profile::timed;
use crate::simd::vectorised;

/// Numbers of scratch that a chunk aims at: 32 MB, so that products have wide right sides and most of it stays in
/// the shared cache.
const SCRATCH: usize = 8 << 20;

const SIDE: usize = Three::SIDE;
const POINTS: usize = Three::POINTS;

thread_local! {
    /// Transformed inputs and products of the last call, kept because fresh pages cost as much as filling them.
    static SCRATCH_KEPT: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Gives this thread's scratch memory back; returns how many bytes that were.
pub(super) fn release_scratch() -> usize {
    SCRATCH_KEPT.with(|kept| {
        std::mem::take(&mut *kept.borrow_mut()).iter().map(|part| part.capacity() * size_of::<f32>()).sum()
    })
}

/// A layer's weights, transformed.
pub(super) struct Winograd {
    outputs: usize,
    inputs: usize,
    taps: usize,
    /// `[point][slice of the kernel][output][input]`.
    weights: Vec<f32>,
}

/// Where a tile stands.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tile {
    batch: usize,
    row: usize,
    column: usize,
}

impl Winograd {
    /// From weights \[output\]\[input\]\[slice\]\[3\]\[3\].
    pub(super) fn prepare(weights: &[f32], outputs: usize, inputs: usize, taps: usize) -> Self {
        let mut transformed = vec![0.0; POINTS * taps * outputs * inputs];
        for (place, kernel_taps) in weights.chunks_exact(9).enumerate() {
            let (pair, slice) = (place / taps, place % taps);
            for (point, value) in Three::kernel(kernel_taps).into_iter().enumerate() {
                transformed[(point * taps + slice) * outputs * inputs + pair] = value;
            }
        }
        Self { outputs, inputs, taps, weights: transformed }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.weights.as_slice())
    }

    /// Convolves `source` and has `finish` write each plane of `out`.
    pub(super) fn run(
        &self,
        source: Source<'_>,
        volume: Volume,
        finish: &Finish<'_>,
        out: &mut [f32],
    ) -> Result<(), ShapeError> {
        let (rows, columns) = volume.tiles();
        let all: Vec<Tile> = (0..volume.batch)
            .flat_map(|batch| {
                (0..rows).flat_map(move |row| (0..columns).map(move |column| (batch, row, column)))
            })
            .map(|(batch, row, column)| Tile { batch, row, column })
            .collect();
        let limit = SCRATCH / (POINTS * (self.inputs + self.outputs) * volume.depth).max(1);
        // Whole vectors, so that tiles of one row stay together.
        let limit = limit.next_multiple_of(MOST).max(MOST);
        let [mut inputs, mut products] = SCRATCH_KEPT.with(|kept| std::mem::take(&mut *kept.borrow_mut()));
        for tiles in all.chunks(limit) {
            let columns = (volume.depth * tiles.len()).next_multiple_of(MOST) + MOST;
            let chunk = Chunk { layer: self, source, volume, tiles, columns };
            let (given, made) = (self.inputs * POINTS * columns, POINTS * (self.outputs * columns + MOST));
            inputs.resize(inputs.len().max(given), 0.0);
            products.resize(products.len().max(made), 0.0);
            let (inputs, products) = (&mut inputs[..given], &mut products[..made]);
            chunk.transform_inputs(inputs);
            chunk.multiply(inputs, products)?;
            chunk.transform_outputs(products, finish, out);
        }
        SCRATCH_KEPT.with(|kept| *kept.borrow_mut() = [inputs, products]);
        Ok(())
    }
}

/// Some tiles of all slices. In its matrices column `depth · tiles + tile` is a tile of one slice.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    layer: &'a Winograd,
    source: Source<'a>,
    volume: Volume,
    tiles: &'a [Tile],
    /// Values of a row of the matrices: whole vectors, and one more so that the rows of 36 points do not share the same
    /// few places of a cache.
    columns: usize,
}

impl Chunk<'_> {
    /// Fills \[channel\]\[point\]\[column\].
    fn transform_inputs(self, inputs: &mut [f32]) {
        let channels = inputs.par_chunks_mut(POINTS * self.columns).enumerate();
        channels.for_each_init(Vec::new, |lines, (channel, out)| {
            timed!("conv3 inputs");
            vectorised(InputStage { chunk: self, channel, lines, out });
        });
    }

    /// `[point][output][column]` = Σ over slices and channels.
    fn multiply(self, inputs: &[f32], products: &mut [f32]) -> Result<(), ShapeError> {
        let Winograd { outputs, inputs: channels, taps, weights } = self.layer;
        let (depth, margin) = (self.volume.depth, taps / 2);
        let points = products.par_chunks_mut(outputs * self.columns + MOST).enumerate();
        points.try_for_each(|(point, out)| {
            timed!("conv3 products");
            // The middle slice of the kernel meets every slice of the input, so it goes first and overwrites.
            for slice in std::iter::once(margin).chain((0..*taps).filter(|slice| *slice != margin)) {
                let (first, last) =
                    (margin.saturating_sub(slice), depth.min((depth + margin).saturating_sub(slice)));
                if first >= last {
                    continue;
                }
                let size = outputs * channels;
                let weights = &weights[(point * taps + slice) * size..][..size];
                let a = Matrix::dense(weights, *outputs, *channels)?;
                let count = (last - first) * self.tiles.len();
                let start = point * self.columns + (first + slice - margin) * self.tiles.len();
                let b = Matrix::new(&inputs[start..], (*channels, count), POINTS * self.columns)?;
                let out = &mut out[first * self.tiles.len()..];
                let target = match slice == margin {
                    true => Target::over(out, self.columns),
                    false => Target::onto(out, self.columns),
                };
                product(target, 1.0, a, b, Threads::One)?;
            }
            Ok(())
        })
    }

    fn transform_outputs(self, products: &[f32], finish: &Finish<'_>, out: &mut [f32]) {
        let Volume { depth, height, width, .. } = self.volume;
        let channels = finish.channels(self.layer.outputs);
        let size = depth * finish.plane(height, width);
        out.par_chunks_mut(size).enumerate().for_each(|(plane, out)| {
            let (batch, channel) = (plane / channels, plane % channels);
            if self.tiles.iter().any(|tile| tile.batch == batch) {
                timed!("conv3 outputs");
                vectorised(OutputStage { chunk: self, products, finish, batch, channel, out });
            }
        });
    }

    /// The slice and the tile of a column.
    fn at(&self, column: usize) -> (usize, Tile) {
        (column / self.tiles.len(), self.tiles[column % self.tiles.len()])
    }

    /// Whether the vector from column `first` on may keep its tiles in the order that shuffles leave them in: they are
    /// neighbours, and no slice of the kernel meets them in another vector.
    #[inline(always)]
    fn is_shuffled<S: Simd>(&self, first: usize) -> bool {
        let aligned = self.volume.depth == 1 || self.tiles.len().is_multiple_of(S::F32_LANES);
        aligned && self.is_row(first, S::F32_LANES)
    }

    /// Whether the `count` columns from `first` on are neighbouring tiles of one row.
    #[inline(always)]
    fn is_row(&self, first: usize, count: usize) -> bool {
        if first + count > self.volume.depth * self.tiles.len() {
            return false;
        }
        let ((slice, tile), last) = (self.at(first), self.at(first + count - 1));
        last == (slice, Tile { column: tile.column + count - 1, ..tile })
    }
}

struct InputStage<'a> {
    chunk: Chunk<'a>,
    channel: usize,
    lines: &'a mut Vec<f32>,
    out: &'a mut [f32],
}

impl WithSimd for InputStage<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { chunk, channel, lines, out } = self;
        let pitch = Slice::pitch(chunk.volume.width);
        lines.resize(SIDE * pitch, 0.0);
        let (out, stride) = (S::as_mut_simd_f32s(out).0, chunk.columns / S::F32_LANES);
        let count = chunk.volume.depth * chunk.tiles.len();
        let mut laid_out = None;
        for vector in 0..count.div_ceil(S::F32_LANES) {
            let first = vector * S::F32_LANES;
            let out = &mut out[vector..];
            let slice_of =
                |depth: usize, batch: usize| chunk.source.slice(chunk.volume, batch, channel, depth);
            if chunk.is_shuffled::<S>(first) {
                let (depth, Tile { batch, row, column }) = chunk.at(first);
                if laid_out != Some((depth, batch, row)) {
                    slice_of(depth, batch).lay_out::<Three>(row, 1, lines);
                    laid_out = Some((depth, batch, row));
                }
                let (_, columns) = chunk.volume.tiles();
                transform::<S, Three>(simd, lines, pitch, [column, columns, columns], out, stride);
            } else {
                let of = |lane: usize| {
                    (first + lane < count).then(|| {
                        let (depth, tile) = chunk.at(first + lane);
                        (slice_of(depth, tile.batch), tile.row, tile.column)
                    })
                };
                transform_any(simd, of, out, stride);
            }
        }
    }
}

struct OutputStage<'a> {
    chunk: Chunk<'a>,
    products: &'a [f32],
    finish: &'a Finish<'a>,
    batch: usize,
    channel: usize,
    out: &'a mut [f32],
}

impl WithSimd for OutputStage<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Chunk { layer, volume, tiles, columns, .. } = self.chunk;
        let size = self.out.len() / volume.depth;
        let (mut rows, mut other) = (Rows::new(), Rows::new());
        let stride = (layer.outputs * columns + MOST) / S::F32_LANES;
        let products = S::as_simd_f32s(self.products).0;
        let count = volume.depth * tiles.len();
        for vector in 0..count.div_ceil(S::F32_LANES) {
            let first = vector * S::F32_LANES;
            let end = count.min(first + S::F32_LANES);
            if !(first..end).any(|column| self.chunk.at(column).1.batch == self.batch) {
                continue;
            }
            let shuffled = self.chunk.is_shuffled::<S>(first);
            let of = |channel: usize| &products[channel * columns / S::F32_LANES + vector..];
            rows.set(simd, &Three::inverse(simd, of(self.channel), stride), shuffled);
            if self.finish.is_paired() {
                let beta = of(self.channel + layer.outputs / 2);
                other.set(simd, &Three::inverse(simd, beta, stride), shuffled);
            }
            let mut at = first;
            while at < end {
                let (depth, tile) = self.chunk.at(at);
                let mut count = 1;
                while at + count < end && self.chunk.is_row(at, count + 1) {
                    count += 1;
                }
                if tile.batch == self.batch {
                    let place = Place {
                        batch: self.batch,
                        channel: self.channel,
                        depth,
                        volume,
                        y: STEP * tile.row,
                        x: STEP * tile.column,
                        width: (STEP * count).min(volume.width - STEP * tile.column),
                        from: STEP * (at - first),
                        top: 0,
                    };
                    self.finish.write(
                        simd,
                        place,
                        rows.sums(),
                        other.sums(),
                        &mut self.out[depth * size..][..size],
                    );
                }
                at += count;
            }
        }
    }
}
