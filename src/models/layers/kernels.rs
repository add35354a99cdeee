//! Which of an operator's two forms runs, and the little that both share.
//!
//! Owns the choice, the activations and the way from a tensor to its numbers; never an operator itself.

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

/// What is done to a sum when it is finished.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// x where it is positive, else this share of it.
    Leaky(f32),
}

impl Activation {
    /// The factor of negative values: all three are one formula, which keeps loops free of branches.
    pub(super) fn negative_slope(self) -> f32 {
        match self {
            Self::None => 1.0,
            Self::Relu => 0.0,
            Self::Leaky(slope) => slope,
        }
    }

    /// Of every element, by stock operations.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::None => Ok(x.clone()),
            Self::Relu => x.relu(),
            Self::Leaky(slope) => x.maximum(&x.affine(f64::from(slope), 0.0)?),
        }
    }
}

/// `x` where it is positive, else `slope · x`. NaN stays NaN.
#[inline(always)]
pub(super) fn leaky(x: f32, slope: f32) -> f32 {
    if x > 0.0 { x } else { x * slope }
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
