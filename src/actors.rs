//! The supervision tree: node, devices, watchdog, models' supervisor, one actor per model, orchestrator; and the hosts.
//!
//! Decisions are pure siblings: [`restart`], [`plan`], [`admission`], [`placement`], [`memory`]. What the tree does not know
//! comes in through seams: models by [`host::Launch`], recipes by [`pipeline::Pipeline`], records by
//! [`Journal`](crate::journal::Journal), samples of memory by [`watchdog::Sampler`]. [`tree`] is one card's, [`handle`] all
//! of them and their outside.
//!
//! [journal]: crate::journal
//! [rehearse]: crate::rehearse
//! [benches]: crate::benchmarks#supervision
//!
#![doc = include_str!("actors/README.md")]

pub mod admission;
mod assignments;
mod deadline_timer;
pub mod device;
pub mod handle;
pub mod host;
pub mod job;
pub mod limits;
pub mod memory;
pub mod messages;
pub mod model_actor;
pub mod node;
pub mod orchestrator;
pub mod pipeline;
pub mod placement;
mod placer;
pub mod plan;
pub mod registry;
pub mod restart;
mod slot;
pub mod spec;
pub mod supervisor;
pub mod tree;
pub mod watchdog;
