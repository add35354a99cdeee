//! Rehearsals: the real tree on a scripted device, with scripted models and scripted misfortune.
//!
//! A scenario (TOML, see `config/rehearsals/`) declares memory, durations, arrivals, faults and what is expected of the
//! node. Everything that decides is the node's own: same actors, same policies. Owns the played parts only: models
//! ([`scripted_models`]), the recipes' reading (`scripted_pipeline`), the driver ([`drive`]), whoever watches
//! from outside (`witness`) and the report ([`report`]). Scenarios that nobody wrote come from [`chaos`].
//!
//! [benches]: crate::benchmarks#supervision
//!
#![doc = include_str!("rehearse/README.md")]

pub mod chaos;
mod client;
pub(crate) mod drive;
mod misfortune;
mod panics;
mod reader;
mod recorder;
pub(crate) mod report;
pub mod scenario;
pub(crate) mod scripted_models;
mod scripted_pipeline;
pub mod serving;
mod theatre;
mod witness;

pub use drive::{Pace, RehearsalError, rehearse, rehearse_seen_by};
pub use report::{Above, Report, Standstill};
pub use scenario::{Scenario, ScenarioError};
