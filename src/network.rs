//! A network of nodes over a durable queue: NATS JetStream, an engine that exists; the protocol on top of it is ours.
//!
//! Owns subjects and streams, connections, what is said on them, and when a claim on a piece of work holds. Knows no
//! actors and no settings: the service wires it to the node, the command line asks by it.
//!
//! [verify]: crate::verify
//!
#![doc = include_str!("network/README.md")]

pub mod agree;
pub mod attempts;
mod bucket;
pub mod cancels;
mod claim;
mod class;
pub mod directors;
mod error;
pub mod gc;
mod hand_in;
pub mod letters;
mod link;
pub mod listing;
pub mod overview;
pub mod permissions;
mod plan;
pub mod progress;
mod pull;
mod record;
pub mod registry;
pub mod results;
mod server_time;
mod session;
pub mod setup;
mod subjects;
mod submit;
pub mod sync;
#[cfg(test)]
mod tests;

pub use claim::{Claim, ClaimClock};
pub use class::{Class, Pace, Priority, Recipient, Size};
pub use error::NetworkError;
pub use hand_in::{Handed, hand_in};
pub use link::{Link, LinkState};
pub use plan::{EpochRule, Order, PlanError, Unfit, plan};
pub use pull::Delivery;
pub use record::VERSION;
pub use server_time::ClockOffset;
pub use session::{Credentials, Server, Session, Stored};
pub use subjects::{PrefixError, Stream, Subjects, WorkSubject};
pub use submit::{Standing, SubmitError, Submitted, submit};
