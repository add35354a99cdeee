//! A panel of a kernel at the points of its transforms.
//!
//! Owns no memory and no threads.

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::nested::{MOST_TAPS, load};
use super::panel::PANEL;
use super::transform::{INNER, Pieces, STEP, kernel};

/// Inputs that are transformed at a time: those of the widest vector.
const INPUTS: usize = 16 / PANEL;

/// A panel of the kernel to its points: `[point][input][PANEL]`.
pub(super) struct Kernel<'a, P> {
    /// How many taps there are.
    pub(super) count: usize,
    /// Values between two points.
    pub(super) pitch: usize,
    /// `[input][tap][PANEL]`.
    pub(super) taps: &'a [f32],
    pub(super) into: &'a mut [f32],
    pub(super) pieces: PhantomData<P>,
}

impl<P: Pieces> WithSimd for Kernel<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (lanes, pitch) = (S::F32_LANES, self.pitch);
        let mut taps = [[0.0f32; INPUTS * PANEL]; MOST_TAPS];
        for (place, chunk) in self.taps.chunks(INPUTS * self.count * PANEL).enumerate() {
            for (input, values) in chunk.as_chunks::<PANEL>().0.chunks_exact(self.count).enumerate() {
                for (tap, value) in taps.iter_mut().zip(values) {
                    tap[input * PANEL..][..PANEL].copy_from_slice(value);
                }
            }
            for from in (0..INPUTS * PANEL).step_by(lanes) {
                let mut pieces = [[simd.splat_f32s(0.0); INNER]; 3];
                for (piece, taps) in pieces.iter_mut().zip(taps.as_chunks::<STEP>().0) {
                    let mut values = [simd.splat_f32s(0.0); STEP];
                    for (value, tap) in values.iter_mut().zip(taps) {
                        *value = load::<S>(tap, from);
                    }
                    *piece = kernel(simd, values);
                }
                let [first, second, third] = pieces;
                for (inner, ((a, b), c)) in first.iter().zip(&second).zip(&third).enumerate() {
                    let outer = P::kernel(simd, [*a, *b, *c]);
                    for (point, value) in outer.into_iter().enumerate().take(P::OUTER) {
                        let start = (point * INNER + inner) * pitch + place * INPUTS * PANEL + from;
                        S::as_mut_simd_f32s(&mut self.into[start..start + lanes]).0[0] = value;
                    }
                }
            }
        }
    }
}
