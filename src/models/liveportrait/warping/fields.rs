//! Between key points and voxels: the hourglass's input from key points, and a motion for each voxel from its mask.
//!
//! Every key point proposes one motion, a pure shift of the whole volume; the background proposes none. The fused forms
//! use just that: a shift is sampled axis by axis, a Gaussian in space is a product of three along the axes, and a mask
//! that adds up to one leaves the identity grid plus the weighted shifts.

use candle_core::{DType, Device, Result, Tensor};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::super::keypoints::KeyPoints;
use crate::models::kernels::buffers::taken;
use crate::models::kernels::grid_sample::{
    Shifts, grid_sample, identity_axis, identity_grid, sample_shifted,
};
use crate::models::kernels::{Kernels, exp, with_values};
use crate::simd::vectorised;

/// Of a key point's Gaussian, as the networks were trained.
const VARIANCE: f32 = 0.01;

/// Of each motion a heat map and the compressed volume as shifted by it:
/// `[batch, (key points + 1) · (1 + compressed channels), depth, height, width]`.
pub(super) fn hourglass_input(
    compressed: &Tensor,
    source: &[KeyPoints],
    driving: &[KeyPoints],
    kernels: Kernels,
) -> Result<Tensor> {
    let (_, channels, depth, height, width) = compressed.dims5()?;
    let motions = driving.first().map_or(0, Vec::len) + 1;
    let dims = (driving.len(), motions * (channels + 1), depth, height, width);
    if kernels != Kernels::Fused {
        return stock_input(compressed, source, driving)?.reshape(dims);
    }
    let (size, plane) = ([depth, height, width], depth * height * width);
    let mut out = taken(driving.len() * motions * (channels + 1) * plane);
    with_values(compressed, |compressed| {
        out.par_chunks_mut((channels + 1) * plane).enumerate().for_each(|(place, out)| {
            let (batch, motion) = (place / motions, place % motions);
            let from = batch % source.len();
            let (heat, shifted) = out.split_at_mut(plane);
            let rest = [0.0; 3];
            let (to, of) = match motion.checked_sub(1) {
                Some(point) => (driving[batch][point], source[from][point]),
                None => (rest, rest),
            };
            if motion > 0 {
                vectorised(Heat { out: heat, size, axes: [gaussian(to, size), gaussian(of, size)] });
            } else {
                heat.fill(0.0);
            }
            let shifts = Shifts::new(size, to, of);
            let volume = &compressed[from * channels * plane..][..channels * plane];
            for (volume, out) in volume.chunks(plane).zip(shifted.chunks_mut(plane)) {
                sample_shifted(volume, &shifts, out);
            }
        });
        Ok(())
    })?;
    out.into_tensor(dims)
}

/// e^(−½ (coordinate − point)² / variance) along z, y and x.
fn gaussian(point: [f32; 3], [depth, height, width]: [usize; 3]) -> [Vec<f32>; 3] {
    [(depth, point[2]), (height, point[1]), (width, point[0])].map(|(count, at)| {
        identity_axis(count).into_iter().map(|x| (-0.5 * (x - at) * (x - at) / VARIANCE).exp()).collect()
    })
}

/// The difference of two Gaussians.
struct Heat<'a> {
    out: &'a mut [f32],
    size: [usize; 3],
    axes: [[Vec<f32>; 3]; 2],
}

impl WithSimd for Heat<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [_, height, width] = self.size;
        let [to, of] = &self.axes;
        for (line, out) in self.out.chunks_mut(width).enumerate() {
            let (z, y) = (line / height, line % height);
            let (a, b) = (to[0][z] * to[1][y], of[0][z] * of[1][y]);
            for ((out, to), of) in out.iter_mut().zip(&to[2]).zip(&of[2]) {
                *out = a * to - b * of;
            }
        }
    }
}

/// Where each voxel comes from, `[batch, depth, height, width, 3]` in f32: the motions, weighted by softmax(logits).
pub(super) fn deformation(
    logits: &Tensor,
    source: &[KeyPoints],
    driving: &[KeyPoints],
    kernels: Kernels,
) -> Result<Tensor> {
    let (batch, motions, depth, height, width) = logits.dims5()?;
    if kernels != Kernels::Fused {
        return stock_deformation(logits, source, driving);
    }
    let plane = depth * height * width;
    let mut out = taken(batch * plane * 3);
    with_values(logits, |logits| {
        out.par_chunks_mut(height * width * 3).enumerate().for_each(|(slice, out)| {
            let (b, z) = (slice / depth, slice % depth);
            let offsets: Vec<[f32; 3]> = driving[b]
                .iter()
                .zip(&source[b % source.len()])
                .map(|(to, of)| std::array::from_fn(|axis| of[axis] - to[axis]))
                .collect();
            let logits = &logits[b * motions * plane..][..motions * plane];
            let z_at = identity_axis(depth)[z];
            vectorised(Weigh {
                out,
                logits,
                offsets: &offsets,
                plane,
                start: z * height * width,
                z_at,
                size: [height, width],
            });
        });
        Ok(())
    })?;
    out.into_tensor((batch, depth, height, width, 3))
}

struct Weigh<'a> {
    out: &'a mut [f32],
    logits: &'a [f32],
    offsets: &'a [[f32; 3]],
    plane: usize,
    start: usize,
    z_at: f32,
    size: [usize; 2],
}

