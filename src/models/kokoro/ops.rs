//! The operators that Kokoro needs and candle lacks or does slowly: fused 1-D convolutions, AdaIN, LSTMs, STFTs.
//!
//! Each has two forms that the parity tests hold to the same figures: vectorised Rust for the CPU, and candle's own
//! tensor operations for every other device. Owns no weights' names.

pub mod adain;
pub mod conv1d;
pub mod kernel;
pub mod lstm;
pub mod prepare;
pub mod stft;
pub mod upsample;

use candle_core::{Device, Result, Storage, Tensor};

/// Which form of the operators runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// Vectorised Rust on the CPU, in place where it can be.
    Cpu,
    /// candle's operations, on any device.
    Portable,
}

impl Kernels {
    /// The one for this device.
    pub fn of(device: &Device) -> Self {
        if device.is_cpu() { Self::Cpu } else { Self::Portable }
    }
}

/// One signal on the CPU: `channels` rows of `len` samples, one after the other.
#[derive(Clone, Debug)]
pub struct Signal {
    /// Rows.
    pub channels: usize,
    /// Samples in each.
    pub len: usize,
    /// `channels · len` values.
    pub data: Vec<f32>,
}

impl Signal {
    /// All zero.
    pub fn zeros(channels: usize, len: usize) -> Self {
        Self { channels, len, data: vec![0.0; channels * len] }
    }

    /// A copy of a [1, channels, len] tensor on the CPU.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        let (batch, channels, len) = tensor.dims3()?;
        if batch != 1 {
            candle_core::bail!("a signal is one of a batch, not {batch}");
        }
        Ok(Self { channels, len, data: with_slice(tensor, |values| Ok(values.to_vec()))? })
    }

    /// As a [1, channels, len] tensor on the CPU, without a copy.
    pub fn into_tensor(self) -> Result<Tensor> {
        Tensor::from_vec(self.data, (1, self.channels, self.len), &Device::Cpu)
    }
}

/// Hands the values of an f32 CPU tensor to `use_them`, in order; copies only where they do not lie in order.
pub fn with_slice<T>(tensor: &Tensor, use_them: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        candle_core::bail!("the CPU operators were given a tensor elsewhere")
    };
    let start = layout.start_offset();
    let values = storage.as_slice::<f32>()?;
    use_them(&values[start..start + layout.shape().elem_count()])
}

#[cfg(test)]
mod tests;
