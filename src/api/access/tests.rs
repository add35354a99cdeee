//! The guard over real sockets: a node with a few routes of the real table, and clients that should not get in.

mod headers;
mod login;
mod node;
mod refusals;
