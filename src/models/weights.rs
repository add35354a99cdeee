//! Weights on disk and what a network expects of them.

pub mod spec;
