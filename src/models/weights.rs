//! Weights on disk and what a network expects of them.
//!
//! [`Weights`] maps one or several safetensors files and knows every tensor by name, shape and dtype before a byte of
//! it is read; [`load()`] builds a network from them, and its errors name file, tensor, expected and found. [`check`]
//! compares files with what a network asks for without loading anything. GGUF files are read by their own model.
//!
//! [catalog]: crate::models#one-table
//! [cli]: crate::cli
//!
#![doc = include_str!("weights/README.md")]

pub(crate) mod check;
mod error;
mod files;
mod finite;
mod float8;
mod header;
mod index;
mod load;
pub(crate) mod naming;
pub mod pickle;
pub mod spec;
pub(crate) mod writer;

pub use error::WeightsError;
pub use files::{Found, Weights};
pub use load::{Loaded, Loading, Options, load};
