//! How slots come in: requests, what a predecessor left, cancellation.

use ractor::{ActorRef, RpcReplyPort};

use super::OrchestratorState;
use super::ending::Ended;
use crate::actors::admission::{self, Answer, Refusal, Request, Standing};
use crate::actors::messages::{Activity, DeviceMsg, OrchestratorMsg};
use crate::actors::placement::Offer;
use crate::actors::plan::Task;
use crate::actors::registry::ModelState;
use crate::actors::slot::Slot;
use crate::clock;
use crate::events::{Closed, EventKind};
use crate::journal::{Accepted, CancelCause, Ending, JournalError, OpenSlot, Opened};
use crate::types::{Bytes, ModelId, SlotId};

/// Runs of one slot that go on side by side: what a slot needs at once is the most that any of these leases.
const SIDE_BY_SIDE: [&[Task]; 3] =
    [&[Task::Speak, Task::Paint], &[Task::Animate], &[Task::ScoreB, Task::ScoreL]];

impl OrchestratorState {
    pub(super) fn submit(
        &mut self,
        myself: &ActorRef<OrchestratorMsg>,
        request: Request,
        reply: RpcReplyPort<Answer>,
    ) {
        match self.consider(request) {
            Ok((slot, eta)) => {
                self.open.insert(slot.id());
                let mailbox = myself.clone();
                // Where the orchestrator has died meanwhile, the journal has the slot for its successor.
                self.args.journal.accept(&slot.accepted).then(move |result| {
                    let _ = mailbox.cast(OrchestratorMsg::AcceptanceWritten(slot, eta, reply, result));
                });
            }
            // Whoever asked may have gone; a refusal needs no ears.
            Err(refusal) => drop(reply.send(Err(refusal))),
        }
    }

    /// On what terms `request` could come in: what it would lease, what there is, and how long it would take.
    pub(super) fn offer(&self, request: Request, reply: RpcReplyPort<Result<Offer, Refusal>>) {
        let offer = self.consider(request).map(|(slot, eta)| {
            let usage = self.args.ledger.usage();
            let out: Bytes = usage.workspace.values().copied().sum();
            Offer {
                needs: self.needs(&slot),
                available: usage.available,
                at_best: usage.available.saturating_add(out),
                begins: self.open.len() < self.args.limits.get().slots.lookahead.get(),
                open: self.open.len(),
                eta,
            }
        });
        // Whoever asked may have gone.
        let _ = reply.send(offer);
    }

    /// The most that `slot` leases at once.
    fn needs(&self, slot: &Slot) -> Bytes {
        let of_run = |task: &Task| {
            let model = task.model()?;
            let shape = slot.work.shape(task.stage());
            Some(self.peaks.estimate(model, shape, self.args.workspaces[model]))
        };
        let together = |tasks: &[Task]| tasks.iter().filter_map(of_run).sum::<Bytes>();
        SIDE_BY_SIDE.into_iter().map(together).max().unwrap_or_default()
    }

    fn consider(&self, request: Request) -> Result<(Box<Slot>, std::time::Duration), Refusal> {
        let now = clock::now();
        let Request { slot, recipe, deadline, traceparent, outputs } = request;
        if self.open.contains(&slot) {
            return Err(Refusal::Duplicate);
        }
        let limits = self.args.limits.get().slots;
        let standing = Standing {
            closed: self.closed(now),
            pressing: self.args.registry.pressing(),
            open: self.open.len(),
            capacity: limits.queue.saturating_add(limits.lookahead.get()),
        };
        let accepted = Accepted { slot, recipe, deadline, at: now, traceparent };
        let open = OpenSlot { accepted, outputs };
        let slot = Slot::open(&*self.args.pipeline, open).map_err(|error| Refusal::Recipe(error.message))?;
        let (policy, estimates) = (&self.args.policy, &self.estimates);
        let eta = admission::admit(&standing, deadline, policy, estimates, &slot.costs, &slot.plan, now)?;
        Ok((Box::new(slot), eta))
    }

