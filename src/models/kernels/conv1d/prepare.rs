//! What happens to a signal on its way into a convolution: normalise, scale, shift, activate.
//!
//! Doing it while the convolution's padded block is filled saves a pass over memory and a copy of the signal. CPU only:
//! elsewhere the same is said in candle's operations.

use pulp::{Simd, WithSimd};

use crate::simd::vectorised;

/// The non-linearity in front of a convolution.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum InputActivation {
    /// None.
    Linear,
    /// max(x, slope · x).
    Leaky(f32),
    /// x + sin²(αx)/α with α for each channel (Ziyin et al. 2020).
    Snake(Vec<f32>),
}

/// (x − mean) · gain + shift for each channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Affine {
    /// Subtracted first.
    pub mean: Vec<f32>,
    /// Then multiplied.
    pub gain: Vec<f32>,
    /// Then added.
    pub shift: Vec<f32>,
}

/// An optional affine map and an activation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prepare {
    /// For each channel; none leaves the signal as it is.
    pub affine: Option<Affine>,
    /// Applied behind it.
    pub activation: InputActivation,
}

impl Prepare {
    /// Leaves the signal as it is.
    pub(crate) const NOTHING: Self = Self { affine: None, activation: InputActivation::Linear };

    /// Only an activation.
    pub(crate) fn activation(activation: InputActivation) -> Self {
        Self { affine: None, activation }
    }

    /// Channel `channel` of the signal from `from` into `into`, of the same length.
    pub(crate) fn row(&self, channel: usize, from: &[f32], into: &mut [f32]) {
        let (mean, gain, shift) = match &self.affine {
            None => (0.0, 1.0, 0.0),
            Some(affine) => (affine.mean[channel], affine.gain[channel], affine.shift[channel]),
        };
        match &self.activation {
            InputActivation::Linear if self.affine.is_none() => into.copy_from_slice(from),
            InputActivation::Linear => vectorised(Row { from, into, mean, gain, shift, shape: Slope(1.0) }),
            InputActivation::Leaky(slope) => {
                vectorised(Row { from, into, mean, gain, shift, shape: Slope(*slope) });
            }
            InputActivation::Snake(alpha) => {
                let alpha = alpha[channel];
                vectorised(Row {
                    from,
                    into,
                    mean,
                    gain,
                    shift,
                    shape: Snake { alpha, inverse: 1.0 / alpha },
                });
            }
        }
    }
}

trait Shape: Copy {
    fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s;
}

#[derive(Clone, Copy)]
struct Slope(f32);

impl Shape for Slope {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        simd.max_f32s(x, simd.mul_f32s(x, simd.splat_f32s(self.0)))
    }
}

#[derive(Clone, Copy)]
struct Snake {
    alpha: f32,
    inverse: f32,
}

impl Shape for Snake {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        let sine = sine_up_to_sign(simd, simd.mul_f32s(x, simd.splat_f32s(self.alpha)));
        simd.mul_add_e_f32s(simd.mul_f32s(sine, sine), simd.splat_f32s(self.inverse), x)
    }
}

/// sin(x) or −sin(x), to an ulp of 1 for |x| up to 10⁵: what a square needs.
///
/// Cody–Waite reduction modulo π in three parts, then the Taylor polynomial of degree 11 on [−π/2, π/2], whose
/// remainder is below 6e-8.
#[inline(always)]
fn sine_up_to_sign<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Adding and subtracting 1.5·2²³ rounds to the nearest integer.
    let magic = simd.splat_f32s(12_582_912.0);
    let turns = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::FRAC_1_PI), magic);
    let turns = simd.neg_f32s(simd.sub_f32s(turns, magic));
    // π as a sum of floats with few bits: the products with small integers are exact.
    let r = simd.mul_add_e_f32s(turns, simd.splat_f32s(3.140_625), x);
    let r = simd.mul_add_e_f32s(turns, simd.splat_f32s(9.675_026e-4), r);
    let r = simd.mul_add_e_f32s(turns, simd.splat_f32s(1.509_958e-7), r);
    let square = simd.mul_f32s(r, r);
    let mut sum = simd.splat_f32s(-1.0 / 39_916_800.0);
    for coefficient in [1.0 / 362_880.0, -1.0 / 5_040.0, 1.0 / 120.0, -1.0 / 6.0] {
        sum = simd.mul_add_e_f32s(sum, square, simd.splat_f32s(coefficient));
    }
    simd.mul_add_e_f32s(simd.mul_f32s(r, square), sum, r)
}

struct Row<'a, F> {
    from: &'a [f32],
    into: &'a mut [f32],
    mean: f32,
    gain: f32,
    shift: f32,
    shape: F,
}

impl<F: Shape> WithSimd for Row<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let one = Mapped {
            mean: simd.splat_f32s(self.mean),
            gain: simd.splat_f32s(self.gain),
            shift: simd.splat_f32s(self.shift),
            shape: self.shape,
        };
        let (from, from_tail) = S::as_simd_f32s(self.from);
        let (into, into_tail) = S::as_mut_simd_f32s(self.into);
        for (from, into) in from.iter().zip(into) {
            *into = one.of(simd, *from);
        }
        if !from_tail.is_empty() {
            simd.partial_store_f32s(into_tail, one.of(simd, simd.partial_load_f32s(from_tail)));
        }
    }
}

struct Mapped<V, F> {
    mean: V,
    gain: V,
    shift: V,
    shape: F,
}

impl<V: Copy, F: Shape> Mapped<V, F> {
    // A closure in its place would be compiled for the target's own vectors, and call a function for each operation.
    #[inline(always)]
    fn of<S: Simd<f32s = V>>(&self, simd: S, x: V) -> V {
        let x = simd.mul_add_e_f32s(simd.sub_f32s(x, self.mean), self.gain, self.shift);
        self.shape.apply(simd, x)
    }
}
