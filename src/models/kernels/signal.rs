//! A sound, or features over time, on the processor.

use candle_core::{Device, Result, Tensor};

use super::host::with_values;

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
        Ok(Self { channels, len, data: with_values(tensor, |values| Ok(values.to_vec()))? })
    }

    /// As a [1, channels, len] tensor on the CPU, without a copy.
    pub fn into_tensor(self) -> Result<Tensor> {
        Tensor::from_vec(self.data, (1, self.channels, self.len), &Device::Cpu)
    }
}
