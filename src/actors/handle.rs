//! The node from outside: the trees of its cards, and the handle that submits, cancels, drains and waits for the end.
//!
//! Which card a slot goes to is decided in [placement](super::placement), by what the cards' orchestrators offer; the
//! card is asked only then. What becomes of a lost card's slots is the [node](super::node)'s business.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ractor::concurrency::{JoinHandle, oneshot};
use ractor::rpc::CallResult;
use ractor::{Actor, ActorCell, ActorRef, SpawnErr};
use tokio::sync::watch;

use super::admission::{Answer, Refusal, Request};
use super::assignments::{Assignments, CardSlots};
use super::messages::{NodeMsg, OrchestratorMsg};
use super::node::{NodeArgs, NodeSupervisor, close};
use super::placement::DeviceIndex;
use super::placer::Placer;
use super::tree::DeviceTree;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::types::{ModelId, SlotId};

/// For the journal to write an acceptance down; longer, and whoever asked should ask elsewhere.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// For an actor to answer from memory.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// The cards of a node, before they run.
pub struct Cards {
    trees: Vec<DeviceTree>,
    standby: bool,
}

impl Cards {
    /// All of them serve. They share one journal, one way to treat open slots, and the bus.
    pub fn new(first: DeviceTree, more: Vec<DeviceTree>) -> Self {
        Self { trees: std::iter::once(first).chain(more).collect(), standby: false }
    }

    /// Only the first serves; the others stand by, nothing loaded, and take over one after the other where it is lost:
    /// enough for whoever renders one slot.
    pub fn one_at_a_time(first: DeviceTree, more: Vec<DeviceTree>) -> Self {
        Self { standby: true, ..Self::new(first, more) }
    }

    /// Starts them.
    pub async fn start(self) -> Result<Node, SpawnErr> {
        let Self { mut trees, standby } = self;
        let journal = Arc::clone(&trees[0].journal);
        let (assignments, several) = (Assignments::default(), trees.len() > 1);
        for (card, tree) in DeviceIndex::all(trees.len()).zip(&mut trees) {
            tree.slots = CardSlots { assignments: assignments.clone(), card };
            if several {
                // What is finished is kept, and another card waits: nothing is won by staying on a lost one.
                tree.settings.drain = Duration::ZERO;
            }
        }
        let placer = Placer { cards: trees.into(), assignments, turn: Arc::default() };
        let mut serving: Vec<DeviceIndex> = placer.places().collect();
        let waiting: VecDeque<DeviceIndex> =
            if standby { serving.split_off(1).into() } else { VecDeque::new() };
        let (exit, told) = watch::channel(None);
        let args = NodeArgs { placer: placer.clone(), journal: Arc::clone(&journal), serving, waiting, exit };
        let (root, join) = Actor::spawn(None, NodeSupervisor, args).await?;
        Ok(Node { placer, journal, root, join, exit: told, at_end: None })
    }
}

/// An actor, by its place in its card's tree: for faults that are brought about on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorName {
    /// The root over all cards, whichever card is named.
    Root,
    /// The root of the card's tree.
    Node,
    /// The watchdog.
    Watchdog,
    /// The models' supervisor.
    Models,
    /// The orchestrator.
    Orchestrator,
    /// One model's actor.
    Model(ModelId),
}

/// The handle to a running node.
pub struct Node {
    placer: Placer,
    journal: Arc<dyn Journal>,
    root: ActorRef<NodeMsg>,
    join: JoinHandle<()>,
    exit: watch::Receiver<Option<Exit>>,
    at_end: Option<AtEnd>,
}

/// Called with the code before anybody hears of it.
type AtEnd = Box<dyn FnOnce(Exit) + Send>;

/// What may be asked of a node while something else waits for its end.
#[derive(Clone)]
pub struct NodeHandle {
    placer: Placer,
    root: ActorRef<NodeMsg>,
}

impl Node {
    /// For asking.
    pub fn handle(&self) -> NodeHandle {
        NodeHandle { placer: self.placer.clone(), root: self.root.clone() }
    }

