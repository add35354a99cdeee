//! Which of an operator's two forms runs.

use candle_core::{DType, Device};

/// How a network's operators are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// Our own kernels: on the processor, in f32, fused, and vectorised for what it has.
    Fused,
    /// Stock tensor operations in this precision, on any device.
    Stock(DType),
    /// Nothing is prepared and nothing can run: only the names and shapes of the weights matter.
    Listed,
}

impl Kernels {
    /// In f32 on `device`: ours on the processor, stock operations elsewhere.
    pub fn of(device: &Device) -> Self {
        if device.is_cpu() { Self::Fused } else { Self::Stock(DType::F32) }
    }

    /// The precision that activations have.
    pub fn dtype(self) -> DType {
        match self {
            Self::Stock(dtype) => dtype,
            Self::Fused | Self::Listed => DType::F32,
        }
    }
}
