//! Trilinear sampling of a volume at given points, zeros outside, `align_corners = false`, as PyTorch's `grid_sample`.
//!
//! Owns the operator in both forms, the identity grid, and sampling under a pure shift, where every axis can be
//! interpolated for itself. Points are (x, y, z) in −1 … 1, of which −1 and 1 are the outer edges of the outer voxels;
//! the identity grid puts them on the outer voxels' centres instead, as LivePortrait's networks were trained.

use std::cell::RefCell;

use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

use super::buffers::taken;
use super::form::Kernels;
use super::host::with_values;
use crate::profile::timed;

mod shift;

pub(crate) use self::shift::{Shifts, sample_shifted};

thread_local! {
    /// The corners of the last grid's points, kept because fresh pages cost as much as filling them.
    static CORNERS: RefCell<Vec<Corners>> = const { RefCell::new(Vec::new()) };
}

/// Frees what the calling thread keeps for its next grid; returns the bytes.
pub(super) fn release_scratch() -> usize {
    CORNERS.take().capacity() * size_of::<Corners>()
}

/// −1 … 1 in `count` steps: coordinate i of the identity grid along an axis. A single step lies in the middle.
pub(crate) fn identity_axis(count: usize) -> Vec<f32> {
    let last = count.saturating_sub(1) as f32;
    (0..count).map(|i| if count < 2 { 0.0 } else { 2.0 * (i as f32 / last) - 1.0 }).collect()
}

/// `[1, depth, height, width, 3]`: every voxel's own (x, y, z), f32.
pub(crate) fn identity_grid(depth: usize, height: usize, width: usize, device: &Device) -> Result<Tensor> {
    let full = (1, depth, height, width, 1);
    let axis = |count: usize, dims: (usize, usize, usize, usize, usize)| {
        Tensor::from_vec(identity_axis(count), dims, device)?.broadcast_as(full)
    };
    let x = axis(width, (1, 1, 1, width, 1))?;
    let y = axis(height, (1, 1, height, 1, 1))?;
    let z = axis(depth, (1, depth, 1, 1, 1))?;
    Tensor::cat(&[x, y, z], 4)
}

/// A coordinate in −1 … 1 in units of voxels, 0 being the first one's centre.
#[inline(always)]
fn voxels(coordinate: f32, count: usize) -> f32 {
    ((coordinate + 1.0) * count as f32 - 1.0) / 2.0
}

/// `x` `[batch, channels, depth, height, width]` at `grid` `[batch, d, h, w, 3]` (f32): `[batch, channels, d, h, w]`.
///
/// An `x` of batch one serves every grid.
pub(crate) fn grid_sample(x: &Tensor, grid: &Tensor, kernels: Kernels) -> Result<Tensor> {
    timed!("grid sample", x = x.dims());
    let (volumes, channels, depth, height, width) = x.dims5()?;
    let (batch, d, h, w, three) = grid.dims5()?;
    if (volumes != batch && volumes != 1) || three != 3 {
        bail!("a grid of {:?} does not sample {:?}", grid.dims(), x.dims());
    }
    let size = [depth, height, width];
    if kernels != Kernels::Fused {
        return stock(x, grid, size)?.reshape((batch, channels, d, h, w));
    }
    let (points, plane) = (d * h * w, depth * height * width);
    let mut out = taken(batch * channels * points);
    if plane == 0 {
        out.fill(0.0);
    } else if !out.is_empty() {
        with_values(x, |x| {
            with_values(grid, |grid| {
                let mut corners = CORNERS.take();
                for (b, out) in out.chunks_mut(channels * points).enumerate() {
                    let grid = &grid[b * points * 3..][..points * 3];
                    let points_of = grid.par_chunks_exact(3).map(|point| Corners::of(point, size));
                    points_of.collect_into_vec(&mut corners);
                    out.par_chunks_mut(points).enumerate().for_each(|(channel, out)| {
                        let x = &x[(b % volumes * channels + channel) * plane..][..plane];
                        for (out, corners) in out.iter_mut().zip(&corners) {
                            *out = corners.sample(x);
                        }
                    });
                }
                CORNERS.set(corners);
                Ok(())
            })
        })?;
    }
    out.into_tensor((batch, channels, d, h, w))
}

