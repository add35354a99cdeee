//! LivePortrait (Guo et al. 2024): a portrait that moves as key points say.
//!
//! F and M look at the source once; per frame W warps F's features to the driving key points and G makes the picture.
//! Owns the networks and how a job is carried out; never decides what a frame shows.
//!
//! [models]: crate::models
//! [benches]: crate::benchmarks#liveportrait
//!
#![doc = include_str!("liveportrait/README.md")]

pub(crate) mod appearance;
mod canvas;
pub mod config;
mod controls;
mod driving;
pub mod files;
mod frames;
pub(crate) mod generator;
pub mod keypoints;
mod model;
pub(crate) mod motion;
pub mod networks;
pub mod parts;
pub(crate) mod retargeting;
pub(crate) mod warping;
mod workspace;

pub use model::{LivePortraitModel, Options};
pub use workspace::planned as planned_workspace;

#[cfg(test)]
mod tests;
