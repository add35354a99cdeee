//! Which random numbers a tensor gets, so that activations stay finite and of the usual magnitude.

use std::io::{self, Write};

use candle_nn::Init;
use half::{bf16, f16};
use safetensors::Dtype;
use sha2::Digest;

use crate::models::noise::Noise;
use crate::models::weights::spec::TensorSpec;

/// Uniform numbers of `mean` ± `spread`. Uniform and not normal: a tenth of the time for 17 billion numbers, and what
/// matters to the layers above is the variance, `spread`²/3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Law {
    pub mean: f64,
    pub spread: f64,
}

/// √3: a uniform law of this spread has variance 1.
const UNIT: f64 = 1.732_050_807_568_877_2;

/// What suits a tensor: as its network would have it initialised, else by its shape and the last part of its name.
pub(super) fn law(spec: &TensorSpec) -> Law {
    let dims = spec.shape.dims();
    let last = spec.name.rsplit_once('.').map_or(spec.name.as_str(), |(_, last)| last);
    match spec.init {
        // A network that merely looks its tensors up leaves this; it says nothing.
        Init::Const(0.0) => {}
        Init::Const(value) => return Law { mean: value, spread: 0.05 },
        Init::Randn { mean, stdev } => return Law { mean, spread: UNIT * stdev },
        Init::Uniform { lo, up } => return Law { mean: (lo + up) / 2.0, spread: (up - lo) / 2.0 },
        Init::Kaiming { .. } => return Law { mean: 0.0, spread: UNIT * fan_in(dims).recip().sqrt() },
    }
    let positive = Law { mean: 1.0, spread: 0.05 };
    match last {
        // Divisors and gains must stay away from zero: variances, norms of weight-normalised rows, slopes of periodic
        // activations.
        "running_var" | "weight_g" | "gamma" | "scale" => positive,
        _ if spec.name.contains(".alpha") => positive,
        // CLIP's temperature: e^2.6592 is its published start.
        "logit_scale" => Law { mean: 2.6592, spread: 0.0 },
        "weight" if dims.len() <= 1 => positive,
        _ if dims.len() <= 1 => Law { mean: 0.0, spread: 0.02 },
        _ if spec.name.contains("embed") && dims.len() == 2 => Law { mean: 0.0, spread: 0.035 },
        // Keeps the variance of what passes through (LeCun et al. 1998).
        _ => Law { mean: 0.0, spread: UNIT * fan_in(dims).recip().sqrt() },
    }
}

/// How many inputs one output of a linear or convolution layer sums.
fn fan_in(dims: &[usize]) -> f64 {
    dims.iter().skip(1).product::<usize>().max(1) as f64
}

/// Writes `count` numbers of stream `name` of `seed`.
pub(super) fn fill(
    law: Law,
    count: usize,
    dtype: Dtype,
    seed: u64,
    name: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    const PIECE: usize = 1 << 15;
    let digest: [u8; 32] = sha2::Sha256::digest(name.as_bytes()).into();
    let stream = digest.first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first));
    let mut noise = Noise::new(seed, stream);
    let mut bytes = Vec::with_capacity(PIECE * 4);
    let mut left = count;
    while left > 0 {
        let piece = left.min(PIECE);
        bytes.clear();
        for _ in 0..piece {
            let value = law.mean + law.spread * (2.0 * noise.uniform() - 1.0);
            match dtype {
                Dtype::BF16 => bytes.extend_from_slice(&bf16::from_f64(value).to_le_bytes()),
                Dtype::F16 => bytes.extend_from_slice(&f16::from_f64(value).to_le_bytes()),
                _ => bytes.extend_from_slice(&(value as f32).to_le_bytes()),
            }
        }
        out.write_all(&bytes)?;
        left -= piece;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, shape: &[usize], init: Init) -> TensorSpec {
        TensorSpec { name: name.to_owned(), shape: shape.into(), init }
    }

    fn filled(law: Law, count: usize) -> Vec<f32> {
        let mut bytes = Vec::new();
        fill(law, count, Dtype::F32, 7, "x", &mut bytes).unwrap();
        let (values, _) = bytes.as_chunks::<4>();
        values.iter().map(|value| f32::from_le_bytes(*value)).collect()
    }

    #[test]
    fn a_linear_layer_keeps_the_variance_of_what_passes_through() {
        let law = law(&spec("a.weight", &[64, 1024], Init::Const(0.0)));
        let values = filled(law, 65_536);
        let variance = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len() as f64;
        assert!((variance * 1024.0 - 1.0).abs() < 0.03, "{variance}");
    }

    #[test]
    fn what_is_divided_by_stays_away_from_zero() {
        for (name, shape) in [
            ("n.running_var", &[8][..]),
            ("c.weight_g", &[8, 1, 1]),
            ("norm.weight", &[8]),
            ("resblocks.0.alpha1.2", &[1, 8, 1]),
        ] {
            let law = law(&spec(name, shape, Init::Const(0.0)));
            assert!(filled(law, 1000).iter().all(|value| *value > 0.9), "{name}: {law:?}");
        }
    }

    #[test]
    fn a_networks_own_wish_comes_first() {
        let wish = Init::Uniform { lo: -0.25, up: 0.75 };
        assert_eq!(law(&spec("norm.weight", &[4], wish)), Law { mean: 0.25, spread: 0.5 });
        assert_eq!(law(&spec("x.bias", &[4], Init::Const(1.0))).mean, 1.0);
    }

    #[test]
    fn pieces_join_without_a_seam() {
        let law = Law { mean: 0.0, spread: 1.0 };
        let (long, short) = (filled(law, 70_000), filled(law, 40_000));
        assert_eq!(long[..40_000], short);
        assert!(long.iter().all(|value| value.abs() <= 1.0));
    }
}
