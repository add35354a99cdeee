//! A network of nodes over a durable queue: NATS JetStream, an engine that exists; the protocol on top of it is ours.
//!
//! Owns subjects and streams, connections, what is said on them, and when a claim on a piece of work holds. Knows no
//! actors and no settings: the service wires it to the node, the command line asks by it.
//!
#![doc = include_str!("network/README.md")]

pub mod attempts;
pub mod cancels;
mod class;
mod error;
mod hand_in;
pub mod letters;
mod link;
pub mod listing;
pub mod progress;
mod record;
pub mod results;
mod session;
mod subjects;
#[cfg(test)]
mod tests;

pub use class::{Class, Pace, Priority, Recipient, Size};
pub use error::NetworkError;
pub use hand_in::{Handed, hand_in};
pub use link::{Link, LinkState};
pub use record::VERSION;
pub use session::{Credentials, Server, Session, Stored};
pub use subjects::{PrefixError, Stream, Subjects, WorkSubject};
