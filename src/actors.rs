//! The supervision tree: node, devices, watchdog, models' supervisor, one actor per model, orchestrator; and the hosts.
//!
//! Decisions are pure siblings: [`restart`], [`plan`], [`admission`], [`placement`], [`memory`]. What the tree does not know
//! comes in through seams: models by [`host::Launch`], recipes by [`pipeline::Pipeline`], records by
//! [`Journal`](crate::journal::Journal), samples of memory by [`sampler::Sampler`]. [`tree`] is one card's, [`handle`] all
//! of them and their outside.
//!
//! [journal]: crate::journal
//! [rehearse]: crate::rehearse
//! [benches]: crate::benchmarks#supervision
//!
#![doc = include_str!("actors/README.md")]

pub(crate) mod admission;
mod assignments;
mod deadline_timer;
pub(crate) mod device;
pub mod handle;
pub(crate) mod host;
pub(crate) mod job;
pub(crate) mod limits;
mod liveness;
pub(crate) mod memory;
pub(crate) mod messages;
pub(crate) mod model_actor;
pub(crate) mod node;
pub(crate) mod orchestrator;
pub(crate) mod pipeline;
pub(crate) mod placement;
mod placer;
pub(crate) mod plan;
pub(crate) mod registry;
pub(crate) mod restart;
pub(crate) mod sampler;
mod slot;
pub(crate) mod spec;
pub(crate) mod supervisor;
pub(crate) mod tree;
pub(crate) mod watchdog;
