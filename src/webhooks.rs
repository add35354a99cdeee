//! Webhooks: a slot's events, sent to the address that was handed in with it.
//!
//! Owns what an address may be, what is sent and how it is signed, and the task that sends what the journal's outbox
//! holds. The rows themselves are the journal's ([`Outbox`]); a slot never waits for anything here. Never sends a token of
//! ours, follows no redirect, and reaches no address that was not checked.
//!
#![doc = include_str!("webhooks/README.md")]

mod address;
mod date;
mod filter;
mod message;
mod outbox;
mod schedule;
mod secret;
mod sender;
mod target;
mod transport;

#[cfg(test)]
mod receiver;
#[cfg(test)]
mod tests;

pub use filter::{ENDS, EVENTS, Filter, FilterError};
pub use message::{MessageError, body};
pub use outbox::{AnyError, Mark, Outbox, Reply, Row, Skip};
pub use schedule::LONGEST_WAIT;
pub use secret::{SecretError, Secrets};
pub use sender::{Notice, Options, Parts, run};
pub use target::{Reach, RuleError, Rules, Target, TargetError, origin_of};
pub use transport::{Answer, HttpTransport, Lookup, Post, SystemLookup, Transport, TransportError};
