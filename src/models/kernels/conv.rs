//! Convolution by a kernel of any odd size, stride one, zero padding, of pictures and volumes: 1×1, 7×7 and 7×7×7 here.
//!
//! Owns the choice between the fused forms and stock operations. 1×1 is a product of pixels, and square kernels above 3×3
//! with some outputs are sums of 4×4 ones (`conv3/wide.rs`). Of the rest inputs are never laid out per tap: columns of the kernel become outputs of their
//! own, rows and slices become shifts of whole rows, so every matrix product reads the input where it lies.

use candle_core::{Result, Tensor, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::activation::{Activation, leaky};
use super::buffers::taken;
use super::conv3::{Wide, scratch};
use super::form::Kernels;
use super::host::{values, with_values};
use super::matrix::{Matrix, ShapeError, Target, Threads, product};
use super::stencil::Stencil;
use crate::profile::timed;
use crate::simd::vectorised;

/// Below so many outputs per kernel row a product is too thin to be fast, and rows of the kernel become outputs too.
const THIN: usize = 64;
/// Pixels that one task of the fused form works on: its partial sums stay in the second-level cache.
const SLAB: usize = 4096;

/// A layer: weights `[outputs, inputs, (depth,) height, width]` and a bias.
pub(crate) struct Conv {
    outputs: usize,
    inputs: usize,
    kernel: [usize; 3],
    volumes: bool,
    form: Form,
}

enum Form {
    Wide(Wide),
    Fused(Fused),
    Picture { weight: Tensor, bias: Tensor },
    Volume(Stencil),
    Listed,
}

struct Fused {
    /// Shifts in (z, y) that are products of their own, none first, each with its `[folded · outputs, inputs]`.
    products: Vec<([isize; 2], Vec<f32>)>,
    /// Shifts in (y, x) that are outputs of their own, none first.
    folded: Vec<[isize; 2]>,
    bias: Vec<f32>,
}

/// Size of input and output.
#[derive(Clone, Copy)]
struct Size {
    batch: usize,
    depth: usize,
    height: usize,
    width: usize,
}

impl Conv {
    /// From `weight` of rank 4 (pictures) or 5 (volumes) with odd kernel sides, and `bias` `[outputs]`.
    pub(crate) fn new(weight: &Tensor, bias: &Tensor, kernels: Kernels) -> Result<Self> {
        let (outputs, inputs, kernel) = match *weight.dims() {
            [outputs, inputs, height, width] => (outputs, inputs, [1, height, width]),
            [outputs, inputs, depth, height, width] => (outputs, inputs, [depth, height, width]),
            _ => bail!("a convolution's weight has 4 or 5 sides, not {:?}", weight.dims()),
        };
        if kernel.iter().any(|side| side % 2 == 0) || bias.dims() != [outputs] {
            bail!("a kernel of {kernel:?} with biases {:?} keeps no size", bias.dims());
        }
        let volumes = weight.rank() == 5;
        let form = match kernels {
            Kernels::Listed => Form::Listed,
            Kernels::Fused => {
                let (weight, bias) = (values(weight)?, values(bias)?);
                match Wide::new(&weight, &bias, inputs, kernel) {
                    Some(wide) => Form::Wide(wide),
                    None => Form::Fused(Fused::new(&weight, bias, inputs, kernel)),
                }
            }
            Kernels::Stock(dtype) if !volumes => {
                if kernel[1] != kernel[2] {
                    bail!(
                        "stock convolutions pad both sides alike, a kernel of {kernel:?} needs two paddings"
                    );
                }
                let bias = bias.to_dtype(dtype)?.reshape((1, outputs, 1, 1))?;
                Form::Picture { weight: weight.to_dtype(dtype)?, bias }
            }
            Kernels::Stock(dtype) => Form::Volume(Stencil::new(weight, bias, dtype)?),
        };
        Ok(Self { outputs, inputs, kernel, volumes, form })
    }

    /// Bytes that its weights hold.
    pub(crate) fn bytes(&self) -> usize {
        let weights = self.outputs * (self.inputs * self.kernel.iter().product::<usize>() + 1);
        match &self.form {
            Form::Wide(wide) => wide.bytes(),
            Form::Fused(_) => weights * size_of::<f32>(),
            Form::Picture { weight, .. } => weights * weight.dtype().size_in_bytes(),
            Form::Volume(stencil) => stencil.bytes(),
            Form::Listed => 0,
        }
    }

    /// `[batch, inputs, (depth,) height, width]` to `[batch, outputs, …]`, activated.
    pub(crate) fn forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        timed!("convolution", x = x.dims(), outputs = self.outputs, kernel = self.kernel);
        let mut dims = x.dims().to_vec();
        if dims.len() != if self.volumes { 5 } else { 4 } || dims[1] != self.inputs {
            bail!("a convolution of {} channels was given {dims:?}", self.inputs);
        }
        let depth = if self.volumes { dims[2] } else { 1 };
        let [.., height, width] = dims[..] else { bail!("{dims:?} is no picture") };
        let size = Size { batch: dims[0], depth, height, width };
        dims[1] = self.outputs;
        match &self.form {
            Form::Wide(wide) => {
                let mut out = taken(dims.iter().product());
                if !out.is_empty() {
                    let sides = [size.batch, depth, height, width];
                    with_values(x, |x| wide.run(x, sides, activation, &mut out))?;
                }
                out.into_tensor(dims)
            }
            Form::Fused(fused) => {
                let (slope, mut out) = (activation.negative_slope()?, taken(dims.iter().product()));
                if !out.is_empty() {
                    with_values(x, |x| match self.kernel {
                        [1, 1, 1] => Ok(self.pointwise(fused, x, size, slope, &mut out)?),
                        _ => Ok(self.shifted(fused, x, size, slope, &mut out)?),
                    })?;
                }
                out.into_tensor(dims)
            }
            Form::Picture { weight, bias } => {
                activation.forward(&x.conv2d(weight, self.kernel[1] / 2, 1, 1, 1)?.broadcast_add(bias)?)
            }
            Form::Volume(stencil) => activation.forward(&stencil.forward(x)?),
            Form::Listed => bail!("weights that were only listed cannot be used"),
        }
    }

    /// 1×1: one product of all pixels, then bias and activation.
    fn pointwise(
        &self,
        fused: &Fused,
        x: &[f32],
        size: Size,
        slope: f32,
        out: &mut [f32],
    ) -> std::result::Result<(), ShapeError> {
        let plane = size.depth * size.height * size.width;
        let weights = Matrix::dense(&fused.products[0].1, self.outputs, self.inputs)?;
        for (x, out) in x.chunks(self.inputs * plane).zip(out.chunks_mut(self.outputs * plane)) {
            let x = Matrix::dense(x, self.inputs, plane)?;
            product(Target::over(out, plane), 1.0, weights, x, Threads::All)?;
        }
        out.par_chunks_mut(plane).enumerate().for_each(|(channel, out)| {
            vectorised(AddBias { out, bias: fused.bias[channel % self.outputs], slope });
        });
        Ok(())
    }

    /// The sums of a kernel wider than one, with bias and activation.
    fn shifted(
        &self,
        fused: &Fused,
        x: &[f32],
        size: Size,
        slope: f32,
        out: &mut [f32],
    ) -> std::result::Result<(), ShapeError> {
        let Size { batch, depth, height, width } = size;
        // Folded rows need each other's sums: then a task takes a whole plane.
        let alone = fused.folded.iter().all(|[y, _]| *y == 0);
        let rows = if alone { (SLAB / width).clamp(1, height) } else { height };
        let count = height.div_ceil(rows);
        let mut tasks: Vec<Slab<'_>> = (0..batch * depth * count)
            .map(|place| {
                let (slice, first) = (place / count, place % count * rows);
                Slab {
                    layer: self,
                    fused,
                    x,
                    size,
                    slope,
                    slice: [slice / depth, slice % depth],
                    first,
                    rows: rows.min(height - first),
                    out: Vec::with_capacity(self.outputs),
                }
            })
            .collect();
        for (place, plane) in out.chunks_mut(height * width).enumerate() {
            let slice = place / depth / self.outputs * depth + place % depth;
            for (part, out) in plane.chunks_mut(rows * width).enumerate() {
                tasks[slice * count + part].out.push(out);
            }
        }
        tasks.into_par_iter().try_for_each(Slab::run)
    }
}

