//! Layers that several models share, and the processor kernels under them.
//!
//! On a CUDA device every layer is candle's own operations. On the processor candle's are slower than PyTorch's, for
//! reasons that are mended here, once:
//! - weights are packed into the kernel's order when they are loaded, not copied into it at every product ([`panels`]);
//! - bias, activation and residual are added in the product's own tiles instead of in passes of their own, which in
//!   candle run on one thread;
//! - attention reads queries, keys and values where they lie and makes scores, softmax and sum tile by tile
//!   ([`attention()`]), without transposed copies;
//! - exponentials are vectorised, as candle's are not.
//!
//! A network asks for its weights from a `VarBuilder`, so that [`spec::record`](super::weights::spec::record) can list
//! them; nothing is packed there.

mod activation;
mod attention;
pub mod batch_norm;
pub mod conv;
pub mod conv3;
pub mod depthwise;
mod disjoint;
mod form;
mod gemm;
pub mod grid_sample;
pub mod instance_norm;
mod linear;
mod lookup;
mod norm;
pub mod panels;
pub mod pixel_shuffle;
pub mod resample;
pub(super) mod simd;
pub mod stencil;

pub use activation::Activation;
pub use attention::{Mask, attention};
pub use form::Kernels;
pub(in crate::models) use form::with_values;
pub use linear::{Linear, Precision};
pub use lookup::{Embedding, Patches, parameter};
pub use norm::LayerNorm;

use candle_core::{CpuStorage, Layout, Result};

/// The elements of a contiguous f32 tensor in host memory.
fn contiguous_f32<'a>(storage: &'a CpuStorage, layout: &Layout, doing: &str) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("{doing} needs a contiguous tensor, not {layout:?}")
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}
