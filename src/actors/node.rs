//! NodeSupervisor: the root over the cards' trees. Starts them, moves the slots of a lost one, ends the process.
//!
//! Owns what outlives a card: the journal and the book of assignments. A card's tree restarts what it can itself; one that has
//! ended is beyond that, and is never started again in this process. The others do not notice: what they share with it
//! is the journal. The process ends when it is told to, or with its last card, by that one's code.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::rpc::CallResult;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SpawnErr, SupervisionEvent};
use tokio::sync::watch;

use super::admission::Request;
use super::device::{DeviceArgs, DeviceSupervisor};
use super::messages::{DeviceMsg, NodeMsg, OrchestratorMsg};
use super::placement::DeviceIndex;
use super::placer::Placer;
use super::tree::{DeviceTree, OpenSlots};
use crate::clock;
use crate::events::{Bus, EventKind, Fault};
use crate::exit::Exit;
use crate::journal::{CancelCause, Ending, Journal, OpenSlot, Opened, Terminal};
use crate::types::DeviceId;

/// Longest wait for the journal's last writes: a disk that takes longer keeps no promise anyway, and systemd's default
/// for a whole stop is 90 s.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(30);

/// What the root is started with.
pub(super) struct NodeArgs {
    pub(super) placer: Placer,
    /// All slots', not one card's.
    pub(super) journal: Arc<dyn Journal>,
    /// Cards that serve from the start, and those that stand by.
    pub(super) serving: Vec<DeviceIndex>,
    pub(super) waiting: VecDeque<DeviceIndex>,
    pub(super) exit: watch::Sender<Option<Exit>>,
}

/// A card's tree that runs.
struct Running {
    card: DeviceIndex,
    cell: ActorCell,
    told: watch::Receiver<Option<Exit>>,
}

/// The actor's state.
pub(super) struct NodeState {
    placer: Placer,
    journal: Arc<dyn Journal>,
    waiting: VecDeque<DeviceIndex>,
    running: Vec<Running>,
    /// The worst code of a lost card.
    lost: Option<Exit>,
    ending: Option<Exit>,
    exit: watch::Sender<Option<Exit>>,
}

/// The actor.
pub(super) struct NodeSupervisor;