/// Some rows of one slice, all outputs.
struct Slab<'a> {
    layer: &'a Conv,
    fused: &'a Fused,
    x: &'a [f32],
    size: Size,
    slope: f32,
    /// Which picture, and which slice of it.
    slice: [usize; 2],
    first: usize,
    rows: usize,
    /// Each output's part of the result.
    out: Vec<&'a mut [f32]>,
}

impl Slab<'_> {
    fn run(self) -> std::result::Result<(), ShapeError> {
        timed!("convolution slab");
        let (Size { depth, height, width, .. }, inputs) = (self.size, self.layer.inputs);
        let (plane, columns) = (height * width, self.rows * width);
        let stacked = self.fused.folded.len() * self.layer.outputs;
        let mut scratch = scratch::taken();
        let [_, _, sums] = &mut scratch;
        scratch::grow(sums, stacked * columns);
        // The shift by nothing comes first; it meets every pixel and overwrites.
        for ([dz, dy], weights) in &self.fused.products {
            let [b, z] = self.slice;
            let Some(slice) = z.checked_add_signed(*dz).filter(|slice| *slice < depth) else { continue };
            let Some((from, to, count)) = overlap(self.first, self.rows, *dy, height) else { continue };
            let start = (b * inputs * depth + slice) * plane + from * width;
            let view = Matrix::new(&self.x[start..], (inputs, count * width), depth * plane)?;
            let weights = Matrix::dense(weights, stacked, inputs)?;
            let target = match [*dz, *dy] {
                [0, 0] => Target::over(&mut sums[to * width..], columns),
                _ => Target::onto(&mut sums[to * width..], columns),
            };
            product(target, 1.0, weights, view, Threads::One)?;
        }
        let Self { fused, rows, slope, out, .. } = self;
        vectorised(SumShifted { fused, slope, rows, width, sums, out });
        scratch::keep(scratch);
        Ok(())
    }
}

