//! A convolution of three to twelve taps by nested transforms: 7/4, 35/16 or 42/16 products an output instead of as many as
//! it has taps.
//!
//! One thread carries a band of the output through all steps: it lays out and transforms the inputs, multiplies point by
//! point, and transforms back. The kernel is transformed anew at each call, into memory that all layers share: kept, the
//! points would take three to four times the weights' memory, and making them costs a few per cent of a sentence's
//! products. A dilated convolution is as many interleaved ones. Bands, and the order of every sum, are decided by sizes alone.

use std::cell::RefCell;
use std::marker::PhantomData;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::panel::PANEL;
use super::points::Kernel;
use super::prepare::Prepare;
use super::product::{GROUP, multiply};
use super::transform::{INNER, One, Pieces, STEP, Three, Two, forward, inverse};
use crate::profile::timed;
use crate::simd::{lanes, vectorised};

/// Groups of vectors a band holds at best: its products then outweigh that the kernel's points are read anew.
const GROUPS: usize = 1;
/// Most taps that three pieces have.
pub(super) const MOST_TAPS: usize = 3 * STEP;

/// Most values that a kernel has at its points: 16 MiB, half of what cores of a server share as their third-level cache.
const MOST_POINTS: usize = 1 << 22;
/// What laying out, transforming there and back and writing a sample of a channel takes beyond what any convolution does.
const AROUND: usize = 8;

thread_local! {
    /// The kernel at its points, for the thread that asks.
    static POINTS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    /// Line, tiles, transformed inputs, products and a channel's outputs of this thread's last band: fresh pages cost as
    /// much as filling them.
    static KEPT: RefCell<[Vec<f32>; 5]> = const { RefCell::new([const { Vec::new() }; 5]) };
}

/// Gives back what this thread and those of the pool keep; returns how many bytes that were.
pub(super) fn release_scratch() -> usize {
    let given = || {
        let kept = KEPT.take();
        let points = POINTS.take();
        kept.iter().chain([&points]).map(|part| part.capacity() * size_of::<f32>()).sum::<usize>()
    };
    given() + rayon::broadcast(|_| given()).into_iter().sum::<usize>()
}

/// Bytes that this thread and those of the pool keep at most after convolutions of so many channels, dilated so far, and
/// others of `widest` channels and few taps.
pub(super) fn most_scratch(widest: usize, channels: usize, dilation: usize) -> usize {
    let points = (Three::POINTS * widest * widest).min(MOST_POINTS);
    // Inputs and products of the widest band; lines and rows are a hundredth of them.
    let band = 2 * Three::POINTS * channels * (GROUPS * GROUP + 1).max(dilation) * lanes();
    size_of::<f32>() * (points + points / 16 + rayon::current_num_threads() * (band + band / 16))
}

/// What is convolved, and where it goes.
pub(super) struct Layer<'a> {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) taps: usize,
    pub(super) dilation: usize,
    pub(super) padding: usize,
    /// `[panel][input][tap][PANEL]`.
    pub(super) panels: &'a [f32],
    /// A bias for each row of each panel.
    pub(super) bias: &'a [[f32; PANEL]],
    /// `inputs` rows of `len`.
    pub(super) x: &'a [f32],
    pub(super) len: usize,
    pub(super) prepare: &'a Prepare,
    /// Whether outputs are added to what is there.
    pub(super) add: bool,
}

