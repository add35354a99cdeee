//! Flux-Schnell: from a prompt to a picture.
//!
//! A prompt is read by two text encoders, T5 ([`t5`]) token by token and CLIP
//! ([`TextTower`](super::clip::text::TextTower)) as a whole; the [`transformer`] then moves noise towards a picture in a
//! few steps ([`schedule`]), and the [`vae`] turns the latent picture into pixels. Weights come in every published shape
//! and precision ([`source`], [`nf4`], [`gguf`]).
//!
//! [benches]: crate::benchmarks#flux
//!
#![doc = include_str!("flux/README.md")]

pub mod config;
pub mod files;
pub mod gguf;
pub(crate) mod latents;
pub mod load;
pub mod model;
pub(in crate::models) mod naming;
pub mod nf4;
pub mod plan;
pub mod precision;
pub(crate) mod schedule;
pub mod source;
pub mod t5;
pub mod tensors;
pub(crate) mod text;
pub mod transformer;
pub mod vae;
