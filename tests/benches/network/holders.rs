//! What a node does with what it holds.

use super::*;

/// A node that renders looks so often for work to go on with, where it does not wait for it.
const LOOKS: Duration = Duration::from_secs(6);

impl World {
    /// Asks for work where there is room for some.
    pub(super) fn ask(&mut self, node: u32) {
        let held = self.held(node);
        let state = &mut self.nodes[node as usize];
        if state.is_up && !state.is_asking && held < self.scenario.lookahead {
            let (life, room) = (state.life, (self.scenario.lookahead - held) as u32);
            state.is_asking = true;
            self.send(Request::Pull { node, life, sent: self.now, room, consumers: 0 });
        }
    }

    /// Slots that it has still to render.
    fn held(&self, node: u32) -> usize {
        let stage = |delivery: &u32| self.deliveries[*delivery as usize].stage;
        let holds = self.nodes[node as usize].holds.iter().map(stage);
        holds.filter(|stage| !matches!(stage, Stage::Ending(_) | Stage::Gone)).count()
    }

    pub(super) fn nothing_there(&mut self, node: u32, life: u32) {
        if self.nodes[node as usize].life != life {
            return;
        }
        if self.scenario.waits_ahead || self.held(node) == 0 {
            return self.send(Request::Wait { node, life, sent: self.now });
        }
        self.nodes[node as usize].is_asking = false;
        self.agenda.put(self.now + LOOKS, Event::AsksAgain { node, life });
    }

    fn is_gone(&self, delivery: u32) -> bool {
        self.deliveries[delivery as usize].stage == Stage::Gone
    }

    pub(super) fn reaches(&mut self, delivery: u32) {
        if self.is_gone(delivery) {
            return;
        }
        let Delivery { node, claim, .. } = self.deliveries[delivery as usize];
        self.nodes[node as usize].is_asking = false;
        self.agenda.put(self.now + claim.left(self.now), Event::ClaimEnds { delivery });
        self.agenda.put(self.now + claim.pause(self.now), Event::Tells { delivery });
        self.write(delivery, Request::Look { delivery });
        self.ask(node);
    }

    pub(super) fn looked(&mut self, delivery: u32, is_there: bool) {
        if self.is_gone(delivery) {
            return;
        }
        let Delivery { slot, node, .. } = self.deliveries[delivery as usize];
        if is_there {
            self.deliveries[delivery as usize].stage = Stage::Ending(Duration::ZERO);
            self.write(delivery, Request::Acknowledge { delivery });
            return self.ask(node);
        }
        if self.server.slots[slot as usize].deliveries > DELIVERIES {
            self.outcome.dead += 1;
            self.deliveries[delivery as usize].stage = Stage::Ending(Duration::ZERO);
            self.write(delivery, Request::Create { delivery });
            return self.ask(node);
        }
        self.send(Request::Attempt);
        self.deliveries[delivery as usize].stage = Stage::Queued;
        self.nodes[node as usize].queue.push_back(delivery);
        self.start(node);
    }

    /// Renders the next where nothing is rendered.
    fn start(&mut self, node: u32) {
        if self.nodes[node as usize].rendering.is_some() {
            return;
        }
        let Some(delivery) = self.nodes[node as usize].queue.pop_front() else { return };
        let slot = self.deliveries[delivery as usize].slot;
        let state = &mut self.server.slots[slot as usize];
        state.begun.get_or_insert(self.now);
        let takes = self.nodes[node as usize].render.mul_f32(state.length);
        self.deliveries[delivery as usize].stage = Stage::Rendering(self.now);
        self.nodes[node as usize].rendering = Some(delivery);
        self.agenda.put(self.now + takes, Event::Rendered { delivery });
    }

    pub(super) fn rendered(&mut self, delivery: u32) {
        let Delivery { node, stage: Stage::Rendering(since), .. } = self.deliveries[delivery as usize] else {
            return;
        };
        let took = self.now - since;
        self.deliveries[delivery as usize].stage = Stage::Ending(took);
        self.nodes[node as usize].busy += took;
        self.nodes[node as usize].rendering = None;
        self.agenda.put(self.now + UPLOAD, Event::Uploaded { delivery });
        self.start(node);
        self.ask(node);
    }

