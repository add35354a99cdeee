//! A network in accelerated time: nodes that pull, render, lose claims and die, and the server between them.
//!
//! When a claim holds is the program's own [`Claim`]; which classes a node asks for, too. Everything else is a model: nodes
//! render one slot at a time, nothing but nodes fails, and a slow answer is waited for until the claim is over.

use std::time::Duration;

use enum_map::EnumMap;
use vortex_node::network::Claim;

use super::agenda::{Agenda, Event, Request};
use super::costs::{BATCH, Costs, Kind};
use super::dice::Dice;
use super::fleet::{self, Classes, Delivery, Node, Stage};
use super::server::{Server, Slot};

#[path = "holders.rs"]
mod holders;

pub const ACK_WAIT: Duration = Duration::from_secs(30);
/// A node's wait at the server, as `app/service/network/pulling.rs` has it: the claim counts from when it asked.
const WAIT: Duration = Duration::from_secs(6);
/// To the server and back: nodes are in other places than the server.
pub const TRIP: Duration = Duration::from_millis(20);
/// Artifacts to the store, while the next slot is rendered already.
const UPLOAD: Duration = Duration::from_millis(500);
/// A node is killed once in so long, and back so much later.
pub const LIFE: Duration = Duration::from_secs(2 * 3600);
pub const DOWN: Duration = Duration::from_secs(60);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A slot that was delivered more often is dead.
const DELIVERIES: u32 = 5;
/// Rates and shares are of the time until so many slots have ended: what comes after is the tail.
const MOST: f64 = 0.95;
/// A network that takes so many times as long as its nodes need, and some more for the last slots, gets nowhere.
const PATIENCE: f64 = 4.0;
const TAIL: Duration = Duration::from_secs(1500);

/// How slots come.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// All at once.
    Backlog,
    /// One by one, this share of what the nodes can render.
    Steady(f64),
}

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub nodes: u32,
    pub slots: u32,
    pub load: Load,
    /// Slots that a node holds before they are rendered, the one in work included.
    pub lookahead: usize,
    /// Whether one that renders waits for more at the server. It only takes what lies there now and then otherwise.
    pub waits_ahead: bool,
    pub costs: Costs,
    pub seed: u64,
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    /// Slots a second: ideal, and until most had ended.
    pub ideal: f64,
    pub rate: f64,
    /// Until all had ended, and until most had.
    pub lasted: Duration,
    pub most: Duration,
    /// Results of each node, in order.
    pub finished: Vec<u32>,
    /// From acceptance until it was first rendered, and until its result stood, in order.
    pub waits: Vec<Duration>,
    pub ends: Vec<Duration>,
    /// Slots that had no result when it was given up.
    pub open: u32,
    /// Share of the time until most had ended that the server's lanes were busy with each, and the nodes were rendering.
    pub server: EnumMap<Kind, f64>,
    pub rendering: f64,
    /// Requests of a slot, over all.
    pub requests: EnumMap<Kind, u64>,
    pub crashes: u64,
    pub redeliveries: u64,
    /// By nodes that were alive.
    pub lost_claims: u64,
    pub dead: u64,
    /// Share of all rendering that came to nothing, and that of it which crashes took.
    pub lost: f64,
    pub lost_by_crashes: f64,
}

struct World {
    now: Duration,
    agenda: Agenda,
    scenario: Scenario,
    server: Server,
    nodes: Vec<Node>,
    deliveries: Vec<Delivery>,
    arrivals: Dice,
    crashes: Dice,
    handed_in: u32,
    ended: u32,
    useful: Duration,
    crashed: Duration,
    outcome: Outcome,
}

/// Plays it to its end.
pub fn play(scenario: Scenario) -> Outcome {
    let classes = Classes::new();
    let dice = |what: u64| Dice::of(scenario.seed.wrapping_mul(8).wrapping_add(what));
    let nodes = fleet::throw(scenario.nodes, &classes, &mut dice(0));
    let mut lengths = dice(1);
    let slots =
        (0..scenario.slots).map(|_| Slot::new(classes.throw(&mut lengths), fleet::length(&mut lengths)));
    let server = Server::new(scenario.costs, classes.len(), nodes.len(), slots.collect());
    let ideal = fleet::ideal(&nodes);
    let mut world = World {
        now: Duration::ZERO,
        agenda: Agenda::default(),
        scenario,
        server,
        nodes,
        deliveries: Vec::new(),
        arrivals: dice(2),
        crashes: dice(3),
        handed_in: 0,
        ended: 0,
        useful: Duration::ZERO,
        crashed: Duration::ZERO,
        outcome: Outcome { ideal, ..Outcome::default() },
    };
    world.begin();
    let patience = Duration::from_secs_f64(f64::from(scenario.slots) / ideal * PATIENCE) + TAIL;
    while world.ended < scenario.slots && world.now < patience {
        let (at, event) = world.agenda.next().unwrap();
        world.now = at;
        world.happens(event);
    }
    world.finish()
}

