//! What the networks are built from beyond candle's own layers: operators that it lacks, and faster ones where a loop needs them.
//!
//! Knows tensors only; never a model's names, files or configuration.

pub mod batch_norm;
pub mod conv;
pub mod conv3;
pub mod depthwise;
mod gemm;
pub mod grid_sample;
pub mod instance_norm;
pub mod kernels;
pub mod pixel_shuffle;
pub mod resample;
pub(super) mod simd;
pub mod stencil;
