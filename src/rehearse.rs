//! Rehearsals: the real tree on a scripted device, with scripted models and scripted misfortune.
//!
//! A scenario (TOML, see `config/rehearsals/`) declares memory, durations, arrivals, faults and what is expected of the
//! node. Everything that decides is the node's own: same actors, same policies. Owns the played parts only: models
//! ([`scripted_models`]), the recipes' reading (`scripted_pipeline`), the driver ([`drive`]) and the report ([`report`]).
//!
//! [benches]: crate::benchmarks#supervision
//!
#![doc = include_str!("rehearse/README.md")]

mod client;
pub(crate) mod drive;
mod reader;
pub(crate) mod report;
pub mod scenario;
pub(crate) mod scripted_models;
mod scripted_pipeline;

pub use drive::{Pace, rehearse, rehearse_seen_by};
pub use report::Report;
pub use scenario::{Scenario, ScenarioError};
