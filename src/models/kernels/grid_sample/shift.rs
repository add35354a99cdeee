//! Sampling the identity grid under pure shifts: every axis is interpolated for itself.
//!
//! One table of neighbours per axis serves a whole volume: two rows of two slices are mixed as vectors, and only the
//! last step along x looks neighbours up. Equal to `grid_sample` of `identity + shift` up to rounding.

use pulp::{Simd, WithSimd};

use super::{identity_axis, voxels};
use crate::simd::vectorised;

/// The neighbours of every voxel along one axis: (lower, upper) places and weights; those outside weigh nothing.
type Axis = Vec<([usize; 2], [f32; 2])>;

/// A volume's grid under one shift.
pub(crate) struct Shifts {
    axes: [Axis; 3],
}

impl Shifts {
    /// Of a volume of `[depth, height, width]`. Coordinate i becomes `(identity[i] − minus) + plus`, in that order, for
    /// (x, y, z): rounded as a network rounds that subtracts one key point and adds another.
    pub(crate) fn new([depth, height, width]: [usize; 3], minus: [f32; 3], plus: [f32; 3]) -> Self {
        let axis = |which: usize, count: usize| {
            let neighbours = |coordinate: f32| {
                let at = voxels((coordinate - minus[which]) + plus[which], count);
                let low = at.floor();
                let share = at - low;
                let low = low as i64;
                let (mut places, mut weights) = ([0; 2], [1.0 - share, share]);
                for (side, (place, weight)) in places.iter_mut().zip(&mut weights).enumerate() {
                    let at = low.saturating_add(side as i64);
                    let inside = (0..count as i64).contains(&at);
                    *place = at.clamp(0, count as i64 - 1) as usize;
                    if !inside && !weight.is_nan() {
                        *weight = 0.0;
                    }
                }
                (places, weights)
            };
            identity_axis(count).into_iter().map(neighbours).collect()
        };
        Self { axes: [axis(2, depth), axis(1, height), axis(0, width)] }
    }
}

/// One channel's volume under a shift, written to `out` of the same size.
pub(crate) fn sample_shifted(x: &[f32], shifts: &Shifts, out: &mut [f32]) {
    vectorised(Sample { x, shifts, out });
}

struct Sample<'a> {
    x: &'a [f32],
    shifts: &'a Shifts,
    out: &'a mut [f32],
}

impl WithSimd for Sample<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [depths, rows, columns] = &self.shifts.axes;
        let (height, width) = (rows.len(), columns.len());
        let mut mixed = vec![0.0f32; width];
        let mut lines = self.out.chunks_exact_mut(width.max(1));
        for (slices, slice_weights) in depths {
            for (lines_of, line_weights) in rows {
                let Some(out) = lines.next() else { return };
                let corner = |slice: usize, row: usize| {
                    let start = (slices[slice] * height + lines_of[row]) * width;
                    (&self.x[start..start + width], slice_weights[slice] * line_weights[row])
                };
                let [a, b, c, d] = [corner(0, 0), corner(0, 1), corner(1, 0), corner(1, 1)];
                for (x, mixed) in mixed.iter_mut().enumerate() {
                    *mixed = a.0[x] * a.1 + b.0[x] * b.1 + c.0[x] * c.1 + d.0[x] * d.1;
                }
                for (out, (places, weights)) in out.iter_mut().zip(columns) {
                    *out = mixed[places[0]] * weights[0] + mixed[places[1]] * weights[1];
                }
            }
        }
    }
}