    /// Why nothing may come in at `now`, if so. The gauge is asked, not the last message: it cannot be late.
    fn closed(&self, now: std::time::Instant) -> Option<Closed> {
        let cordoned = self.args.registry.states().values().any(|state| *state == ModelState::Cordoned);
        if self.draining {
            Some(Closed::Draining)
        } else if !self.opened || cordoned || !self.met.values().all(|met| *met) {
            Some(Closed::NotReady)
        } else if !self.args.gauge.read(now, self.args.max_age).admits() {
            Some(Closed::Pressure)
        } else {
            None
        }
    }

    /// Tells the device and whoever listens where admission has changed, or what is done for the open slots.
    pub(super) fn tell_admission(&mut self) {
        let (closed, activity) = (self.closed(clock::now()), self.activity());
        let told = self.admission.replace((closed, activity));
        if told == Some((closed, activity)) {
            return;
        }
        self.args.registry.set_at_work(activity == Activity::AtWork);
        let _ = self.args.node.cast(DeviceMsg::AdmissionChanged { closed, activity });
        if told.is_none_or(|(before, _)| before != closed) {
            self.args.bus.tell(EventKind::AdmissionChanged { closed });
        }
    }

    pub(super) fn acceptance_written(
        &mut self,
        slot: Box<Slot>,
        eta: std::time::Duration,
        reply: RpcReplyPort<Answer>,
        result: Result<(), JournalError>,
    ) {
        if let Err(error) = result {
            self.open.remove(&slot.id());
            let _ = reply.send(Err(Refusal::Journal(error.to_string())));
            return;
        }
        let _ = reply.send(Ok(eta));
        self.take_in(slot, eta, false);
    }

    fn take_in(&mut self, slot: Box<Slot>, eta: std::time::Duration, resumed: bool) {
        let id = slot.id();
        slot.work.begin();
        slot.span.in_scope(|| self.args.bus.tell_of(id, EventKind::Accepted { eta, resumed }));
        self.queue.push_back(slot);
    }

    /// What a predecessor, or an earlier process, accepted and did not end.
    pub(super) fn take_up(&mut self, result: Result<Opened, JournalError>) {
        self.opened = true;
        let Opened { slots, unread } = match result {
            Ok(opened) => opened,
            Err(error) => {
                // They stay open in the journal; a later start may read them.
                let what = "open slots could not be read";
                self.args.bus.tell(EventKind::JournalFailed { what, message: error.to_string() });
                return;
            }
        };
        for (slot, error) in unread {
            let kind = EventKind::JournalFailed { what: "open slot not read", message: error.to_string() };
            self.args.bus.tell_of(slot, kind);
        }
        self.take_over(slots);
    }

    /// Slots that were accepted by others and are this orchestrator's from now on.
    pub(super) fn take_over(&mut self, open: Vec<OpenSlot>) {
        for open in open {
            // Handed over while the journal was being read, and read.
            if self.open.contains(&open.accepted.slot) {
                continue;
            }
            let accepted = open.accepted.clone();
            match Slot::open(&*self.args.pipeline, open) {
                Ok(slot) => {
                    let eta = slot.plan.remaining(&self.estimates, &slot.costs, clock::now());
                    self.open.insert(accepted.slot);
                    self.take_in(Box::new(slot), eta, true);
                }
                Err(error) => {
                    let ending = Ending::Failed { cause: error.cause, stage: None, message: error.message };
                    // What cannot be read has no result that could be signed; its record says why.
                    self.write_end(Ended {
                        accepted,
                        ending,
                        breakdown: Default::default(),
                        span: tracing::Span::none(),
                        work: None,
                    });
                }
            }
        }
    }

    pub(super) fn cancel(&mut self, slot: SlotId, reply: RpcReplyPort<bool>) {
        let known = self.end(slot, Ending::Cancelled { cause: CancelCause::Requested });
        let _ = reply.send(known);
    }

    pub(super) fn model_ready(&mut self, model: ModelId) {
        self.met[model] = true;
        if matches!(self.hands[model], super::Hand::Away) {
            self.hands[model] = super::Hand::Idle;
        }
    }
}
