//! The node runtime of a distributed render network: five resident models, supervised, under a deadline.
//!
//! One part per module, each with a list of what it may not know; `tests/integration/architecture.rs` enforces it.
//! Nothing is re-exported here: a path says which part a thing belongs to.
//!
//! [benches-build]: crate::benchmarks#build

#![doc = include_str!("README.md")]
#![warn(unreachable_pub)]

pub mod actors;
pub mod allocator;
pub mod api;
pub mod app;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod contract;
pub(crate) mod cuda;
pub mod direction;
pub mod events;
pub mod exit;
pub mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub(crate) mod gpu_check;
pub(crate) mod hub;
pub mod intake;
pub mod journal;
pub mod media;
pub mod models;
pub mod network;
pub(crate) mod pipeline;
mod profile;
pub mod recipe;
pub mod rehearse;
pub(crate) mod signing;
mod simd;
pub mod sink;
pub mod telemetry;
pub mod types;
pub(crate) mod verify;
pub mod vram;
pub mod webhooks;

/// What was measured, for the parts' pages to link to; empty otherwise.
#[cfg(doc)]
#[doc = include_str!("../tests/benches/README.md")]
pub mod benchmarks {}
