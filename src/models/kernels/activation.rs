//! The activation functions of the five models, each in one pass over its input.
//!
//! Owns their formulas; never decides which network uses which.

use candle_core::{Result, Tensor, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::buffers::taken;
use super::elementary::{exp, sigmoid};
use super::host::{on_processor, with_values};
use crate::profile::timed;
use crate::simd::vectorised;

/// What a layer does to each of its outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// max(x, 0).
    Relu,
    /// x where it is positive, else this share of it.
    Leaky(f32),
    /// x·σ(1.702·x), the approximation of GELU that CLIP was trained with.
    QuickGelu,
    /// x·Φ(x) (Hendrycks and Gimpel 2016).
    Gelu,
    /// GELU by its tanh approximation, as T5 1.1 and Flux use it.
    GeluTanh,
    /// x·σ(x).
    Silu,
    /// σ(x) = 1 / (1 + e⁻ˣ).
    Sigmoid,
}

impl Activation {
    /// Of every element, in a new tensor of the same shape and type.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        timed!("activation", x = x.dims());
        if self == Self::Identity {
            return Ok(x.clone());
        }
        if on_processor(x) {
            return self.of_values(x);
        }
        match self {
            Self::Identity => Ok(x.clone()),
            Self::Relu => x.relu(),
            Self::Leaky(slope) => x.maximum(&x.affine(f64::from(slope), 0.0)?),
            Self::QuickGelu => x * candle_nn::ops::sigmoid(&(x * 1.702f64)?)?,
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
            Self::Silu => x.silu(),
            Self::Sigmoid => candle_nn::ops::sigmoid(x),
        }
    }

    fn of_values(self, x: &Tensor) -> Result<Tensor> {
        /// One thread's piece: fits the first-level cache together with its source.
        const PIECE: usize = 4096;
        let mut out = taken(x.elem_count());
        with_values(x, |x| {
            out.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(out, x)| {
                out.copy_from_slice(x);
                vectorised(Piece(self, out));
            });
            Ok(())
        })?;
        out.into_tensor(x.shape().clone())
    }

    /// Of every element, in place; meant to be inlined into code that is already vectorised.
    #[inline(always)]
    pub(super) fn apply(self, values: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Relu => values.iter_mut().for_each(|x| *x = leaky(*x, 0.0)),
            Self::Leaky(slope) => values.iter_mut().for_each(|x| *x = leaky(*x, slope)),
            Self::QuickGelu => values.iter_mut().for_each(|x| *x *= sigmoid(1.702 * *x)),
            Self::Gelu => values.iter_mut().for_each(|x| *x = gelu(*x)),
            Self::GeluTanh => values.iter_mut().for_each(|x| *x = gelu_tanh(*x)),
            Self::Silu => values.iter_mut().for_each(|x| *x *= sigmoid(*x)),
            Self::Sigmoid => values.iter_mut().for_each(|x| *x = sigmoid(*x)),
        }
    }
}

impl Activation {
    /// The factor of negative values, of those that are straight on both sides of 0: one formula for all three, which
    /// keeps a convolution's loops free of branches. An error for the others, and for slopes above one.
    pub(super) fn negative_slope(self) -> Result<f32> {
        match self {
            Self::Identity => Ok(1.0),
            Self::Relu => Ok(0.0),
            Self::Leaky(slope) if slope <= 1.0 => Ok(slope),
            other => bail!("a convolution ends with none, a ReLU or a leaky ReLU, not {other:?}"),
        }
    }
}

/// `x` where it is positive, else `slope · x`. NaN stays NaN.
#[inline(always)]
pub(super) fn leaky(x: f32, slope: f32) -> f32 {
    if x > 0.0 { x } else { x * slope }
}

/// GELU's tanh form, ½·x·(1 + tanh z) = x·σ(2z) with z = √(2/π)·(x + 0.044715·x³).
#[inline(always)]
pub(super) fn gelu_tanh(x: f32) -> f32 {
    const TWO_ROOT_TWO_OVER_PI: f32 = 1.595_769;
    x * sigmoid(TWO_ROOT_TWO_OVER_PI * (x + 0.044_715 * x * x * x))
}

/// x·Φ(x) with Φ(x) = ½·erfc(−x/√2) and erfc by the Chebyshev fit of Press et al., Numerical Recipes §6.2, whose
/// relative error is below 1.2e-7 everywhere.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    #[expect(clippy::excessive_precision, reason = "as the book prints them")]
    const FIT: [f32; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
        -1.265_512_23,
    ];
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (0.5 * z + 1.0);
    let power = FIT[1..].iter().fold(FIT[0], |sum, term| sum * t + term);
    let beyond = 0.5 * t * exp(power - z * z);
    x * if x < 0.0 { beyond } else { 1.0 - beyond }
}

struct Piece<'a>(Activation, &'a mut [f32]);

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.0.apply(self.1);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::simd::tests::runs_wide;

    #[test]
    fn convolutions_are_given_no_curves() {
        let slopes = [Activation::Identity, Activation::Relu, Activation::Leaky(0.2)];
        assert_eq!(slopes.map(|activation| activation.negative_slope().unwrap()), [1.0, 0.0, 0.2]);
        assert!(Activation::Gelu.negative_slope().unwrap_err().to_string().contains("Gelu"));
        assert!(Activation::Leaky(1.5).negative_slope().is_err());
    }

    /// Against the definitions in f64, over the range in which they are not constant.
    #[test]
    fn every_activation_follows_its_definition() {
        let xs: Vec<f32> = (-1200..1200).map(|i| i as f32 / 100.0).collect();
        let x = Tensor::new(xs.as_slice(), &Device::Cpu).unwrap();
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        type Exact<'a> = &'a dyn Fn(f64) -> f64;
        let cases: [(Activation, Exact<'_>); 8] = [
            (Activation::Sigmoid, &sigmoid),
            (Activation::Identity, &|x| x),
            (Activation::Relu, &|x| x.max(0.0)),
            (Activation::Leaky(0.25), &|x| if x > 0.0 { x } else { x / 4.0 }),
            (Activation::QuickGelu, &|x| x * sigmoid(1.702 * x)),
            (Activation::Gelu, &|x| 0.5 * x * libm::erfc(-x / 2f64.sqrt())),
            (Activation::GeluTanh, &|x| {
                0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
            }),
            (Activation::Silu, &|x| x * sigmoid(x)),
        ];
        for (activation, exact) in cases {
            let ours = activation.forward(&x).unwrap().to_vec1::<f32>().unwrap();
            for (x, ours) in xs.iter().zip(ours) {
                let exact = exact(f64::from(*x));
                assert!(
                    (f64::from(ours) - exact).abs() <= 2e-6 * exact.abs().max(1e-3),
                    "{activation:?}({x}) = {ours}, not {exact}"
                );
            }
        }
    }

    #[test]
    fn activations_run_on_the_widest_vectors() {
        let x = Tensor::ones(100, candle_core::DType::F32, &Device::Cpu).unwrap();
        runs_wide(&["Piece"], || assert!(Activation::Silu.forward(&x).is_ok()));
    }
}