impl Actor for NodeSupervisor {
    type Msg = NodeMsg;
    type State = NodeState;
    type Arguments = NodeArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<NodeMsg>,
        args: NodeArgs,
    ) -> Result<NodeState, ActorProcessingErr> {
        let NodeArgs { placer, journal, serving, waiting, exit } = args;
        // What an earlier process left goes round the cards: nothing is loaded yet by which they could be told apart.
        match journal.open().await {
            Ok(Opened { slots, unread }) => {
                let assignments = serving.iter().copied().cycle();
                for (slot, error) in unread {
                    let kind =
                        EventKind::JournalFailed { what: "open slot not read", message: error.to_string() };
                    placer.first().bus.tell_of(slot, kind);
                }
                slots
                    .iter()
                    .zip(assignments)
                    .for_each(|(slot, card)| placer.assignments.take(slot.accepted.slot, card));
            }
            Err(error) => failed(&placer.first().bus, UNREAD, error.to_string()),
        }
        let mut state =
            NodeState { placer, journal, waiting, running: Vec::new(), lost: None, ending: None, exit };
        for card in serving {
            state.spawn(&myself, card).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<NodeMsg>,
        message: NodeMsg,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            NodeMsg::Shutdown { exit, within } => state.shut_down(&myself, exit, within).await,
            NodeMsg::Move { slot, from, proposed, done } => state.move_slot(*slot, from, proposed, done),
            NodeMsg::Moved(card) => state.placer.assignments.clear(card),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<NodeMsg>,
        event: SupervisionEvent,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(who, _) | SupervisionEvent::ActorTerminated(who, ..) => {
                state.ended(&myself, &who).await;
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl NodeState {
    async fn spawn(&mut self, myself: &ActorRef<NodeMsg>, card: DeviceIndex) -> Result<(), SpawnErr> {
        let tree = self.placer.card(card);
        let (exit, told) = watch::channel(None);
        let args = DeviceArgs { tree: tree.clone(), exit };
        let (actor, _) = Actor::spawn_linked(None, DeviceSupervisor, args, myself.get_cell()).await?;
        self.running.push(Running { card, cell: actor.get_cell(), told });
        tree.registry.set_device_supervisor(Some(actor));
        Ok(())
    }

    /// A card's tree has ended. One that died without a word leaves nothing to rely on on its card.
    async fn ended(&mut self, myself: &ActorRef<NodeMsg>, who: &ActorCell) {
        let is_it = |running: &Running| running.cell.get_id() == who.get_id();
        let Some(place) = self.running.iter().position(is_it) else { return };
        let Running { card, told, .. } = self.running.remove(place);
        let exit = told.borrow().unwrap_or(Exit::DeviceLost);
        let registry = &self.placer.card(card).registry;
        registry.set_device_supervisor(None);
        if let Some(orchestrator) = registry.orchestrator() {
            // It dies with its root, but later: nobody else may go on with a slot before.
            orchestrator.kill();
            let _ = orchestrator.wait(None).await;
        }
        match self.ending {
            Some(ending) => self.ending = Some(worse(ending, exit)),
            None => self.lose(myself, card, exit).await,
        }
        if self.ending.is_some() && self.running.is_empty() {
            self.finish(myself).await;
        }
    }

    /// Goes on without `card`: the next that stands by takes over from it, else those that serve share its slots.
    async fn lose(&mut self, myself: &ActorRef<NodeMsg>, card: DeviceIndex, exit: Exit) {
        let (mut card, mut exit) = (card, exit);
        loop {
            self.lost = Some(self.lost.map_or(exit, |lost| worse(lost, exit)));
            let next = self.waiting.pop_front();
            self.tell_lost(card, exit, next);
            let Some(next) = next else { break };
            self.placer.assignments.hand_over(card, next);
            match self.spawn(myself, next).await {
                Ok(()) => return,
                Err(error) => {
                    let (actor, fault, message) = ("node", Fault::Died, error.to_string());
                    self.placer.card(next).bus.tell(EventKind::ActorDown { actor, fault, message });
                    (card, exit) = (next, Exit::DeviceLost);
                }
            }
        }
        if self.running.is_empty() {
            self.ending = self.lost;
            return;
        }
        let (placer, journal, root) = (self.placer.clone(), Arc::clone(&self.journal), myself.clone());
        tokio::spawn(async move {
            move_all(&placer, &*journal, &root, card).await;
        });
    }

    fn tell_lost(&self, card: DeviceIndex, exit: Exit, next: Option<DeviceIndex>) {
        let placer = &self.placer;
        let others = self.running.iter().map(|running| running.card).chain(next);
        let others: Vec<DeviceId> = others.map(|card| placer.card(card).device()).collect();
        let next = others.first().copied();
        placer.card(card).bus.tell(EventKind::CardLost { exit, next, others });
    }

    /// Assigns `slot` elsewhere and tells its new card; here, where no card can be lost meanwhile unnoticed.
    fn move_slot(
        &mut self,
        slot: OpenSlot,
        from: DeviceIndex,
        proposed: Option<DeviceIndex>,
        done: RpcReplyPort<()>,
    ) {
        let (id, assignments) = (slot.accepted.slot, &self.placer.assignments);
        let serving = || self.running.iter().map(|running| running.card);
        let proposed = proposed.filter(|card| serving().any(|serves| serves == *card));
        // Accepted is accepted: where none would take it now, it waits where fewest do.
        let to = proposed.or_else(|| serving().min_by_key(|card| (assignments.taken(*card), *card)));
        if self.ending.is_none()
            && assignments.of(id) == Some(from)
            && let Some(to) = to
        {
            let to_card = self.placer.card(to);
            to_card.bus.tell_of(id, EventKind::SlotMoved { from: self.placer.card(from).device() });
            assignments.take(id, to);
            // One that has just died has a successor, which reads the journal.
            to_card.registry.tell_orchestrator(OrchestratorMsg::TakeOver(vec![slot]));
        }
        let _ = done.send(());
    }

    async fn shut_down(&mut self, myself: &ActorRef<NodeMsg>, exit: Exit, within: Duration) {
        self.ending.get_or_insert(exit);
        for running in &self.running {
            let registry = &self.placer.card(running.card).registry;
            registry.tell_device_supervisor(DeviceMsg::Shutdown { exit, within });
        }
        if self.running.is_empty() {
            self.finish(myself).await;
        }
    }

    /// The end of the process, once: everything that must be written is, then the code is told.
    async fn finish(&mut self, myself: &ActorRef<NodeMsg>) {
        let Some(exit) = self.ending else { return };
        if self.exit.borrow().is_some() {
            return;
        }
        close(self.placer.first(), &*self.journal).await;
        self.exit.send_replace(Some(exit));
        myself.stop(None);
    }
}

/// The code that says more of what has to be done: a lost device, then a model given up, then files that cannot be used,
/// then what was asked for. A new process that meets the same files says so again.
fn worse(one: Exit, other: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::DeviceLost => 3,
        Exit::ModelGivenUp => 2,
        Exit::BadInput => 1,
        Exit::Success | Exit::Failure | Exit::Interrupted => 0,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// What could not be done when open slots could not be read.
const UNREAD: &str = "open slots could not be read";

/// Finds a card for every open slot of `from`, one after the other, so that each sees where the one before went.
async fn move_all(placer: &Placer, journal: &dyn Journal, root: &ActorRef<NodeMsg>, from: DeviceIndex) {
    let reading = async {
        // What the card's orchestrator began to write is there afterwards.
        journal.before_exit().await?;
        journal.open().await
    };
    let open = match tokio::time::timeout(JOURNAL_TIMEOUT, reading).await {
        Ok(Ok(opened)) => opened.slots,
        // They stay open in the journal; the next process takes them up.
        Ok(Err(error)) => return failed(&placer.card(from).bus, UNREAD, error.to_string()),
        Err(_) => return failed(&placer.card(from).bus, UNREAD, "it took too long".to_owned()),
    };
    for slot in open {
        let accepted = &slot.accepted;
        if placer.assignments.of(accepted.slot) != Some(from) {
            continue;
        }
        let (recipe, deadline) = (Arc::clone(&accepted.recipe), accepted.deadline);
        let traceparent = accepted.traceparent.clone();
        let outputs = slot.outputs.clone();
        let request = Request { slot: accepted.slot, recipe, deadline, traceparent, outputs };
        let turn = placer.turn.lock().await;
        let proposed = placer.choose(&request).await.ok();
        let slot = Box::new(slot);
        let moved = root.call(|done| NodeMsg::Move { slot, from, proposed, done }, None).await;
        drop(turn);
        if !matches!(moved, Ok(CallResult::Success(()))) {
            // The root has ended, and the process with it.
            return;
        }
    }
    let _ = root.cast(NodeMsg::Moved(from));
}

fn failed(bus: &Bus, what: &'static str, message: String) {
    bus.tell(EventKind::JournalFailed { what, message });
}

/// Closes what nobody takes up again, and makes the journal safe. Also for a root that has died. `of` is any card's tree.
pub(super) async fn close(of: &DeviceTree, journal: &dyn Journal) {
    let closing = async {
        if of.settings.open_slots == OpenSlots::Close {
            let open = journal.open().await.unwrap_or_default();
            for slot in open.slots {
                let terminal = Terminal {
                    slot: slot.accepted.slot,
                    ending: Ending::Cancelled { cause: CancelCause::Shutdown },
                    elapsed: elapsed(slot.accepted.at),
                    breakdown: Default::default(),
                };
                if let Ok(recorded) = journal.terminal(&terminal).await {
                    of.bus.tell_of(terminal.slot, EventKind::of_end(&terminal, recorded));
                }
            }
        }
        journal.before_exit().await
    };
    match tokio::time::timeout(JOURNAL_TIMEOUT, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => failed(&of.bus, "journal not closed", error.to_string()),
        Err(_) => failed(&of.bus, "journal not closed", "it took too long".to_owned()),
    }
}

fn elapsed(since: Instant) -> Duration {
    clock::now().saturating_duration_since(since)
}
