//! A network of nodes that share a queue: what needs no connection of its own yet.
//!
//! Owns which results of one slot agree, and what each role may do on the servers. Knows no settings and no actors.
//!
//! [verify]: crate::verify
//!
#![doc = include_str!("network/README.md")]

pub mod agree;
pub mod permissions;
