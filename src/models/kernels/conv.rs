//! Convolution by a kernel of any odd size, stride one, zero padding, of pictures and volumes: 1×1, 7×7 and 7×7×7 here.
//!
//! Owns the choice between the fused forms and stock operations. Square kernels above 3×3 with some outputs are sums of
//! 4×4 ones (`conv3/wide.rs`). Of the rest inputs are never laid out per tap: columns of the kernel become outputs of their
//! own, rows and slices become shifts of whole rows, so every matrix product reads the input where it lies.

use candle_core::{Device, Result, Tensor, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::activation::{Activation, leaky};
use super::buffers::taken;
use super::conv3::Wide;
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
    /// Shifts in (z, y) that are products of their own, each with its `[folded · outputs, inputs]`.
    products: Vec<([isize; 2], Vec<f32>)>,
    /// Shifts in (y, x) that are outputs of their own.
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
                Tensor::from_vec(out, dims, &Device::Cpu)
            }
            Form::Fused(fused) => {
                let out = with_values(x, |x| self.fused(fused, x, size, activation))?;
                Tensor::from_vec(out, dims, &Device::Cpu)
            }
            Form::Picture { weight, bias } => {
                activation.forward(&x.conv2d(weight, self.kernel[1] / 2, 1, 1, 1)?.broadcast_add(bias)?)
            }
            Form::Volume(stencil) => activation.forward(&stencil.forward(x)?),
            Form::Listed => bail!("weights that were only listed cannot be used"),
        }
    }

    fn fused(&self, fused: &Fused, x: &[f32], size: Size, activation: Activation) -> Result<Vec<f32>> {
        let slope = activation.negative_slope()?;
        let plane = size.depth * size.height * size.width;
        let mut out = taken(size.batch * self.outputs * plane);
        if plane == 0 {
            return Ok(out);
        }
        if self.kernel == [1, 1, 1] {
            let weights = Matrix::dense(&fused.products[0].1, self.outputs, self.inputs)?;
            for (x, out) in x.chunks(self.inputs * plane).zip(out.chunks_mut(self.outputs * plane)) {
                let x = Matrix::dense(x, self.inputs, plane)?;
                product(Target::over(out, plane), 1.0, weights, x, Threads::All)?;
            }
        } else {
            self.shifted(fused, x, size, &mut out)?;
        }
        out.par_chunks_mut(plane).enumerate().for_each(|(channel, out)| {
            vectorised(AddBias { out, bias: fused.bias[channel % self.outputs], slope });
        });
        Ok(out)
    }

    /// The sums of a kernel wider than one, without bias.
    fn shifted(
        &self,
        fused: &Fused,
        x: &[f32],
        size: Size,
        out: &mut [f32],
    ) -> std::result::Result<(), ShapeError> {
        let Size { batch, depth, height, width } = size;
        // Folded rows need each other's sums: then a task takes a whole plane.
        let alone = fused.folded.iter().all(|[y, _]| *y == 0);
        let rows = if alone { (SLAB / width).clamp(1, height) } else { height };
        let tasks: Vec<[usize; 3]> = (0..batch)
            .flat_map(|b| (0..depth).flat_map(move |z| (0..height).step_by(rows).map(move |y| [b, z, y])))
            .collect();
        let slabs = tasks
            .par_iter()
            .map(|[b, z, y]| self.slab(fused, x, size, [*b, *z], *y..(*y + rows).min(height)))
            .collect::<std::result::Result<Vec<Vec<f32>>, ShapeError>>()?;
        for ([b, z, y], slab) in tasks.into_iter().zip(slabs) {
            let count = slab.len() / self.outputs;
            for (channel, slab) in slab.chunks(count).enumerate() {
                let start = ((b * self.outputs + channel) * depth + z) * height * width + y * width;
                out[start..start + count].copy_from_slice(slab);
            }
        }
        Ok(())
    }

    /// `[outputs, rows · width]` of some rows of one slice.
    fn slab(
        &self,
        fused: &Fused,
        x: &[f32],
        size: Size,
        [b, z]: [usize; 2],
        rows: std::ops::Range<usize>,
    ) -> std::result::Result<Vec<f32>, ShapeError> {
        timed!("convolution slab");
        let Size { depth, height, width, .. } = size;
        let (plane, columns) = (height * width, rows.len() * width);
        let stacked = fused.folded.len() * self.outputs;
        let mut sums = vec![0.0; stacked * columns];
        for ([dz, dy], weights) in &fused.products {
            let Some(slice) = z.checked_add_signed(*dz).filter(|slice| *slice < depth) else { continue };
            let Some((from, to, count)) = overlap(rows.start, rows.len(), *dy, height) else { continue };
            let start = (b * self.inputs * depth + slice) * plane + from * width;
            let view = Matrix::new(&x[start..], (self.inputs, count * width), depth * plane)?;
            let weights = Matrix::dense(weights, stacked, self.inputs)?;
            let target = Target::onto(&mut sums[to * width..], columns);
            product(target, 1.0, weights, view, Threads::One)?;
        }
        let mut out = vec![0.0; self.outputs * columns];
        vectorised(SumShifted {
            fused,
            outputs: self.outputs,
            rows: rows.len(),
            width,
            sums: &sums,
            out: &mut out,
        });
        Ok(out)
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
        let shifts = |side: usize| (0..side).map(move |tap| tap as isize - (side / 2) as isize);
        let thin = depth == 1 && outputs * width < THIN;
        let (rows, folded_rows) = if thin { (1, height) } else { (height, 1) };
        let folded = shifts(folded_rows).flat_map(|y| shifts(width).map(move |x| [y, x])).collect::<Vec<_>>();
        let mut products = Vec::new();
        for (z, dz) in shifts(depth).enumerate() {
            for (y, dy) in shifts(rows).enumerate() {
                let mut matrix = Vec::with_capacity(folded.len() * outputs * inputs);
                for tap in 0..folded.len() {
                    let (row, column) = if thin { (tap / width, tap % width) } else { (y, tap) };
                    for pair in 0..outputs * inputs {
                        matrix.push(weight[((pair * depth + z) * height + row) * width + column]);
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
    outputs: usize,
    rows: usize,
    width: usize,
    sums: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for SumShifted<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let columns = self.rows * self.width;
        for (fold, [dy, dx]) in self.fused.folded.iter().enumerate() {
            let Some((from_row, to_row, rows)) = overlap(0, self.rows, *dy, self.rows) else { continue };
            let Some((from, to, count)) = overlap(0, self.width, *dx, self.width) else { continue };
            for channel in 0..self.outputs {
                let sums = &self.sums[(fold * self.outputs + channel) * columns..][..columns];
                let out = &mut self.out[channel * columns..][..columns];
                for row in 0..rows {
                    let source = &sums[(from_row + row) * self.width + from..][..count];
                    let target = &mut out[(to_row + row) * self.width + to..][..count];
                    target.iter_mut().zip(source).for_each(|(target, source)| *target += source);
                }
            }
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
