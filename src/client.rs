//! The other side of the API: what commands on any machine ask a running node with.
//!
//! Owns where a node is found ([`Access`]), the requests ([`Client`]), what is repeated when and how often, the stream of
//! events ([`Events`]) and downloads. Knows the API's JSON ([`views`](crate::api::views)) and nothing of the node behind
//! it. Writes nothing to a terminal and never shows a token.
//!
#![doc = include_str!("client/README.md")]

mod access;
mod answer;
mod calls;
mod download;
mod error;
mod events;
pub mod local;
mod look;
mod names;
mod probe;
mod request;
mod sse;
mod token;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

pub(crate) use access::is_loopback;
pub use access::{Access, Certificates, Secret, Wanted};
pub use calls::{Login, Operation, Receipt, Submission, WebhookDelivery};
pub use download::Fetched;
pub(crate) use download::place;
pub use error::{ClientError, Refusal};
pub use events::{Events, Heard, Source};
pub use look::Looked;
pub(crate) use names::plain;
pub use probe::{Probed, probe};
pub use request::{Client, Patience};
pub use sse::{Decoder, Frame, TooLong};
pub use token::Token;
