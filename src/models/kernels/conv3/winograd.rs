//! Convolution by a kernel of 3×3, or of some slices of 3×3 each, as 36 matrix products (Winograd).
//!
//! Owns the transformed weights, the order of the work and its scratch memory. Tiles go in chunks that bound the scratch;
//! within a chunk each stage runs on all threads: inputs by channel, products by point, outputs by plane. Every number
//! is made by one task in an order that sizes alone decide, so results do not depend on the number of threads.

use std::cell::RefCell;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::super::matrix::{Matrix, ShapeError, Target, Threads, product};
use super::finish::{Finish, Plane, Rows};
use super::transform::{POINTS, SIDE, STEP, input, kernel, output};
use crate::simd::vectorised;

/// Most tiles that are transformed side by side: one vector of AVX-512.
const GROUP: usize = 16;
/// Numbers of scratch that a chunk aims at: 32 MB, so that products have wide right sides and most of it stays in
/// the shared cache.
const SCRATCH: usize = 8 << 20;

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

/// Where the inputs lie: some channels of `[batch, total, depth, height / factor, width / factor]`.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) data: &'a [f32],
    /// Channels of the tensor.
    pub(super) total: usize,
    /// The first one to take.
    pub(super) first: usize,
    /// Every pixel stands for `factor` × `factor` of the input.
    pub(super) factor: usize,
}

/// Size of input and output alike.
#[derive(Clone, Copy)]
pub(super) struct Volume {
    pub(super) batch: usize,
    pub(super) depth: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// A layer's weights, transformed.
pub(super) struct Winograd {
    outputs: usize,
    inputs: usize,
    taps: usize,
    /// [point][slice of the kernel][output][input].
    weights: Vec<f32>,
}

/// Up to [`GROUP`] neighbouring tiles of one row of tiles.
#[derive(Clone, Copy)]
struct Group {
    batch: usize,
    row: usize,
    column: usize,
    tiles: usize,
    /// Its first column in the chunk's matrices.
    at: usize,
}

impl Winograd {
    /// From weights \[output\]\[input\]\[slice\]\[3\]\[3\].
    pub(super) fn prepare(weights: &[f32], outputs: usize, inputs: usize, taps: usize) -> Self {
        let mut transformed = vec![0.0; POINTS * taps * outputs * inputs];
        for (place, kernel_taps) in weights.chunks_exact(9).enumerate() {
            let (pair, slice) = (place / taps, place % taps);
            for (point, value) in kernel(kernel_taps).into_iter().enumerate() {
                transformed[(point * taps + slice) * outputs * inputs + pair] = value;
            }
        }
        Self { outputs, inputs, taps, weights: transformed }
    }

    pub(super) fn bytes(&self) -> usize {
        self.weights.len() * size_of::<f32>()
    }

    /// Convolves `source` and has `finish` write each plane of `out`.
    pub(super) fn run(
        &self,
        source: Source<'_>,
        volume: Volume,
        finish: &Finish<'_>,
        out: &mut [f32],
    ) -> Result<(), ShapeError> {
        let padded = volume.depth + self.taps - 1;
        let per_tile = POINTS * (self.inputs * padded + self.outputs * volume.depth);
        let limit = (SCRATCH / per_tile.max(1)).max(1);
        let [mut inputs, mut products] = SCRATCH_KEPT.with(|kept| std::mem::take(&mut *kept.borrow_mut()));
        for (groups, tiles) in chunks(volume, limit) {
            inputs.resize(inputs.len().max(self.inputs * POINTS * padded * tiles), 0.0);
            products.resize(products.len().max(POINTS * self.outputs * volume.depth * tiles), 0.0);
            let chunk = Chunk { layer: self, source, volume, padded, groups: &groups, tiles };
            let inputs = &mut inputs[..self.inputs * POINTS * padded * tiles];
            let products = &mut products[..POINTS * self.outputs * volume.depth * tiles];
            chunk.transform_inputs(inputs);
            chunk.multiply(inputs, products)?;
            chunk.transform_outputs(products, finish, out);
        }
        SCRATCH_KEPT.with(|kept| *kept.borrow_mut() = [inputs, products]);
        Ok(())
    }
}

/// The groups of each chunk with its number of tiles: as many whole groups as stay within `limit` tiles, at least one.
fn chunks(volume: Volume, limit: usize) -> Vec<(Vec<Group>, usize)> {
    let (rows, columns) = (volume.height.div_ceil(STEP), volume.width.div_ceil(STEP));
    let mut chunks: Vec<(Vec<Group>, usize)> = Vec::new();
    for batch in 0..volume.batch {
        for row in 0..rows {
            for column in (0..columns).step_by(GROUP) {
                let tiles = GROUP.min(columns - column);
                match chunks.last_mut() {
                    Some((groups, filled)) if *filled + tiles <= limit => {
                        groups.push(Group { batch, row, column, tiles, at: *filled });
                        *filled += tiles;
                    }
                    _ => chunks.push((vec![Group { batch, row, column, tiles, at: 0 }], tiles)),
                }
            }
        }
    }
    chunks
}

struct Chunk<'a> {
    layer: &'a Winograd,
    source: Source<'a>,
    volume: Volume,
    padded: usize,
    groups: &'a [Group],
    tiles: usize,
}

