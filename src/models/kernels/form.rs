//! Which of an operator's two forms runs, and the way from a tensor to its numbers.
//!
//! Never an operator itself.

use candle_core::{CpuStorage, DType, Result, Storage, Tensor, bail};

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
    /// The precision that activations have.
    pub fn dtype(self) -> DType {
        match self {
            Self::Stock(dtype) => dtype,
            Self::Fused | Self::Listed => DType::F32,
        }
    }
}

/// Hands the numbers of a contiguous f32 tensor on the processor to `f`.
pub(in crate::models) fn with_values<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("a contiguous tensor is expected") };
    match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => f(&values[start..end]),
        _ => bail!(
            "the fused kernels take f32 on the processor, not {:?} on {:?}",
            tensor.dtype(),
            tensor.device()
        ),
    }
}

/// The numbers of a small tensor, copied.
pub(super) fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
}