/// Of `count` places from `start` on, those whose shift by `by` lies in 0..`limit`: (first source, first place, how many).
fn overlap(start: usize, count: usize, by: isize, limit: usize) -> Option<(usize, usize, usize)> {
    let first = (start as isize + by).max(0);
    let last = ((start + count) as isize + by).min(limit as isize);
    (first < last).then(|| (first as usize, (first - by) as usize - start, (last - first) as usize))
}

impl Fused {
    fn new(weight: &[f32], bias: Vec<f32>, inputs: usize, [depth, height, width]: [usize; 3]) -> Self {
        let outputs = bias.len();
        // Nothing first.
        let shifts = |side: usize| {
            let middle = (side / 2) as isize;
            std::iter::once(0).chain((-middle..=middle).filter(|shift| *shift != 0))
        };
        let tap = |shift: isize, side: usize| (side / 2).wrapping_add_signed(shift);
        let thin = depth == 1 && outputs * width < THIN;
        let (rows, folded_rows) = if thin { (1, height) } else { (height, 1) };
        let folded = shifts(folded_rows).flat_map(|y| shifts(width).map(move |x| [y, x])).collect::<Vec<_>>();
        let mut products = Vec::new();
        for dz in shifts(depth) {
            for dy in shifts(rows) {
                let mut matrix = Vec::with_capacity(folded.len() * outputs * inputs);
                for [y, x] in &folded {
                    let (row, column) = (tap(if thin { *y } else { dy }, height), tap(*x, width));
                    for pair in 0..outputs * inputs {
                        matrix
                            .push(weight[((pair * depth + tap(dz, depth)) * height + row) * width + column]);
                    }
                }
                products.push(([dz, dy], matrix));
            }
        }
        Self { products, folded, bias }
    }
}

struct SumShifted<'a> {
    fused: &'a Fused,
    slope: f32,
    rows: usize,
    width: usize,
    sums: &'a [f32],
    out: Vec<&'a mut [f32]>,
}

impl WithSimd for SumShifted<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { fused, slope, rows, width, sums, out } = self;
        let (columns, outputs) = (rows * width, out.len());
        for (channel, out) in out.into_iter().enumerate() {
            let bias = fused.bias[channel];
            for (fold, [dy, dx]) in fused.folded.iter().enumerate() {
                let sums = &sums[(fold * outputs + channel) * columns..][..columns];
                if fold == 0 {
                    out.iter_mut().zip(sums).for_each(|(target, source)| *target = source + bias);
                    continue;
                }
                let Some((from_row, to_row, rows)) = overlap(0, rows, *dy, rows) else { continue };
                let Some((from, to, count)) = overlap(0, width, *dx, width) else { continue };
                for row in 0..rows {
                    let source = &sums[(from_row + row) * width + from..][..count];
                    let target = &mut out[(to_row + row) * width + to..][..count];
                    target.iter_mut().zip(source).for_each(|(target, source)| *target += source);
                }
            }
            out.iter_mut().for_each(|value| *value = leaky(*value, slope));
        }
    }
}

struct AddBias<'a> {
    out: &'a mut [f32],
    bias: f32,
    slope: f32,
}

impl WithSimd for AddBias<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { out, bias, slope } = self;
        out.iter_mut().for_each(|value| *value = leaky(*value + bias, slope));
    }
}

#[cfg(test)]
mod tests;
