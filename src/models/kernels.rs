//! The operators that the models share, each with kernels of our own for the processor and candle's operations elsewhere.
//!
#![doc = include_str!("kernels/README.md")]

mod activation;
mod attention;
pub(crate) mod batch_norm;
pub(in crate::models) mod buffers;
pub(crate) mod conv;
pub(crate) mod conv1d;
pub mod conv3;
pub(crate) mod depthwise;
mod direct;
mod elementary;
mod elementwise;
mod form;
pub(crate) mod grid_sample;
mod group_norm;
mod host;
pub(crate) mod instance_norm;
mod joint_attention;
mod linear;
mod lookup;
mod lstm;
mod matrix;
mod moments;
pub mod nf4;
mod norm;
pub mod panels;
pub(crate) mod pixel_shuffle;
pub(crate) mod resample;
pub(crate) mod response_norm;
mod signal;
pub(crate) mod stencil;
mod stft;
mod upsample;

pub use activation::Activation;
pub use attention::{Mask, attention, attention_of_rows};
pub use direct::DirectConv;
pub(in crate::models) use elementary::exp;
pub use elementwise::{beside_gelu, gate_add, gated_gelu};
pub use form::Kernels;
pub use group_norm::GroupNorm;
pub(in crate::models) use host::{on_host, with_values};
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
