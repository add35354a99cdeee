//! Element functions that compilers turn into vector code, and the dispatch to the widest vectors a machine has.
//!
//! No fused multiply-add is written anywhere: the same bits come out of every vector width.

/// Compiles a function body for AVX-512, AVX2 and the baseline, and takes the widest that may be used.
macro_rules! widest {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn portable($($arg: $ty),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $ty),*) {
                    portable($($arg),*);
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) {
                    portable($($arg),*);
                }
                match $crate::simd::widest() {
                    $crate::simd::Width::Avx512 => {
                        #[expect(unsafe_code, reason = "calling code compiled for features of this machine")]
                        // SAFETY: `widest` names only what was detected, and Avx512 has all these parts.
                        return unsafe { avx512($($arg),*) };
                    }
                    $crate::simd::Width::Avx2 => {
                        #[expect(unsafe_code, reason = "calling code compiled for features of this machine")]
                        // SAFETY: `widest` names only what was detected.
                        return unsafe { avx2($($arg),*) };
                    }
                    $crate::simd::Width::Baseline => {}
                }
            }
            portable($($arg),*);
        }
    };
}
pub(crate) use widest;

/// Independent partial sums: enough to hide the latency of additions in the widest vectors.
const LANES: usize = 32;

/// eˣ to about one unit in the last place (the Cephes library's `expf`): x = n·ln 2 + r, a polynomial of degree six in r.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Rounds to an integer by pushing the fraction out of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first with few enough bits for n·LN2_HIGH to be exact; digits as Cephes gives them.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Below, the result would be subnormal; above, infinite.
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    y * f32::from_bits(((exponent + 127) << 23) as u32)
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The tanh form of GELU (Hendrycks & Gimpel 2016), x·σ(2·√(2/π)·(x + 0.044715·x³)).
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    const TWO_ROOT_TWO_OVER_PI: f32 = 1.595_769;
    x * sigmoid(TWO_ROOT_TWO_OVER_PI * (x + 0.044_715 * x * x * x))
}

/// CLIP's approximate GELU, x·σ(1.702·x).
#[inline(always)]
pub fn quick_gelu(x: f32) -> f32 {
    x * sigmoid(1.702 * x)
}

/// x·σ(x).
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// Σ f(x), in a fixed order.
#[inline(always)]
pub fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut partial = [0f32; LANES];
    let mut chunks = values.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (sum, value) in partial.iter_mut().zip(chunk) {
            *sum += f(*value);
        }
    }
    for (sum, value) in partial.iter_mut().zip(chunks.remainder()) {
        *sum += f(*value);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            partial[i] += partial[i + width];
        }
        width /= 2;
    }
    partial[0]
}

/// The largest value; −∞ of nothing. A NaN is passed over.
#[inline(always)]
pub fn max(values: &[f32]) -> f32 {
    let mut partial = [f32::NEG_INFINITY; LANES];
    let mut chunks = values.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (most, value) in partial.iter_mut().zip(chunk) {
            *most = if *value > *most { *value } else { *most };
        }
    }
    for (most, value) in partial.iter_mut().zip(chunks.remainder()) {
        *most = if *value > *most { *value } else { *most };
    }
    partial.into_iter().fold(f32::NEG_INFINITY, |most, value| if value > most { value } else { most })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_exact_to_a_few_units_in_the_last_place() {
        for i in -8_600..=8_700 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 3.0 * f64::from(f32::EPSILON), "exp({x}) is off by {error:e}");
        }
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn activations_agree_with_their_formulas() {
        for i in -600..=600 {
            let x = f64::from(i) / 50.0;
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            let close = |ours: f32, exact: f64| (f64::from(ours) - exact).abs() < 1e-6 * (1.0 + exact.abs());
            assert!(close(gelu_tanh(x as f32), 0.5 * x * (1.0 + u.tanh())), "gelu at {x}");
            assert!(close(quick_gelu(x as f32), x / (1.0 + (-1.702 * x).exp())), "quick gelu at {x}");
            assert!(close(silu(x as f32), x / (1.0 + (-x).exp())), "silu at {x}");
        }
    }

    #[test]
    fn sums_and_maxima_take_every_element() {
        let values: Vec<f32> = (0..77).map(|i| i as f32 - 20.0).collect();
        assert_eq!(sum(&values, |x| x), values.iter().sum::<f32>());
        assert_eq!(max(&values), 56.0);
        assert_eq!(max(&[-3.0, -7.0]), -3.0);
    }
}