impl WithSimd for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [height, width] = self.size;
        let (xs, ys) = (identity_axis(width), identity_axis(height));
        let (mut top, mut total) = (vec![0.0f32; width], vec![0.0f32; width]);
        let mut moved = [(); 3].map(|()| vec![0.0f32; width]);
        for (y, out) in self.out.chunks_mut(3 * width).enumerate() {
            let row = |motion: usize| &self.logits[motion * self.plane + self.start + y * width..][..width];
            top.copy_from_slice(row(0));
            for motion in 1..=self.offsets.len() {
                top.iter_mut().zip(row(motion)).for_each(|(top, x)| *top = if *x > *top { *x } else { *top });
            }
            // The background, motion 0, moves nothing.
            total.iter_mut().zip(row(0)).zip(&top).for_each(|((total, x), top)| *total = exp(x - top));
            moved.iter_mut().for_each(|axis| axis.fill(0.0));
            let [mx, my, mz] = &mut moved;
            for (motion, offset) in self.offsets.iter().enumerate() {
                let row = row(motion + 1);
                for x in 0..width {
                    let weight = exp(row[x] - top[x]);
                    total[x] += weight;
                    mx[x] += weight * offset[0];
                    my[x] += weight * offset[1];
                    mz[x] += weight * offset[2];
                }
            }
            for x in 0..width {
                let share = 1.0 / total[x];
                out[3 * x] = xs[x] + mx[x] * share;
                out[3 * x + 1] = ys[y] + my[x] * share;
                out[3 * x + 2] = self.z_at + mz[x] * share;
            }
        }
    }
}

/// Key points of a batch as `[batch, key points, 1, 1, 1, 3]`; a single source serves all.
fn as_tensor(points: &[KeyPoints], batch: usize, device: &Device) -> Result<Tensor> {
    let count = points.first().map_or(0, Vec::len);
    let values: Vec<f32> =
        (0..batch).flat_map(|b| points[b % points.len()].iter().flatten().copied()).collect();
    Tensor::from_vec(values, vec![batch, count, 1, 1, 1, 3], device)
}

/// Every motion's grid, `[batch, 1 + key points, depth, height, width, 3]`.
fn grids(source: &[KeyPoints], driving: &[KeyPoints], size: [usize; 3], device: &Device) -> Result<Tensor> {
    let [depth, height, width] = size;
    let identity = identity_grid(depth, height, width, device)?.unsqueeze(1)?;
    let batch = driving.len();
    let [to, of] = [driving, source].map(|points| as_tensor(points, batch, device));
    let moved = identity.broadcast_sub(&to?)?.broadcast_add(&of?)?;
    Tensor::cat(&[identity.broadcast_as(vec![batch, 1, depth, height, width, 3])?, moved], 1)
}

fn stock_input(compressed: &Tensor, source: &[KeyPoints], driving: &[KeyPoints]) -> Result<Tensor> {
    let (sources, channels, depth, height, width) = compressed.dims5()?;
    let (batch, device) = (driving.len(), compressed.device());
    let grids = grids(source, driving, [depth, height, width], device)?;
    let motions = grids.dim(1)?;
    let heat = |points: &[KeyPoints]| -> Result<Tensor> {
        let identity = identity_grid(depth, height, width, device)?.unsqueeze(1)?;
        let away = identity.broadcast_sub(&as_tensor(points, batch, device)?)?.sqr()?.sum(5)?;
        (away * f64::from(-0.5 / VARIANCE))?.exp()
    };
    let heat = (heat(driving)? - heat(source)?)?.pad_with_zeros(1, 1, 0)?;
    let repeated = compressed.unsqueeze(1)?.broadcast_as(vec![
        sources,
        batch * motions / sources,
        channels,
        depth,
        height,
        width,
    ])?;
    let repeated = repeated.contiguous()?.reshape((batch * motions, channels, depth, height, width))?;
    let grids = grids.reshape((batch * motions, depth, height, width, 3))?;
    let shifted = grid_sample(&repeated, &grids, Kernels::Stock(compressed.dtype()))?;
    let plane = depth * height * width;
    let heat = heat.to_dtype(compressed.dtype())?.reshape((batch, motions, 1, plane))?;
    Tensor::cat(&[heat, shifted.reshape((batch, motions, channels, plane))?], 2)
}

fn stock_deformation(logits: &Tensor, source: &[KeyPoints], driving: &[KeyPoints]) -> Result<Tensor> {
    let (_, _, depth, height, width) = logits.dims5()?;
    let mask = candle_nn::ops::softmax(&logits.to_dtype(DType::F32)?, 1)?.unsqueeze(5)?;
    grids(source, driving, [depth, height, width], logits.device())?.broadcast_mul(&mask)?.sum(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::tests::runs_wide;

    #[test]
    fn both_fields_run_on_the_widest_vectors() {
        let (source, driving) = (vec![[0.1, 0.2, 0.3]], vec![[0.3, 0.1, -0.2]]);
        let compressed = Tensor::ones((1, 2, 3, 4, 5), DType::F32, &Device::Cpu).unwrap();
        let logits = Tensor::ones((1, 2, 3, 4, 5), DType::F32, &Device::Cpu).unwrap();
        runs_wide(&["Heat", "Weigh"], || {
            let (source, driving) = (std::slice::from_ref(&source), std::slice::from_ref(&driving));
            assert!(hourglass_input(&compressed, source, driving, Kernels::Fused).is_ok());
            assert!(deformation(&logits, source, driving, Kernels::Fused).is_ok());
        });
    }
}
