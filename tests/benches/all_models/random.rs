//! Weights that look random and are made as fast as memory takes them, spread as each network asks.

use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

struct Random(AtomicU64);

/// A builder that has every tensor.
pub fn weights(seed: u64) -> VarBuilder<'static> {
    VarBuilder::from_backend(Box::new(Random(AtomicU64::new(seed))), DType::F32, Device::Cpu)
}

/// Inputs.
pub fn tensor(dims: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1.0, dims, &Device::Cpu).unwrap()
}

impl SimpleBackend for Random {
    fn get(
        &self,
        shape: Shape,
        _: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut state = self.0.fetch_add(0x9e37_79b9, Ordering::Relaxed) | 1;
        let fan_in = shape.dims().iter().skip(1).product::<usize>().max(1) as f32;
        // Statistics of norms stay positive, matrices keep the size of what goes through them.
        let (middle, spread) = match init {
            Init::Const(value) => (value as f32, 0.01),
            _ => (0.0, (3.0 / fan_in).sqrt()),
        };
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            middle + spread * ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
        };
        let values: Vec<f32> = std::iter::repeat_with(next).take(shape.elem_count()).collect();
        Tensor::from_vec(values, shape, device)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} has no shape")
    }

    // Nothing that only some files have.
    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}
