//! 3×3 convolution of a picture that stands for its nearest-neighbour enlargement, at the size before it.
//!
//! Within a row of equal pixels `x[i]` the three taps meet one pixel or two: with W the sum of the taps and `d[i]` = `x[i + 1]` − `x[i]`,
//! the first pixel of `x[i]` becomes W·`x[i]` − w₀·`d[i − 1]`, the last W·`x[i]` + w₂·`d[i]`, those between W·`x[i]`. Along both axes these
//! are nine products for each pixel before it was enlarged, 2.25 or 0.56 for each one after, and no transform but differences.
//! Owns a layer's weights; the order of every sum is decided by sizes alone.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::finish::{Finish, Sums};
use super::pieces::{Piece, pieces};
use super::scratch::{self, grow};
use super::tile::{BLOCK, packed, sums, wide};
use super::tiles::{Source, Volume};
use super::transform::STEP;
use crate::profile::timed;
use crate::simd::vectorised;

/// Products of a pixel: the first, all and the last of the taps along each axis.
const MAPS: usize = 9;
/// Pixels before enlargement that a band aims at: its sums and differences stay in the second-level cache.
const BAND: usize = 256;
/// Numbers of a cache line.
const LINE: usize = 16;

/// A layer's weights.
pub(super) struct Enlarged {
    outputs: usize,
    inputs: usize,
    /// Of each map `[block][input][output of the block]`.
    weights: [Vec<f32>; MAPS],
}

impl Enlarged {
    /// From weights \[output\]\[input\]\[3\]\[3\].
    pub(super) fn prepare(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        // What a map takes of the taps along one axis.
        const SHARES: [[f64; 3]; 3] = [[-1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]];
        let map = |map: usize| {
            packed(outputs, inputs, |output, input| {
                let taps = &weights[(output * inputs + input) * 9..][..9];
                let share = |tap: usize| SHARES[map / 3][tap / 3] * SHARES[map % 3][tap % 3];
                taps.iter().enumerate().map(|(tap, value)| share(tap) * f64::from(*value)).sum::<f64>() as f32
            })
        };
        Self { outputs, inputs, weights: std::array::from_fn(map) }
    }

    pub(super) fn bytes(&self) -> usize {
        self.weights.iter().map(|map| size_of_val(map.as_slice())).sum()
    }

    /// Convolves `source`, which is enlarged twice or more, and has `finish` write each plane of `out`.
    pub(super) fn run(&self, source: Source<'_>, volume: Volume, finish: &Finish<'_>, out: &mut [f32]) {
        let high = BAND.div_ceil(volume.width / source.factor + 2) * source.factor;
        let pieces = pieces(volume, high.next_multiple_of(STEP * source.factor), finish, self.outputs, out);
        pieces.into_par_iter().for_each(|piece| {
            timed!("conv3 enlarged");
            vectorised(Enlarging { layer: self, source, volume, finish, piece });
        });
    }
}

/// Some rows of one picture, all channels.
struct Enlarging<'a> {
    layer: &'a Enlarged,
    source: Source<'a>,
    volume: Volume,
    finish: &'a Finish<'a>,
    piece: Piece<'a>,
}

/// A band before it is enlarged.
#[derive(Clone, Copy)]
struct Size {
    rows: usize,
    width: usize,
    factor: usize,
    /// Values of a line: the pixel before the first and the one after the last too.
    pitch: usize,
    /// Values of an output's sums: whole tiles.
    count: usize,
}

