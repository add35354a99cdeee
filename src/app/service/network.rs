//! The service in a network: pulls work while it has room, holds claims, hands results over once, and says that it is there.
//!
//! Owns what one node does in a network; what is said to the queue is [`network`](crate::network)'s.
//!
//! [benches]: crate::benchmarks
//!
#![doc = include_str!("network/README.md")]

mod admit;
mod claims;
mod conclude;
mod heartbeat;
mod holder;
mod join;
mod letters;
mod progress;
mod pulling;
mod shown;
mod stages;
mod standing;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

pub(super) use claims::{Claims, Verdict};
pub(super) use join::start;

use crate::config;
use crate::network::{ClockOffset, Link};
use crate::sink::store::Store;
use crate::types::Sha256;

/// What this node is in its network; clones are handles to the same.
#[derive(Clone)]
pub(super) struct Network {
    link: Link,
    store: Store,
    claims: Arc<Claims>,
    settings: Arc<config::Network>,
    /// This node's public key, as 64 hexadecimal digits.
    id: Arc<str>,
    bundle: Sha256,
    /// Streams and consumers are as they have to be.
    prepared: watch::Sender<bool>,
    /// No other process has this node's id.
    alone: watch::Sender<bool>,
    /// How far this machine's clock is from the server's, as last compared; none before.
    clock: Arc<Mutex<Option<ClockOffset>>>,
    /// Told when a claim is let go of.
    room: Arc<Notify>,
    /// Claims that were lost.
    losses: Arc<AtomicU64>,
    /// Letters that this node has written.
    letters: Arc<AtomicU64>,
    /// Nodes that are away and whose work may be rendered here.
    stands_in_for: Arc<Mutex<Vec<String>>>,
    /// Why this node pulls nothing, though its doors are open; none where it does.
    held_off: Arc<Mutex<Option<String>>>,
}

impl Network {
    /// How often the markers of slots that are not wanted are read while one is rendered, beside each stage's beginning.
    fn cancels_read_every(&self) -> Duration {
        (self.settings.ack_wait / 6).clamp(Duration::from_millis(500), Duration::from_secs(5))
    }
}
