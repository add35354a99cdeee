//! The service in a network: pulls work while it has room, holds claims, hands results over once, and says that it is there.
//!
//! Owns what one node does in a network; what is said to the queue is [`network`](crate::network)'s.
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
mod stages;
mod standing;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{Notify, watch};

pub(super) use claims::{Claims, Verdict};
pub(super) use join::start;

use crate::config;
use crate::network::Link;
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
    /// This machine's clock is far from the server's.
    clock_is_off: watch::Sender<bool>,
    /// Told when a claim is let go of.
    room: Arc<Notify>,
    /// Claims that were lost.
    losses: Arc<AtomicU64>,
    /// Why this node pulls nothing, though its doors are open; none where it does.
    held_off: Arc<parking_lot::Mutex<Option<String>>>,
}

impl Network {
    /// What an operator has to look at.
    pub(super) fn alert(&self) -> Option<String> {
        if let Some((since, error)) = self.link.down() {
            let gone = crate::clock::unix_time().saturating_sub(since).as_secs();
            return Some(format!("the network has been away for {gone} s: {error}"));
        }
        if *self.clock_is_off.borrow() {
            return Some(
                "nothing is pulled from the network: this machine's clock is not the network's".to_owned(),
            );
        }
        let error = self.held_off.lock().clone()?;
        Some(format!("nothing is pulled from the network: {error}"))
    }

    /// How often the markers of slots that are not wanted are read while one is rendered, beside each stage's beginning.
    fn cancels_read_every(&self) -> Duration {
        (self.settings.ack_wait / 6).clamp(Duration::from_millis(500), Duration::from_secs(5))
    }
}