impl Chunk<'_> {
    /// Fills \[channel\]\[point\]\[padded depth\]\[tile\].
    fn transform_inputs(&self, inputs: &mut [f32]) {
        let plane = self.padded * self.tiles;
        inputs.par_chunks_mut(POINTS * plane).enumerate().for_each(|(channel, out)| {
            vectorised(InputStage { chunk: self, channel, out });
        });
    }

    /// [point][output][depth, tile] = Σ over slices and channels.
    fn multiply(&self, inputs: &[f32], products: &mut [f32]) -> Result<(), ShapeError> {
        let Winograd { outputs, inputs: channels, taps, weights } = self.layer;
        let (plane, columns) = (self.padded * self.tiles, self.volume.depth * self.tiles);
        products.par_chunks_mut(outputs * columns).enumerate().try_for_each(|(point, out)| {
            for slice in 0..*taps {
                let size = outputs * channels;
                let weights = &weights[(point * taps + slice) * size..][..size];
                let a = Matrix::dense(weights, *outputs, *channels)?;
                let start = point * plane + slice * self.tiles;
                let b = Matrix::new(&inputs[start..], (*channels, columns), POINTS * plane)?;
                let target = if slice == 0 { Target::over(out, columns) } else { Target::onto(out, columns) };
                product(target, 1.0, a, b, Threads::One)?;
            }
            Ok(())
        })
    }

    fn transform_outputs(&self, products: &[f32], finish: &Finish<'_>, out: &mut [f32]) {
        let Volume { depth, height, width, .. } = self.volume;
        let channels = finish.channels(self.layer.outputs);
        let size = depth * finish.plane(height, width);
        out.par_chunks_mut(size).enumerate().for_each(|(plane, out)| {
            let (batch, channel) = (plane / channels, plane % channels);
            if self.groups.iter().any(|group| group.batch == batch) {
                vectorised(OutputStage { chunk: self, products, finish, batch, channel, out });
            }
        });
    }
}

struct InputStage<'a> {
    chunk: &'a Chunk<'a>,
    channel: usize,
    out: &'a mut [f32],
}

impl WithSimd for InputStage<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Chunk { layer, source, volume, padded, groups, tiles } = *self.chunk;
        let margin = layer.taps / 2;
        let (height, width) = (volume.height / source.factor, volume.width / source.factor);
        let mut row = [0.0f32; STEP * GROUP + 2];
        let mut columns = [[0.0f32; GROUP]; POINTS];
        for slot in 0..padded {
            if slot < margin || slot >= margin + volume.depth {
                for point in 0..POINTS {
                    self.out[(point * padded + slot) * tiles..][..tiles].fill(0.0);
                }
                continue;
            }
            for group in groups {
                let channel = group.batch * source.total + source.first + self.channel;
                let start = (channel * volume.depth + slot - margin) * height * width;
                let plane = &source.data[start..start + height * width];
                for i in 0..SIDE {
                    let y = (STEP * group.row + i).wrapping_sub(1);
                    if y < volume.height {
                        let line = &plane[y / source.factor * width..][..width];
                        load_row(&mut row, line, source.factor, volume.width, STEP * group.column);
                    } else {
                        row.fill(0.0);
                    }
                    for j in 0..SIDE {
                        for (tile, value) in columns[i * SIDE + j].iter_mut().enumerate() {
                            *value = row[STEP * tile + j];
                        }
                    }
                }
                for at in (0..group.tiles).step_by(S::F32_LANES) {
                    let count = S::F32_LANES.min(group.tiles - at);
                    for j in 0..SIDE {
                        let d = std::array::from_fn(|i| {
                            simd.partial_load_f32s(&columns[i * SIDE + j][at..at + count])
                        });
                        for (i, value) in input(simd, d).into_iter().enumerate() {
                            simd.partial_store_f32s(&mut columns[i * SIDE + j][at..at + count], value);
                        }
                    }
                    for i in 0..SIDE {
                        let d = std::array::from_fn(|j| {
                            simd.partial_load_f32s(&columns[i * SIDE + j][at..at + count])
                        });
                        for (j, value) in input(simd, d).into_iter().enumerate() {
                            let start = ((i * SIDE + j) * padded + slot) * tiles + group.at + at;
                            simd.partial_store_f32s(&mut self.out[start..start + count], value);
                        }
                    }
                }
            }
        }
    }
}