/// The eight voxels around a point and their weights; those outside weigh nothing.
struct Corners {
    places: [u32; 8],
    weights: [f32; 8],
}

impl Corners {
    #[inline]
    fn of(point: &[f32], [depth, height, width]: [usize; 3]) -> Self {
        let axis = |coordinate: f32, count: usize| {
            let at = voxels(coordinate, count);
            let low = at.floor();
            let share = at - low;
            // Casting saturates, so points far outside stay outside; NaN keeps its weights and shows in the result.
            let low = low as i64;
            [(low, 1.0 - share), (low.saturating_add(1), share)].map(|(place, weight)| {
                let inside = (0..count as i64).contains(&place);
                if inside || weight.is_nan() {
                    (place.clamp(0, count as i64 - 1) as u32, weight)
                } else {
                    (0, 0.0)
                }
            })
        };
        let (x, y, z) = (axis(point[0], width), axis(point[1], height), axis(point[2], depth));
        let (mut places, mut weights) = ([0; 8], [0.0; 8]);
        for (corner, (place, weight)) in places.iter_mut().zip(&mut weights).enumerate() {
            let (x, y, z) = (x[corner & 1], y[corner >> 1 & 1], z[corner >> 2]);
            *place = (z.0 * height as u32 + y.0) * width as u32 + x.0;
            *weight = x.1 * y.1 * z.1;
        }
        Self { places, weights }
    }

    #[inline(always)]
    fn sample(&self, x: &[f32]) -> f32 {
        self.places.iter().zip(&self.weights).map(|(place, weight)| x[*place as usize] * weight).sum()
    }
}

/// The same by stock operations: `[batch, channels, points]`, coordinates in f32, values in the precision of `x`.
fn stock(x: &Tensor, grid: &Tensor, [depth, height, width]: [usize; 3]) -> Result<Tensor> {
    let (volumes, channels, batch) = (x.dim(0)?, x.dim(1)?, grid.dim(0)?);
    let points = grid.elem_count() / (3 * batch);
    let flat = x.contiguous()?.reshape((volumes, channels, depth * height * width))?;
    let flat = flat.broadcast_as((batch, channels, depth * height * width))?.contiguous()?;
    let grid = grid.to_dtype(DType::F32)?.reshape((batch, points, 3))?;
    // Per axis: place and weight of the lower and of the upper neighbour.
    let axis = |which: usize, count: usize| -> Result<[(Tensor, Tensor); 2]> {
        let coordinate = grid.narrow(2, which, 1)?.squeeze(2)?;
        let at = ((coordinate + 1.0)? * (count as f64 / 2.0))?.affine(1.0, -0.5)?;
        let low = at.floor()?;
        let share = (&at - &low)?;
        let side = |place: Tensor, weight: Tensor| -> Result<(Tensor, Tensor)> {
            let last = count as f64 - 1.0;
            let inside = (place.ge(0.0)? * place.le(last)?)?.to_dtype(DType::F32)?;
            Ok((place.clamp(0.0, last)?, (weight * inside)?))
        };
        Ok([side(low.clone(), share.affine(-1.0, 1.0)?)?, side((low + 1.0)?, share)?])
    };
    let (xs, ys, zs) = (axis(0, width)?, axis(1, height)?, axis(2, depth)?);
    let mut sum: Option<Tensor> = None;
    for (z, z_weight) in &zs {
        for (y, y_weight) in &ys {
            for (x, x_weight) in &xs {
                let row = ((z * height as f64)? + y)?.to_dtype(DType::U32)?;
                let place = (row.affine(width as f64, 0.0)? + x.to_dtype(DType::U32)?)?;
                let weight = ((x_weight * y_weight)? * z_weight)?.to_dtype(flat.dtype())?;
                let place = place.unsqueeze(1)?.broadcast_as((batch, channels, points))?.contiguous()?;
                let part = flat.gather(&place, 2)?.broadcast_mul(&weight.unsqueeze(1)?)?;
                sum = Some(match sum {
                    Some(sum) => (sum + part)?,
                    None => part,
                });
            }
        }
    }
    let Some(sum) = sum else { bail!("a point without neighbours") };
    Ok(sum)
}

#[cfg(test)]
mod tests;