impl World {
    fn begin(&mut self) {
        self.agenda.put(Duration::ZERO, Event::HandsIn);
        for node in 0..self.scenario.nodes {
            // Nodes were started at different times.
            let beat = HEARTBEAT.mul_f64(self.crashes.unit());
            self.agenda.put(beat, Event::Beats { node });
            self.agenda.put(beat, Event::Returns { node });
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::HandsIn => self.hand_in(),
            Event::Arrives(request) => self.arrives(request),
            Event::Done(request) => self.done(request),
            Event::KeptLongEnough { slot } => self.kept_long_enough(slot),
            Event::WaitEnds { node, ticket } => {
                if self.server.leave(node, Some(ticket)) {
                    let life = self.nodes[node as usize].life;
                    self.answer(Event::WaitEnded { node, life });
                }
            }
            Event::WaitEnded { node, life } => {
                if self.nodes[node as usize].life == life {
                    self.nodes[node as usize].is_asking = false;
                    self.ask(node);
                }
            }
            Event::AsksAgain { node, life } => {
                if self.nodes[node as usize].life == life {
                    self.ask(node);
                }
            }
            Event::NothingThere { node, life } => self.nothing_there(node, life),
            Event::Reaches { delivery } => self.reaches(delivery),
            Event::Looked { delivery, is_there } => self.looked(delivery, is_there),
            Event::Confirmed { delivery, sent } => self.confirmed(delivery, sent),
            Event::Created { delivery } => self.write(delivery, Request::Acknowledge { delivery }),
            Event::Acknowledged { delivery } => self.let_go(delivery),
            Event::Tells { delivery } => {
                self.write(delivery, Request::Progress { delivery, sent: self.now });
            }
            Event::ClaimEnds { delivery } => self.claim_ends(delivery),
            Event::Rendered { delivery } => self.rendered(delivery),
            Event::Uploaded { delivery } => self.write(delivery, Request::Create { delivery }),
            Event::Beats { node } => {
                if self.nodes[node as usize].is_up {
                    self.send(Request::Heartbeat { node, sent: self.now });
                } else {
                    self.agenda.put(self.now + HEARTBEAT, Event::Beats { node });
                }
            }
            Event::Dies { node } => self.dies(node),
            Event::Returns { node } => {
                self.nodes[node as usize].is_up = true;
                let lives = self.crashes.until(LIFE);
                self.agenda.put(self.now + lives, Event::Dies { node });
                self.ask(node);
            }
        }
    }

    /// The director, or all of them.
    fn hand_in(&mut self) {
        let (first, left) = (self.handed_in, self.scenario.slots - self.handed_in);
        let count = match self.scenario.load {
            Load::Backlog => left.min(BATCH),
            Load::Steady(share) => {
                let pause = Duration::from_secs_f64(1.0 / (self.outcome.ideal * share));
                let next = self.arrivals.until(pause);
                self.agenda.put(self.now + next, Event::HandsIn);
                left.min(1)
            }
        };
        if count > 0 {
            self.handed_in += count;
            self.send(Request::HandIn { first, count });
        }
    }

    fn send(&mut self, request: Request) {
        self.agenda.put(self.now + TRIP / 2, Event::Arrives(request));
    }

    fn answer(&mut self, event: Event) {
        self.agenda.put(self.now + TRIP / 2, event);
    }

    fn arrives(&mut self, mut request: Request) {
        let (kind, count) = match &mut request {
            Request::HandIn { count, .. } => (Kind::Publish, *count),
            Request::Pull { node, consumers, .. } => {
                *consumers = self.server.asked(&self.nodes[*node as usize].classes);
                (Kind::Pull, *consumers)
            }
            Request::Wait { node, .. } => (Kind::Pull, 1 + self.nodes[*node as usize].classes.len() as u32),
            Request::Look { .. } => (Kind::Look, 1),
            Request::Attempt => (Kind::Attempt, 1),
            Request::Progress { .. } => (Kind::Progress, 1),
            Request::Create { .. } => (Kind::Create, 1),
            Request::Acknowledge { .. } => (Kind::Acknowledge, 1),
            Request::Heartbeat { .. } => (Kind::Heartbeat, 1),
        };
        let done = self.server.takes(kind, count, self.now);
        self.agenda.put(done, Event::Done(request));
    }