/// Inputs of one row from column `start` − 1 on, zero outside.
#[inline(always)]
fn load_row(row: &mut [f32; STEP * GROUP + 2], line: &[f32], factor: usize, width: usize, start: usize) {
    row[0] = if start == 0 { 0.0 } else { line[(start - 1) / factor] };
    let count = (width - start).min(STEP * GROUP + 1);
    let inner = &mut row[1..];
    if factor == 1 {
        inner[..count].copy_from_slice(&line[start..start + count]);
    } else {
        for (x, value) in inner[..count].iter_mut().enumerate() {
            *value = line[(start + x) / factor];
        }
    }
    inner[count..].fill(0.0);
}

struct OutputStage<'a> {
    chunk: &'a Chunk<'a>,
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
        let Chunk { layer, volume, groups, .. } = *self.chunk;
        let size = self.out.len() / volume.depth;
        let second = self.finish.second(self.channel, layer.outputs);
        let (mut rows, mut other) = (Rows::new(), Rows::new());
        for group in groups.iter().filter(|group| group.batch == self.batch) {
            for depth in 0..volume.depth {
                self.tiles(simd, group, depth, self.channel, &mut rows);
                if let Some(second) = second {
                    self.tiles(simd, group, depth, second, &mut other);
                }
                let plane = Plane {
                    batch: self.batch,
                    channel: self.channel,
                    depth,
                    volume,
                    y: STEP * group.row,
                    x: STEP * group.column,
                    width: (STEP * group.tiles).min(volume.width - STEP * group.column),
                };
                self.finish.write(plane, &mut rows, &other, &mut self.out[depth * size..][..size]);
            }
        }
    }
}

impl OutputStage<'_> {
    /// The 4 rows of one group of tiles, of one output channel.
    #[inline(always)]
    fn tiles<S: Simd>(&self, simd: S, group: &Group, depth: usize, channel: usize, rows: &mut Rows) {
        let Chunk { layer, volume, tiles, .. } = *self.chunk;
        let columns = volume.depth * tiles;
        let start = channel * columns + depth * tiles + group.at;
        let stride = layer.outputs * columns;
        let mut half = [[0.0f32; GROUP]; STEP * SIDE];
        let mut done = [[0.0f32; GROUP]; STEP * STEP];
        for at in (0..group.tiles).step_by(S::F32_LANES) {
            let count = S::F32_LANES.min(group.tiles - at);
            for j in 0..SIDE {
                let m = std::array::from_fn(|i| {
                    simd.partial_load_f32s(&self.products[(i * SIDE + j) * stride + start + at..][..count])
                });
                for (i, value) in output(simd, m).into_iter().enumerate() {
                    simd.partial_store_f32s(&mut half[i * SIDE + j][at..at + count], value);
                }
            }
            for i in 0..STEP {
                let m = std::array::from_fn(|j| simd.partial_load_f32s(&half[i * SIDE + j][at..at + count]));
                for (j, value) in output(simd, m).into_iter().enumerate() {
                    simd.partial_store_f32s(&mut done[i * STEP + j][at..at + count], value);
                }
            }
        }
        for i in 0..STEP {
            for j in 0..STEP {
                for (tile, value) in done[i * STEP + j].iter().enumerate() {
                    rows.0[i][STEP * tile + j] = *value;
                }
            }
        }
    }
}