impl Layer<'_> {
    /// Whether this is faster than multiplying tap by tap; sizes alone decide. Counted in vector operations: what a product
    /// takes, what reading and making the points take, what the steps around them take, as they were measured.
    pub(super) fn pays(&self, out_len: usize) -> bool {
        match self.taps {
            3..=4 => self.pays_for::<One>(out_len),
            5..=8 => self.pays_for::<Two>(out_len),
            9..=MOST_TAPS => self.pays_for::<Three>(out_len),
            _ => false,
        }
    }

    fn pays_for<P: Pieces>(&self, out_len: usize) -> bool {
        let pairs = self.inputs * self.outputs.next_multiple_of(PANEL);
        let vectors = self.vectors::<P>(out_len);
        let around = AROUND * P::OUTPUTS * vectors * (self.inputs + self.outputs);
        let nested = P::POINTS * pairs * (vectors + 1) + around;
        P::POINTS * pairs <= MOST_POINTS && nested < self.taps * pairs * out_len.div_ceil(lanes())
    }

    /// Samples of a vector of tiles of each of the interleaved convolutions.
    fn span<P: Pieces>(&self) -> usize {
        self.dilation * P::OUTPUTS * lanes()
    }

    /// Vectors of tiles of `out_len` samples.
    fn vectors<P: Pieces>(&self, out_len: usize) -> usize {
        out_len.div_ceil(self.span::<P>()) * self.dilation
    }

    /// Writes `outputs` rows of `out_len`.
    pub(super) fn run(&self, out: &mut [f32], out_len: usize) {
        match self.taps.div_ceil(STEP) {
            1 => self.of::<One>(out, out_len),
            2 => self.of::<Two>(out, out_len),
            _ => self.of::<Three>(out, out_len),
        }
    }

    /// Values between two points of a panel of the kernel: a cache line more than are used, so that the points do not share
    /// the same few places of a cache.
    fn pitch(&self) -> usize {
        (self.inputs * PANEL).next_multiple_of(16) + 16
    }

    fn of<P: Pieces>(&self, out: &mut [f32], out_len: usize) {
        let mut points = POINTS.take();
        let size = P::POINTS * self.pitch();
        let panels = self.outputs.div_ceil(PANEL);
        grow(&mut points, panels * size);
        let sources = self.panels.par_chunks_exact(self.inputs * self.taps * PANEL);
        points.par_chunks_exact_mut(size).zip(sources).for_each(|(into, taps)| {
            timed!("conv1d kernel");
            let (count, pitch) = (self.taps, self.pitch());
            vectorised(Kernel::<P> { count, pitch, taps, into, pieces: PhantomData });
        });
        let (threads, all) = (rayon::current_num_threads(), self.vectors::<P>(out_len) / self.dilation);
        // As many bands for every thread, as far as there are enough.
        let wanted = (all * self.dilation).div_ceil(GROUPS * GROUP).next_multiple_of(threads);
        let bands = wanted.min(all);
        // With fewer bands than threads some panels each: the inputs are then laid out more than once.
        let parts = threads.div_ceil(bands).min(panels);
        let share = panels.div_ceil(parts);
        let groups = |band: usize| all * band / bands;
        let mut tasks: Vec<Band<'_, P>> = (0..bands * parts)
            .map(|place| Band {
                layer: self,
                points: &points,
                at: groups(place / parts) * self.span::<P>(),
                groups: groups(place / parts + 1) - groups(place / parts),
                first: place % parts * share,
                out: Vec::with_capacity(share * PANEL),
                pieces: PhantomData,
            })
            .collect();
        for (channel, mut row) in out.chunks_exact_mut(out_len).enumerate() {
            let part = channel / (share * PANEL);
            for task in tasks.iter_mut().skip(part).step_by(parts) {
                let (here, rest) = row.split_at_mut((task.groups * self.span::<P>()).min(row.len()));
                task.out.push(here);
                row = rest;
            }
        }
        tasks.into_par_iter().for_each(|band| {
            timed!("conv1d band");
            vectorised(band);
        });
        POINTS.set(points);
    }
}

/// The vector from `from` on.
#[inline(always)]
pub(super) fn load<S: Simd>(values: &[f32], from: usize) -> S::f32s {
    S::as_simd_f32s(&values[from..from + S::F32_LANES]).0[0]
}

fn grow(scratch: &mut Vec<f32>, count: usize) {
    if scratch.len() < count {
        scratch.resize(count, 0.0);
    }
}

