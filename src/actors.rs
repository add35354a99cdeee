//! The supervision tree: root, watchdog, models' supervisor, one actor per model, orchestrator; and the hosts.
//!
//! ```text
//! RootSupervisor            root.rs          ends the process; moves the slots of a lost card to another
//! └── NodeSupervisor        node.rs          one per card: restarts the three below, or gives the card up
//!     ├── VramWatchdog      watchdog.rs      looks at memory, has done what is due
//!     ├── ModelSupervisor   supervisor.rs    restarts models once their memory is back
//!     │   └── ModelActor<M> model_actor.rs   a model's mailbox; the model lives in a host (host/)
//!     └── Orchestrator      orchestrator/    walks slots through their stages
//! ```
//!
//! Decisions are pure siblings: [`restart`], [`plan`], [`admission`], [`placement`], [`memory`]. What the tree does not know comes in
//! through seams: models by [`host::Launch`], recipes by [`studio::Studio`], records by
//! [`Journal`](crate::journal::Journal), looks at memory by [`watchdog::Looker`]. [`tree`] is one
//! card's, [`cards`] all of them and their outside.

pub mod admission;
mod alarm;
pub mod cards;
pub mod events;
pub mod host;
pub mod job;
pub mod memory;
pub mod model_actor;
pub mod node;
pub mod orchestrator;
pub mod placement;
pub mod plan;
pub mod registry;
pub mod restart;
pub mod root;
mod seats;
pub mod spec;
pub mod studio;
pub mod supervisor;
pub mod tree;
pub mod watchdog;