    /// Writes what it has to, if the claim holds: the clock is looked at right before.
    pub(super) fn write(&mut self, delivery: u32, request: Request) {
        if self.is_gone(delivery) {
            return;
        }
        if self.deliveries[delivery as usize].claim.holds(self.now) {
            self.send(request);
        } else {
            self.lose(delivery);
        }
    }

    pub(super) fn confirmed(&mut self, delivery: u32, sent: Duration) {
        let claim = &mut self.deliveries[delivery as usize].claim;
        *claim = claim.confirmed(sent, self.now);
        let next = self.now + claim.pause(self.now);
        if !self.is_gone(delivery) {
            self.agenda.put(next, Event::Tells { delivery });
        }
    }

    pub(super) fn claim_ends(&mut self, delivery: u32) {
        if self.is_gone(delivery) {
            return;
        }
        let left = self.deliveries[delivery as usize].claim.left(self.now);
        if left.is_zero() {
            self.lose(delivery);
        } else {
            self.agenda.put(self.now + left, Event::ClaimEnds { delivery });
        }
    }

    /// The claim is over: silence.
    fn lose(&mut self, delivery: u32) {
        self.outcome.lost_claims += 1;
        self.let_go(delivery);
    }

    /// The node has nothing to do with it any more.
    pub(super) fn let_go(&mut self, delivery: u32) {
        if self.is_gone(delivery) {
            return;
        }
        let node = self.deliveries[delivery as usize].node;
        let worked = self.worked(delivery);
        let state = &mut self.nodes[node as usize];
        state.holds.retain(|held| *held != delivery);
        state.queue.retain(|queued| *queued != delivery);
        if state.rendering == Some(delivery) {
            state.rendering = None;
            state.busy += worked;
        }
        self.deliveries[delivery as usize].stage = Stage::Gone;
        self.start(node);
        self.ask(node);
    }

    pub(super) fn dies(&mut self, node: u32) {
        self.outcome.crashes += 1;
        let at_it = self.at_it(&self.nodes[node as usize]);
        for delivery in std::mem::take(&mut self.nodes[node as usize].holds) {
            let slot = self.deliveries[delivery as usize].slot;
            if self.server.slots[slot as usize].ended.is_none() {
                self.crashed += self.worked(delivery);
            }
            self.deliveries[delivery as usize].stage = Stage::Gone;
        }
        self.server.leave(node, None);
        let state = &mut self.nodes[node as usize];
        state.busy += at_it;
        (state.is_up, state.is_asking, state.rendering) = (false, false, None);
        state.life += 1;
        state.queue.clear();
        self.agenda.put(self.now + DOWN, Event::Returns { node });
    }

    pub(super) fn finish(mut self) -> Outcome {
        if self.outcome.most.is_zero() {
            self.most_have_ended();
        }
        let slots = &self.server.slots;
        let since = |slot: &Slot, then: Option<Duration>| then.map(|then| then - slot.handed_in);
        let mut outcome = std::mem::take(&mut self.outcome);
        outcome.waits = slots.iter().filter_map(|slot| since(slot, slot.begun)).collect();
        outcome.ends = slots.iter().filter_map(|slot| since(slot, slot.ended)).collect();
        outcome.finished = self.nodes.iter().map(|node| node.finished).collect();
        outcome.waits.sort_unstable();
        outcome.ends.sort_unstable();
        outcome.finished.sort_unstable();
        outcome.open = self.scenario.slots - self.ended;
        outcome.lasted = self.now;
        outcome.requests = self.server.requests;
        let rendered: Duration = self.nodes.iter().map(|node| node.busy).sum();
        outcome.lost = 1.0 - self.useful.as_secs_f64() / rendered.as_secs_f64();
        outcome.lost_by_crashes = self.crashed.as_secs_f64() / rendered.as_secs_f64();
        outcome
    }
}