/// Some samples of some outputs.
struct Band<'a, P> {
    layer: &'a Layer<'a>,
    /// `[panel][point][input][PANEL]`.
    points: &'a [f32],
    /// The first sample.
    at: usize,
    /// Vectors of tiles in each of the interleaved convolutions.
    groups: usize,
    /// The first panel.
    first: usize,
    /// Each output's samples, from the first panel's first one on.
    out: Vec<&'a mut [f32]>,
    pieces: PhantomData<P>,
}

/// How a band's numbers lie.
#[derive(Clone, Copy)]
struct Sizes {
    /// Tiles of each interleaved convolution.
    tiles: usize,
    /// Distance of the rows that hold every `OUTPUTS`th sample: one tile more than are computed, since a tile sees of the next.
    row: usize,
    /// Vectors of tiles in all.
    vectors: usize,
    /// Values between two points' inputs, and between two points' products.
    inputs: usize,
    products: usize,
}

impl<P: Pieces> WithSimd for Band<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if self.out.is_empty() {
            return;
        }
        let layer = self.layer;
        let (lanes, panels) = (S::F32_LANES, self.out.len().div_ceil(PANEL));
        let (tiles, vectors) = (self.groups * S::F32_LANES, self.groups * layer.dilation);
        let sizes = Sizes {
            tiles,
            row: tiles + 1,
            vectors,
            inputs: layer.inputs * vectors * lanes + 16,
            products: panels * PANEL * vectors * lanes + 16,
        };
        let [mut line, mut rows, mut inputs, mut products, mut side] = KEPT.take();
        grow(&mut line, layer.dilation * P::OUTPUTS * sizes.row);
        grow(&mut rows, layer.dilation * P::OUTPUTS * sizes.row);
        grow(&mut inputs, P::POINTS * sizes.inputs);
        grow(&mut products, P::POINTS * sizes.products);
        grow(&mut side, layer.dilation * P::OUTPUTS * sizes.tiles);
        for channel in 0..layer.inputs {
            self.lay_out(channel, sizes, &mut line, &mut rows);
            self.transform(simd, channel, sizes, &rows, &mut inputs);
        }
        for point in 0..P::POINTS {
            let inputs = &inputs[point * sizes.inputs..];
            let products = &mut products[point * sizes.products..][..panels * PANEL * vectors * lanes];
            let size = PANEL * vectors * lanes;
            for (panel, products) in products.chunks_exact_mut(size).enumerate() {
                let place = (self.first + panel) * P::POINTS + point;
                let weights = &self.points[place * layer.pitch()..][..layer.inputs * PANEL];
                multiply(simd, weights.as_chunks::<PANEL>().0, inputs, vectors, products);
            }
        }
        for channel in 0..self.out.len() {
            self.transform_back(simd, channel, sizes, &products, &mut side);
            self.write(channel, sizes, &side);
        }
        KEPT.set([line, rows, inputs, products, side]);
    }
}

