//! What is still to happen in a simulated network, in order of time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

/// On its way to the server. Slots, nodes and deliveries are named by their places.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// Slots from `first` on.
    HandIn { first: u32, count: u32 },
    /// What there is, at most `room`; of so many consumers, one after the other, as the server finds out.
    Pull { node: u32, life: u32, sent: Duration, room: u32, consumers: u32 },
    /// What comes first, from any consumer.
    Wait { node: u32, life: u32, sent: Duration },
    /// Whether there is a result.
    Look { delivery: u32 },
    /// A line of the history.
    Attempt,
    /// Progress told at `sent`.
    Progress { delivery: u32, sent: Duration },
    /// A result.
    Create { delivery: u32 },
    /// An acknowledgement.
    Acknowledge { delivery: u32 },
    /// An entry of the registry.
    Heartbeat { node: u32, sent: Duration },
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// The director hands in what is next.
    HandsIn,
    /// At the server.
    Arrives(Request),
    /// The server has done it.
    Done(Request),
    /// The server's time for a delivered slot is over, or would be without progress.
    KeptLongEnough { slot: u32 },
    /// A node's wait has lasted as long as it may.
    WaitEnds { node: u32, ticket: u64 },
    /// It is told so.
    WaitEnded { node: u32, life: u32 },
    /// A node that renders looks again for work to go on with.
    AsksAgain { node: u32, life: u32 },
    /// A node is told that there is no work.
    NothingThere { node: u32, life: u32 },
    /// A delivery reaches its node.
    Reaches { delivery: u32 },
    /// The node is told whether a result is there.
    Looked { delivery: u32, is_there: bool },
    /// Its progress is confirmed.
    Confirmed { delivery: u32, sent: Duration },
    /// Its result, or another's, stands.
    Created { delivery: u32 },
    /// The slot is gone from the queue.
    Acknowledged { delivery: u32 },
    /// It tells progress.
    Tells { delivery: u32 },
    /// Its claim is over, unless it was made longer.
    ClaimEnds { delivery: u32 },
    /// It is rendered.
    Rendered { delivery: u32 },
    /// Its artifacts are in the store.
    Uploaded { delivery: u32 },
    /// A node's registry entry is due.
    Beats { node: u32 },
    /// A node is killed.
    Dies { node: u32 },
    /// It is back.
    Returns { node: u32 },
}

struct Entry {
    at: Duration,
    number: u64,
    event: Event,
}

/// What is to come; of two at the same moment the one that was put first.
#[derive(Default)]
pub struct Agenda {
    entries: BinaryHeap<Reverse<Entry>>,
    numbers: u64,
}

impl Agenda {
    pub fn put(&mut self, at: Duration, event: Event) {
        self.numbers += 1;
        self.entries.push(Reverse(Entry { at, number: self.numbers, event }));
    }

    pub fn next(&mut self) -> Option<(Duration, Event)> {
        self.entries.pop().map(|entry| (entry.0.at, entry.0.event))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}