impl WithSimd for Enlarging<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, source, volume, finish, mut piece } = self;
        if piece.out.is_empty() {
            return;
        }
        let factor = source.factor;
        let (rows, width) = (piece.rows / factor, volume.width / factor);
        let pitch = width + 2;
        let size = Size { rows, width, factor, pitch, count: (rows * pitch).next_multiple_of(wide::<S>()) };
        // A line above the band and one below, and what the last tile reads beyond.
        let stride = (size.count + 2 * pitch + 1).next_multiple_of(LINE);
        let all = layer.inputs * stride;
        let [mut lines, mut maps, mut large] = scratch::taken();
        grow(&mut lines, 4 * all);
        grow(&mut maps, MAPS * BLOCK * size.count);
        grow(&mut large, rows * factor * width * factor);
        let small = Source { factor: 1, ..source };
        let before = Volume { height: volume.height / factor, width, ..volume };
        let [plain, along, down, both] = quarters(&mut lines, all);
        for input in 0..layer.inputs {
            let slice = small.slice(before, piece.batch, input, piece.z);
            let of = input * stride..(input + 1) * stride;
            let plain = &mut plain[of.clone()];
            slice.lay_out_lines(piece.top / factor, rows + 2, pitch, plain);
            plain[(rows + 2) * pitch..].fill(0.0);
            let along = &mut along[of.clone()];
            differences(plain, 1, along);
            differences(plain, pitch, &mut down[of.clone()]);
            differences(along, pitch, &mut both[of]);
        }
        let inputs: [&[f32]; 4] = [plain, along, down, both];
        for block in 0..layer.outputs.div_ceil(BLOCK) {
            for (map, weights) in layer.weights.iter().enumerate() {
                let (y, x) = (map / 3, map % 3);
                let from = &inputs[usize::from(x != 1) + 2 * usize::from(y != 1)]
                    [usize::from(y > 0) * pitch + usize::from(x > 0)..];
                let weights = &weights[block * layer.inputs * BLOCK..][..layer.inputs * BLOCK];
                for first in (0..size.count).step_by(wide::<S>()) {
                    let out = &mut maps[map * BLOCK * size.count + first..];
                    sums(simd, weights.as_chunks::<BLOCK>().0, &from[first..], stride, out, size.count);
                }
            }
            for channel in block * BLOCK..layer.outputs.min((block + 1) * BLOCK) {
                enlarge(size, &maps[channel % BLOCK * size.count..], &mut large);
                let made = Sums { values: &large, pitch: width * factor };
                piece.write(simd, finish, volume, channel, [made, made]);
            }
        }
        scratch::keep([lines, maps, large]);
    }
}

#[inline(always)]
fn quarters(lines: &mut [f32], all: usize) -> [&mut [f32]; 4] {
    let (a, rest) = lines.split_at_mut(all);
    let (b, rest) = rest.split_at_mut(all);
    let (c, rest) = rest.split_at_mut(all);
    [a, b, c, &mut rest[..all]]
}

/// What the value so many places further has more; zero where there is none.
#[inline(always)]
fn differences(values: &[f32], apart: usize, out: &mut [f32]) {
    let (last, known) = (values.len() - apart, values);
    for ((out, value), further) in out.iter_mut().zip(known).zip(&values[apart..]) {
        *out = further - value;
    }
    out[last..].fill(0.0);
}

/// The enlarged sums of a channel, of its maps' sums from the beginning of `maps` on.
#[inline(always)]
fn enlarge(size: Size, maps: &[f32], out: &mut [f32]) {
    let Size { rows, width, factor, pitch, count } = size;
    let line = |map: usize, row: usize| &maps[map * BLOCK * count + row * pitch..][..width];
    for y in 0..rows * factor {
        let (row, place) = (y / factor, y % factor);
        let out = &mut out[y * width * factor..][..width * factor];
        let [first, all, last] = [line(3, row), line(4, row), line(5, row)];
        // Rows between the first and the last have nothing to add.
        let further = match place {
            0 => Some(0),
            _ if place + 1 == factor => Some(6),
            _ => None,
        };
        match (further, factor) {
            (None, 4) => spread4([first, all, last], None, out),
            (Some(map), 4) => spread4(
                [first, all, last],
                Some([line(map, row), line(map + 1, row), line(map + 2, row)]),
                out,
            ),
            (None, _) => spread([first, all, last], None, factor, out),
            (Some(map), _) => {
                let more = [line(map, row), line(map + 1, row), line(map + 2, row)];
                spread([first, all, last], Some(more), factor, out);
            }
        }
    }
}

#[inline(always)]
fn spread4([first, all, last]: [&[f32]; 3], more: Option<[&[f32]; 3]>, out: &mut [f32]) {
    let out = out.as_chunks_mut::<4>().0.iter_mut();
    let own = first.iter().zip(all).zip(last);
    match more {
        Some([a, b, c]) => {
            for ((out, ((first, all), last)), ((a, b), c)) in out.zip(own).zip(a.iter().zip(b).zip(c)) {
                let all = all + b;
                *out = [all + (first + a), all, all, all + (last + c)];
            }
        }
        None => {
            for (out, ((first, all), last)) in out.zip(own) {
                *out = [all + first, *all, *all, all + last];
            }
        }
    }
}

/// The same at any factor.
#[inline(always)]
fn spread([first, all, last]: [&[f32]; 3], more: Option<[&[f32]; 3]>, factor: usize, out: &mut [f32]) {
    for (x, out) in out.chunks_exact_mut(factor).enumerate() {
        let add = |map: usize| more.map_or(0.0, |more| more[map][x]);
        let all = all[x] + add(1);
        out.fill(all);
        out[0] = all + (first[x] + add(0));
        out[factor - 1] = all + (last[x] + add(2));
    }
}