    /// The same, with something that has to be done at its end before [`ended`](Self::ended) tells the code.
    #[must_use]
    pub fn at_end(self, then: impl FnOnce(Exit) + Send + 'static) -> Self {
        Self { at_end: Some(Box::new(then)), ..self }
    }

    /// Waits for the node's end; says with what code the process is to end. A root that died without a word leaves
    /// nothing to rely on in this process.
    pub async fn ended(self) -> Exit {
        // An error would be a panic of the join itself: the same as no word.
        let _ = self.join.await;
        let told = *self.exit.borrow();
        let exit = match told {
            Some(exit) => exit,
            None => {
                close(self.placer.first(), &*self.journal).await;
                Exit::DeviceLost
            }
        };
        if let Some(at_end) = self.at_end {
            at_end(exit);
        }
        exit
    }
}

impl NodeHandle {
    /// Asks for a slot; answered once the journal has it.
    pub async fn submit(&self, request: Request) -> Answer {
        let (placer, slot) = (&self.placer, request.slot);
        let turn = placer.turn.lock().await;
        let assigned = placer.assignments.of(slot);
        let card = match assigned {
            // Its card knows whether it has it: an earlier answer may have been lost.
            Some(card) => card,
            None => placer.choose(&request).await?,
        };
        let Some(orchestrator) =
            placer.card(card).registry.orchestrator().filter(|_| placer.card(card).is_up())
        else {
            return Err(placer.not_ready());
        };
        placer.assignments.take(slot, card);
        let (reply, answer) = oneshot();
        // Whoever has died says nothing, like one who dies before it answers.
        let _ = orchestrator.cast(OrchestratorMsg::Submit(Box::new(request), reply.into()));
        drop(turn);
        match tokio::time::timeout(SUBMIT_TIMEOUT, answer).await {
            Ok(Ok(Err(refusal))) => {
                // What was assigned before may be open there all the same.
                if assigned.is_none() && refusal != Refusal::Duplicate {
                    placer.assignments.leave(slot);
                }
                Err(refusal)
            }
            Ok(Ok(accepted)) => accepted,
            // Accepted or not: it keeps its assignment, and whoever asks again learns it there.
            Ok(Err(_)) | Err(_) => Err(placer.not_ready()),
        }
    }

    /// Stops a slot; whether it was open.
    pub async fn cancel(&self, slot: SlotId) -> bool {
        let card = self.placer.assignments.of(slot);
        let orchestrator = card.and_then(|card| self.placer.card(card).registry.orchestrator());
        let Some(orchestrator) = orchestrator else { return false };
        let asked = orchestrator.call(|reply| OrchestratorMsg::Cancel(slot, reply), Some(ASK_TIMEOUT)).await;
        matches!(asked, Ok(CallResult::Success(true)))
    }

    /// Ends the node in order: slots in work have `within` to end.
    pub fn shut_down(&self, exit: Exit, within: Duration) {
        // A root that is gone has ended everything already.
        let _ = self.root.cast(NodeMsg::Shutdown { exit, within });
    }

    /// The cards' trees, in the order of their places: how each stands.
    pub fn cards(&self) -> &[DeviceTree] {
        &self.placer.cards
    }

    /// Kills an actor of a card where it stands, as a bug would; false where it is down already.
    pub fn kill(&self, card: DeviceIndex, actor: ActorName) -> bool {
        let Some(tree) = self.placer.get(card) else { return false };
        let registry = &tree.registry;
        let cell: Option<ActorCell> = match actor {
            ActorName::Root => Some(self.root.get_cell()),
            ActorName::Node => registry.device_supervisor().map(|actor| actor.get_cell()),
            ActorName::Watchdog => registry.watchdog().map(|actor| actor.get_cell()),
            ActorName::Models => registry.supervisor().map(|actor| actor.get_cell()),
            ActorName::Orchestrator => registry.orchestrator().map(|actor| actor.get_cell()),
            ActorName::Model(model) => registry.model(model).map(|actor| actor.get_cell()),
        };
        let alive = cell.filter(|cell| cell.get_status() < ractor::ActorStatus::Stopping);
        alive.is_some_and(|cell| {
            cell.kill();
            true
        })
    }
}