impl<P: Pieces> Band<'_, P> {
    /// A channel's samples as rows of every `OUTPUTS`th of each of the interleaved signals.
    #[inline(always)]
    fn lay_out(&self, channel: usize, sizes: Sizes, line: &mut [f32], rows: &mut [f32]) {
        let layer = self.layer;
        let line = &mut line[..layer.dilation * P::OUTPUTS * sizes.row];
        let source = &layer.x[channel * layer.len..][..layer.len];
        // Position p holds sample at + p − padding; outside the signal lies silence.
        let needed = layer.dilation * (P::OUTPUTS * sizes.tiles + MOST_TAPS);
        let first = layer.padding.saturating_sub(self.at).min(line.len());
        let begin = (self.at + first).saturating_sub(layer.padding).min(layer.len);
        let end = (self.at + line.len().min(needed)).saturating_sub(layer.padding).clamp(begin, layer.len);
        let filled = first + end - begin;
        line[..first].fill(0.0);
        layer.prepare.row(channel, &source[begin..end], &mut line[first..filled]);
        line[filled..].fill(0.0);
        for (place, row) in rows.chunks_exact_mut(sizes.row).enumerate().take(layer.dilation * P::OUTPUTS) {
            let samples = line[place..].iter().step_by(layer.dilation * P::OUTPUTS);
            row.iter_mut().zip(samples).for_each(|(to, from)| *to = *from);
        }
    }

    /// A channel's tiles to their points: `[point][group][input][vector of the group]`.
    #[inline(always)]
    fn transform<S: Simd>(&self, simd: S, channel: usize, sizes: Sizes, rows: &[f32], inputs: &mut [f32]) {
        let layer = self.layer;
        for vector in 0..sizes.vectors {
            let (phase, tile) = (vector % layer.dilation, vector / layer.dilation * S::F32_LANES);
            let zero = simd.splat_f32s(0.0);
            let mut points = [[zero; 6]; INNER];
            for place in 0..P::INPUTS {
                let mut values = [zero; INNER];
                for (i, value) in values.iter_mut().enumerate() {
                    // Sample s of a tile is every `OUTPUTS`th from s on, or of the next tile.
                    let sample = place * STEP + i;
                    let row = (sample % P::OUTPUTS * layer.dilation + phase) * sizes.row;
                    *value = load::<S>(rows, row + tile + sample / P::OUTPUTS);
                }
                for (points, value) in points.iter_mut().zip(forward(simd, values)) {
                    points[place] = value;
                }
            }
            let group = vector / GROUP;
            let wide = GROUP.min(sizes.vectors - group * GROUP);
            let start = (group * GROUP * layer.inputs + channel * wide + vector % GROUP) * S::F32_LANES;
            for (inner, values) in points.into_iter().enumerate() {
                for (outer, value) in P::forward(simd, values).into_iter().enumerate().take(P::OUTER) {
                    let start = start + (outer * INNER + inner) * sizes.inputs;
                    S::as_mut_simd_f32s(&mut inputs[start..start + S::F32_LANES]).0[0] = value;
                }
            }
        }
    }

    /// An output's products to its samples, in rows as [`lay_out`](Self::lay_out) has them.
    #[inline(always)]
    fn transform_back<S: Simd>(
        &self,
        simd: S,
        channel: usize,
        sizes: Sizes,
        products: &[f32],
        side: &mut [f32],
    ) {
        let layer = self.layer;
        let bias = simd.splat_f32s(layer.bias[self.first + channel / PANEL][channel % PANEL]);
        for vector in 0..sizes.vectors {
            let (phase, tile) = (vector % layer.dilation, vector / layer.dilation * S::F32_LANES);
            let from = (channel * sizes.vectors + vector) * S::F32_LANES;
            let zero = simd.splat_f32s(0.0);
            let mut tiles = [[zero; INNER]; STEP];
            for inner in 0..INNER {
                let mut values = [zero; 6];
                for (outer, value) in values.iter_mut().enumerate().take(P::OUTER) {
                    *value = load::<S>(products, (outer * INNER + inner) * sizes.products + from);
                }
                for (tile, value) in tiles.iter_mut().zip(P::inverse(simd, values)) {
                    tile[inner] = value;
                }
            }
            for (place, values) in tiles.into_iter().enumerate().take(P::TILES) {
                for (i, value) in inverse(simd, values).into_iter().enumerate() {
                    let row = ((place * STEP + i) * layer.dilation + phase) * sizes.tiles;
                    let value = simd.add_f32s(value, bias);
                    S::as_mut_simd_f32s(&mut side[row + tile..][..S::F32_LANES]).0[0] = value;
                }
            }
        }
    }

    #[inline(always)]
    fn write(&mut self, channel: usize, sizes: Sizes, side: &[f32]) {
        let layer = self.layer;
        let out = &mut *self.out[channel];
        for (tile, out) in out.chunks_mut(layer.dilation * P::OUTPUTS).enumerate() {
            let values = side[tile..].iter().step_by(sizes.tiles);
            if layer.add {
                out.iter_mut().zip(values).for_each(|(out, value)| *out += value);
            } else {
                out.iter_mut().zip(values).for_each(|(out, value)| *out = *value);
            }
        }
    }
}
