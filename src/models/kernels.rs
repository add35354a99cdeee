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
pub mod conv1d;
pub mod conv3;
pub mod depthwise;
mod direct;
mod disjoint;
mod elementary;
mod elementwise;
mod form;
pub mod grid_sample;
mod group_norm;
mod host;
pub mod instance_norm;
mod joint_attention;
mod linear;
mod lookup;
mod lstm;
mod matrix;
mod moments;
pub mod nf4;
mod norm;
pub mod panels;
pub mod pixel_shuffle;
pub mod resample;
mod signal;
pub mod stencil;
mod stft;
mod upsample;

pub use activation::Activation;
pub use attention::{Mask, attention, attention_of_rows};
pub use direct::DirectConv;
pub(in crate::models) use elementary::exp;
pub use elementwise::{beside_gelu, gate_add, gated_gelu};
pub use form::Kernels;
pub use group_norm::GroupNorm;
pub(in crate::models) use host::with_values;
pub use joint_attention::{Qkv, Rotation, joint_attention};
pub use linear::{Gguf, Linear, Precision, Weight};
pub use lookup::{Embedding, Patches, parameter};
pub use lstm::BiLstm;
pub use matrix::ShapeError;
pub(in crate::models) use moments::moments;
pub use norm::{LayerNorm, modulated, rms_norm};
pub use signal::Signal;
pub use stft::Stft;
pub use upsample::{Doubler, Upsample};

#[cfg(test)]
mod tests;