    fn done(&mut self, request: Request) {
        match request {
            Request::HandIn { first, count } => {
                for slot in first..first + count {
                    self.server.slots[slot as usize].handed_in = self.now;
                    self.offer(slot);
                }
                if matches!(self.scenario.load, Load::Backlog) {
                    self.answer(Event::HandsIn);
                }
            }
            Request::Pull { node, life, sent, room, consumers } => {
                let mut left = if self.nodes[node as usize].life == life { room } else { 0 };
                // One after the other, each after the answer of the one before.
                let more = TRIP * consumers.saturating_sub(1);
                while left > 0 {
                    let Some(slot) = self.server.pop(&self.nodes[node as usize].classes) else { break };
                    self.deliver(slot, node, sent, more);
                    left -= 1;
                }
                if left == room {
                    self.agenda.put(self.now + TRIP / 2 + more, Event::NothingThere { node, life });
                }
            }
            Request::Wait { node, life, sent } => self.waits(node, life, sent),
            Request::Look { delivery } => {
                let slot = self.deliveries[delivery as usize].slot;
                let is_there = self.server.slots[slot as usize].ended.is_some();
                self.answer(Event::Looked { delivery, is_there });
            }
            Request::Progress { delivery, sent } => {
                let slot = self.deliveries[delivery as usize].slot;
                // Whoever's it is.
                if let Some(at) = &mut self.server.slots[slot as usize].redelivered_at {
                    *at = self.now + ACK_WAIT;
                }
                self.answer(Event::Confirmed { delivery, sent });
            }
            Request::Create { delivery } => self.creates(delivery),
            Request::Acknowledge { delivery } => {
                let slot = self.deliveries[delivery as usize].slot;
                let state = &mut self.server.slots[slot as usize];
                (state.is_acknowledged, state.redelivered_at) = (true, None);
                self.answer(Event::Acknowledged { delivery });
            }
            Request::Heartbeat { node, sent } => {
                // One at a time: the next one when this is answered, and no sooner than it is due.
                let next = (sent + HEARTBEAT).max(self.now + TRIP / 2);
                self.agenda.put(next, Event::Beats { node });
            }
            Request::Attempt => {}
        }
    }

    fn waits(&mut self, node: u32, life: u32, sent: Duration) {
        if self.nodes[node as usize].life != life {
            return;
        }
        self.nodes[node as usize].asked = sent;
        if let Some(slot) = self.server.pop(&self.nodes[node as usize].classes) {
            return self.deliver(slot, node, sent, Duration::ZERO);
        }
        let ticket = self.server.wait(node, &self.nodes[node as usize].classes);
        self.agenda.put(self.now + WAIT, Event::WaitEnds { node, ticket });
    }

    /// To whoever waits for it; into its line where nobody does.
    fn offer(&mut self, slot: u32) {
        match self.server.waiter(slot) {
            Some(node) => self.deliver(slot, node, self.nodes[node as usize].asked, Duration::ZERO),
            None => self.server.line_up(slot),
        }
    }

    fn deliver(&mut self, slot: u32, node: u32, sent: Duration, more: Duration) {
        let delivery = self.deliveries.len() as u32;
        let claim = Claim::pulled(sent, ACK_WAIT);
        self.deliveries.push(Delivery { slot, node, claim, stage: Stage::Arriving });
        self.nodes[node as usize].holds.push(delivery);
        let state = &mut self.server.slots[slot as usize];
        state.deliveries += 1;
        (state.holder, state.redelivered_at) = (Some(delivery), Some(self.now + ACK_WAIT));
        self.agenda.put(self.now + ACK_WAIT, Event::KeptLongEnough { slot });
        self.agenda.put(self.now + TRIP / 2 + more, Event::Reaches { delivery });
    }

    fn kept_long_enough(&mut self, slot: u32) {
        let state = &self.server.slots[slot as usize];
        match state.redelivered_at {
            None => {}
            Some(at) if at > self.now => self.agenda.put(at, Event::KeptLongEnough { slot }),
            Some(_) => {
                let holder = &self.deliveries[state.holder.unwrap() as usize];
                // What the claim is there for: nobody holds what is given to another.
                assert!(holder.stage == Stage::Gone || !holder.claim.holds(self.now), "two hold slot {slot}");
                self.outcome.redeliveries += 1;
                self.offer(slot);
            }
        }
    }

    fn creates(&mut self, delivery: u32) {
        let Delivery { slot, node, stage, .. } = self.deliveries[delivery as usize];
        let state = &mut self.server.slots[slot as usize];
        if state.ended.is_none() {
            state.ended = Some(self.now);
            if let Stage::Ending(took) = stage {
                self.useful += took;
            }
            self.nodes[node as usize].finished += 1;
            self.ended += 1;
            if self.ended == (f64::from(self.scenario.slots) * MOST) as u32 {
                self.most_have_ended();
            }
        }
        self.answer(Event::Created { delivery });
    }

    fn most_have_ended(&mut self) {
        self.outcome.most = self.now;
        self.outcome.rate = f64::from(self.ended) / self.now.as_secs_f64();
        self.outcome.server = self.server.shares(self.now);
        let rendering: Duration = self.nodes.iter().map(|node| node.busy + self.at_it(node)).sum();
        self.outcome.rendering =
            rendering.as_secs_f64() / (self.now.as_secs_f64() * f64::from(self.scenario.nodes));
    }

    /// How long a node has been at what it renders now.
    fn at_it(&self, node: &Node) -> Duration {
        node.rendering.map_or(Duration::ZERO, |delivery| self.worked(delivery))
    }

    /// How long a delivery has been rendered.
    fn worked(&self, delivery: u32) -> Duration {
        match self.deliveries[delivery as usize].stage {
            Stage::Rendering(since) => self.now - since,
            Stage::Ending(took) => took,
            _ => Duration::ZERO,
        }
    }
}
