//! The supervision tree: root, watchdog, models' supervisor, one actor per model, orchestrator; and the hosts.
//!
//! ```text
//! NodeSupervisor            node.rs          ends the process; restarts the three below
//! ├── VramWatchdog          watchdog.rs      looks at memory, has done what is due
//! ├── ModelSupervisor       supervisor.rs    restarts models once their memory is back
//! │   └── ModelActor<M>     model_actor.rs   a model's mailbox; the model lives in a host (host/)
//! └── Orchestrator          orchestrator/    walks slots through their stages
//! ```
//!
//! Decisions are pure siblings: [`restart`], [`plan`], [`admission`], [`memory`]. What the tree does not know comes in
//! through seams: models by [`host::Launch`], recipes by [`studio::Studio`], records by
//! [`Journal`](crate::journal::Journal), looks at memory by [`watchdog::Looker`]. [`tree`] is its outside.

pub mod admission;
mod alarm;
pub mod events;
pub mod host;
pub mod job;
pub mod memory;
pub mod model_actor;
pub mod node;
pub mod orchestrator;
pub mod plan;
pub mod registry;
pub mod restart;
pub mod spec;
pub mod studio;
pub mod supervisor;
pub mod tree;
pub mod watchdog;
