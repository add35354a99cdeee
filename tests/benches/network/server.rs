//! The queue's server, as a model: lanes that do one request after the other, a line of slots for each class, who waits
//! at it, and until when a delivered slot is kept from others.

use std::collections::VecDeque;
use std::time::Duration;

use enum_map::EnumMap;

use super::costs::{Costs, Kind, Lane};

/// A slot as the server and the statistics see it.
pub struct Slot {
    pub class: u16,
    /// How much longer than the middle it takes.
    pub length: f32,
    /// It has been accepted.
    pub handed_in: Duration,
    /// A node began to render it for the first time.
    pub begun: Option<Duration>,
    /// Its result stands since then.
    pub ended: Option<Duration>,
    pub is_acknowledged: bool,
    pub deliveries: u32,
    /// Who got it last.
    pub holder: Option<u32>,
    /// Then it is given to somebody else; in a line where there is none.
    pub redelivered_at: Option<Duration>,
}

impl Slot {
    pub fn new(class: u16, length: f32) -> Self {
        Self {
            class,
            length,
            handed_in: Duration::ZERO,
            begun: None,
            ended: None,
            is_acknowledged: false,
            deliveries: 0,
            holder: None,
            redelivered_at: None,
        }
    }
}

pub struct Server {
    costs: Costs,
    free_at: EnumMap<Lane, Duration>,
    busy: EnumMap<Kind, Duration>,
    pub requests: EnumMap<Kind, u64>,
    lines: Vec<VecDeque<u32>>,
    waiting: Vec<VecDeque<(u32, u64)>>,
    /// Under which number a node waits.
    tickets: Vec<Option<u64>>,
    next_ticket: u64,
    pub slots: Vec<Slot>,
}

impl Server {
    pub fn new(costs: Costs, classes: usize, nodes: usize, slots: Vec<Slot>) -> Self {
        Self {
            costs,
            free_at: EnumMap::default(),
            busy: EnumMap::default(),
            requests: EnumMap::default(),
            lines: vec![VecDeque::new(); classes],
            waiting: vec![VecDeque::new(); classes],
            tickets: vec![None; nodes],
            next_ticket: 0,
            slots,
        }
    }

    /// When it has done what arrives at `now`.
    pub fn takes(&mut self, kind: Kind, count: u32, now: Duration) -> Duration {
        let cost = self.costs.of(kind, count);
        self.busy[kind] += cost;
        self.requests[kind] += u64::from(count);
        let free_at = &mut self.free_at[self.costs.lane(kind)];
        *free_at = now.max(*free_at) + cost;
        *free_at
    }

    /// The share of its lane's time until `now` that each kind of request took.
    pub fn shares(&self, now: Duration) -> EnumMap<Kind, f64> {
        // What has arrived and is not done yet counts, with the time that it still takes.
        let over = |kind| now.max(self.free_at[self.costs.lane(kind)]).as_secs_f64();
        self.busy.map(|kind, busy| busy.as_secs_f64() / over(kind))
    }

    /// How many consumers are asked until one has something; all of them where none has.
    pub fn asked(&self, classes: &[u16]) -> u32 {
        let found = classes.iter().position(|class| !self.lines[usize::from(*class)].is_empty());
        // Before all of them the node's own, which is empty.
        1 + found.map_or(classes.len(), |place| place + 1) as u32
    }

    /// The first slot of the first of these classes that has one.
    pub fn pop(&mut self, classes: &[u16]) -> Option<u32> {
        let Self { lines, slots, .. } = self;
        classes.iter().find_map(|class| {
            let line = &mut lines[usize::from(*class)];
            // Who lost its claim may have acknowledged it all the same.
            std::iter::from_fn(|| line.pop_front()).find(|slot| !slots[*slot as usize].is_acknowledged)
        })
    }

    /// Has a node wait; the number that it waits under.
    pub fn wait(&mut self, node: u32, classes: &[u16]) -> u64 {
        self.next_ticket += 1;
        self.tickets[node as usize] = Some(self.next_ticket);
        for class in classes {
            let waiting = &mut self.waiting[usize::from(*class)];
            while waiting.front().is_some_and(|(node, ticket)| self.tickets[*node as usize] != Some(*ticket))
            {
                waiting.pop_front();
            }
            waiting.push_back((node, self.next_ticket));
        }
        self.next_ticket
    }

    /// Ends a node's wait: the one under this number, or any. Whether there was one.
    pub fn leave(&mut self, node: u32, ticket: Option<u64>) -> bool {
        let waits = &mut self.tickets[node as usize];
        if waits.is_none() || ticket.is_some() && *waits != ticket {
            return false;
        }
        *waits = None;
        true
    }

    /// Who has waited longest for such a slot; waits no more.
    pub fn waiter(&mut self, slot: u32) -> Option<u32> {
        let waiting = &mut self.waiting[usize::from(self.slots[slot as usize].class)];
        while let Some((node, ticket)) = waiting.pop_front() {
            if self.tickets[node as usize] == Some(ticket) {
                self.tickets[node as usize] = None;
                return Some(node);
            }
        }
        None
    }

    /// Puts a slot that nobody waits for into its line; one that comes back goes first.
    pub fn line_up(&mut self, slot: u32) {
        let state = &mut self.slots[slot as usize];
        state.redelivered_at = None;
        let line = &mut self.lines[usize::from(state.class)];
        if state.deliveries > 0 { line.push_front(slot) } else { line.push_back(slot) }
    }
}
