//! Global response normalisation (Woo et al. 2023): every channel by how strong it is in the whole picture.
//!
//! Owns both forms. Sums of squares go over runs of positions that sizes alone decide, f32 within a run, f64 across them.

use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

use super::form::Kernels;
use super::host::{values, with_values};
use crate::simd::kernel;

/// Positions of a run.
const RUN: usize = 64;
/// Added to the channels' mean strength.
const EPSILON: f64 = 1e-6;

/// x · (1 + γ · ‖x‖ / mean ‖x‖) + β, norms over a picture's positions, the mean over its channels.
pub(crate) struct ResponseNorm {
    channels: usize,
    form: Form,
}

enum Form {
    Fused { gamma: Vec<f32>, beta: Vec<f32> },
    Stock { gamma: Tensor, beta: Tensor },
    Listed,
}

impl ResponseNorm {
    /// From `gamma` and `beta`, each `[1, 1, 1, channels]`.
    pub(crate) fn new(gamma: &Tensor, beta: &Tensor, kernels: Kernels) -> Result<Self> {
        let channels = gamma.elem_count();
        if gamma.dims() != [1, 1, 1, channels] || beta.dims() != gamma.dims() {
            bail!("{:?} and {:?} are no weights of a response norm", gamma.dims(), beta.dims());
        }
        let form = match kernels {
            Kernels::Listed => Form::Listed,
            Kernels::Fused => Form::Fused { gamma: values(gamma)?, beta: values(beta)? },
            Kernels::Stock(dtype) => {
                Form::Stock { gamma: gamma.to_dtype(dtype)?, beta: beta.to_dtype(dtype)? }
            }
        };
        Ok(Self { channels, form })
    }

    /// Of `[batch, height, width, channels]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, height, width, channels) = x.dims4()?;
        if channels != self.channels {
            bail!("a response norm of {} channels was given {channels}", self.channels);
        }
        match &self.form {
            Form::Listed => bail!("weights that were only listed cannot be used"),
            Form::Stock { gamma, beta } => {
                let norm = x.to_dtype(DType::F32)?.sqr()?.sum_keepdim((1, 2))?.sqrt()?;
                let share = norm.broadcast_div(&(norm.mean_keepdim(3)? + EPSILON)?)?.to_dtype(x.dtype())?;
                x.broadcast_mul(&(share.broadcast_mul(gamma)? + 1.0)?)?.broadcast_add(beta)
            }
            Form::Fused { gamma, beta } => {
                let mut out = vec![0.0; x.elem_count()];
                with_values(x, |x| {
                    let size = (height * width * channels).max(1);
                    for (x, out) in x.chunks(size).zip(out.chunks_mut(size)) {
                        let factors = factors(x, gamma);
                        let runs = out.par_chunks_mut(RUN * channels).zip(x.par_chunks(RUN * channels));
                        runs.for_each(|(out, x)| respond(x, &factors, beta, out));
                    }
                    Ok(())
                })?;
                Tensor::from_vec(out, x.dims(), &Device::Cpu)
            }
        }
    }
}

/// 1 + γ · ‖x‖ / mean ‖x‖ of each channel of one picture.
fn factors(x: &[f32], gamma: &[f32]) -> Vec<f32> {
    let channels = gamma.len();
    let runs: Vec<Vec<f32>> = x
        .par_chunks(RUN * channels)
        .map(|x| {
            let mut sums = vec![0.0; channels];
            add_squares(x, &mut sums);
            sums
        })
        .collect();
    let mut norms = vec![0f64; channels];
    for run in runs {
        norms.iter_mut().zip(run).for_each(|(norm, sum)| *norm += f64::from(sum));
    }
    norms.iter_mut().for_each(|norm| *norm = norm.sqrt());
    let mean = norms.iter().sum::<f64>() / channels as f64 + EPSILON;
    norms.iter().zip(gamma).map(|(norm, gamma)| (1.0 + f64::from(*gamma) * norm / mean) as f32).collect()
}

kernel! {
    /// Adds each position's squares to `sums`.
    fn add_squares<'a>(x: &'a [f32], sums: &'a mut [f32]) {
        for x in x.chunks_exact(sums.len()) {
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x * x);
        }
    }
}

kernel! {
    /// x · factor + β of each position.
    fn respond<'a>(x: &'a [f32], factors: &'a [f32], beta: &'a [f32], out: &'a mut [f32]) {
        for (out, x) in out.chunks_exact_mut(factors.len()).zip(x.chunks_exact(factors.len())) {
            for (((out, x), factor), beta) in out.iter_mut().zip(x).zip(factors).zip(beta) {
                *out = x * factor + beta;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::models::noise::Noise;
    use crate::simd::tests::runs_wide;

    proptest! {
        #[test]
        fn both_forms_are_the_definition(
            (batch, height, width, channels) in (1..3usize, 1..12usize, 1..12usize, 1..40usize),
            seed in any::<u64>(),
        ) {
            let normals = |stream, count| Noise::new(seed, stream).normals(count);
            let x = normals(1, batch * height * width * channels);
            let (gamma, beta) = (normals(2, channels), normals(3, channels));
            let tensor = |values: &[f32], dims: &[usize]| Tensor::from_slice(values, dims, &Device::Cpu).unwrap();
            let shape = [1, 1, 1, channels];
            for kernels in [Kernels::Fused, Kernels::Stock(DType::F32)] {
                let norm = ResponseNorm::new(&tensor(&gamma, &shape), &tensor(&beta, &shape), kernels).unwrap();
                let ours = values(&norm.forward(&tensor(&x, &[batch, height, width, channels])).unwrap()).unwrap();
                for (x, ours) in x.chunks(height * width * channels).zip(ours.chunks(height * width * channels)) {
                    let norms: Vec<f64> = (0..channels)
                        .map(|c| x[c..].iter().step_by(channels).map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt())
                        .collect();
                    let mean = norms.iter().sum::<f64>() / channels as f64 + 1e-6;
                    for (place, (x, ours)) in x.iter().zip(ours).enumerate() {
                        let c = place % channels;
                        let factor = 1.0 + f64::from(gamma[c]) * norms[c] / mean;
                        let exact = f64::from(*x) * factor + f64::from(beta[c]);
                        prop_assert!((f64::from(*ours) - exact).abs() < 1e-4 * (1.0 + exact.abs()), "{kernels:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn both_passes_run_on_the_widest_vectors() {
        let ones = |dims: &[usize]| Tensor::ones(dims, DType::F32, &Device::Cpu).unwrap();
        let norm = ResponseNorm::new(&ones(&[1, 1, 1, 5]), &ones(&[1, 1, 1, 5]), Kernels::Fused).unwrap();
        let x = ones(&[1, 3, 4, 5]);
        runs_wide(&["add_squares", "respond"], || assert!(norm.forward(&x).is_ok()));
    }
}
