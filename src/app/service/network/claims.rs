//! The claims that this node holds, as the journal sees them: whether a slot may go on here, and what its end comes to.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::journal::{Artifact, Recorded, SlotFolders, Terminal};
use crate::network::ClaimClock;
use crate::types::{SlotId, Stage, WorkId};

/// How a claim stands.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::app::service) enum Course {
    /// It holds.
    Holding,
    /// It is over without an end: what is done for it counts for nothing here, until the work comes again.
    Lost,
    /// The slot's end is recorded, or the slot is left.
    Recorded(Recorded),
}

/// A claim that this node holds, or held until a moment ago.
#[derive(Debug)]
pub(in crate::app::service) struct Held {
    /// On what.
    pub(super) work: WorkId,
    /// How long it holds.
    pub(super) clock: ClaimClock,
    /// How often the work has been delivered, this time included.
    pub(super) delivered: u64,
    course: watch::Sender<Course>,
    /// Held by whoever puts a finished stage of it into the store.
    pub(super) sharing: tokio::sync::Mutex<()>,
}

/// The end of a slot that the network is to be told.
#[derive(Clone, Debug)]
pub(in crate::app::service) struct Conclusion {
    /// The slot's rendering: that of its claim, else of its record, else its first.
    pub(super) work: WorkId,
    /// Its claim; none where it came in by this node's own doors.
    pub(super) held: Option<Arc<Held>>,
    /// How it ended here.
    pub(super) terminal: Terminal,
    /// What it leaves.
    pub(super) artifacts: Vec<Artifact>,
    /// Where that lies.
    pub(super) dir: Option<PathBuf>,
}

/// What the network says of an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app::service) enum Verdict {
    /// It is the rendering's end.
    Stands,
    /// Another's was first.
    Superseded {
        /// Whose: a node's id.
        by: String,
    },
    /// The claim was lost before it could be told.
    Lost,
}

/// Tells the network what came of slots.
pub(in crate::app::service) trait Conclude: Send + Sync {
    /// Has a finished stage where other nodes find it, if that is wanted; returns at once.
    fn share(&self, held: Arc<Held>, stage: Stage, folders: Arc<SlotFolders>);

    /// Tells it, for as long as it takes or the claim holds.
    fn conclude(&self, end: Conclusion) -> Pin<Box<dyn Future<Output = Verdict> + Send>>;
}

/// All claims of a node; without a network there are none, and every end stands.
#[derive(Default)]
pub(in crate::app::service) struct Claims {
    held: Mutex<HashMap<SlotId, Arc<Held>>>,
    freed: Notify,
    /// Whether the settings name a network.
    expected: bool,
    /// Told once it is joined.
    network: watch::Sender<Option<Arc<dyn Conclude>>>,
}

impl Held {
    pub(super) fn new(work: WorkId, clock: ClaimClock, delivered: u64) -> Self {
        let (course, sharing) = (watch::Sender::new(Course::Holding), tokio::sync::Mutex::default());
        Self { work, clock, delivered, course, sharing }
    }

    /// Whether what is written for it counts.
    pub(super) fn holds(&self) -> bool {
        *self.course.borrow() == Course::Holding && self.clock.holds()
    }

    /// It is over; false where its course has ended already.
    pub(super) fn lose(&self) -> bool {
        self.course.send_if_modified(|course| {
            let holds = *course == Course::Holding;
            if holds {
                *course = Course::Lost;
            }
            holds
        })
    }

    /// What was recorded of its slot, where something was.
    pub(super) fn was_recorded(&self) -> Option<Recorded> {
        match &*self.course.borrow() {
            Course::Recorded(recorded) => Some(recorded.clone()),
            Course::Holding | Course::Lost => None,
        }
    }

    /// Waits until it is over, or its slot's end is recorded.
    pub(super) async fn over(&self) -> Course {
        let mut course = self.course.subscribe();
        match course.wait_for(|course| *course != Course::Holding).await {
            Ok(course) => course.clone(),
            Err(_) => Course::Lost,
        }
    }

    /// Waits until the slot's end is recorded, or the slot is left, whether or not the claim is over.
    pub(super) async fn recorded(&self) -> Recorded {
        let mut course = self.course.subscribe();
        match course.wait_for(|course| matches!(course, Course::Recorded(_))).await.as_deref() {
            Ok(Course::Recorded(recorded)) => recorded.clone(),
            _ => Recorded::Left,
        }
    }
}

impl Claims {
    /// Of a node that is `expected` to be in a network.
    pub(in crate::app::service) fn new(expected: bool) -> Self {
        Self { expected, ..Self::default() }
    }

    /// From now on ends are told to `network`; those before waited for it.
    pub(super) fn join(&self, network: Arc<dyn Conclude>) {
        self.network.send_replace(Some(network));
    }

    /// Whether the node is in a network.
    pub(in crate::app::service) fn has_network(&self) -> bool {
        self.expected
    }

    /// Takes a claim in, where this node has none on the slot.
    pub(super) fn take(&self, held: &Arc<Held>) -> Result<(), Arc<Held>> {
        let mut all = self.held.lock();
        match all.get(&held.work.slot) {
            Some(other) => Err(Arc::clone(other)),
            None => {
                all.insert(held.work.slot, Arc::clone(held));
                Ok(())
            }
        }
    }

    /// Lets go of a claim.
    pub(super) fn free(&self, held: &Arc<Held>) {
        let mut all = self.held.lock();
        if all.get(&held.work.slot).is_some_and(|other| Arc::ptr_eq(other, held)) {
            all.remove(&held.work.slot);
        }
        drop(all);
        self.freed.notify_waiters();
    }

    /// Waits until this node holds nothing of a slot.
    pub(super) async fn is_free(&self, slot: SlotId) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if !self.held.lock().contains_key(&slot) {
                return;
            }
            freed.await;
        }
    }

    /// The claim on a slot.
    pub(super) fn of(&self, slot: SlotId) -> Option<Arc<Held>> {
        self.held.lock().get(&slot).cloned()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Held>> {
        self.held.lock().values().cloned().collect()
    }

    /// How many hold.
    pub(super) fn count(&self) -> usize {
        self.held.lock().values().filter(|held| held.holds()).count()
    }

    /// Whether a slot of the network may go on here.
    pub(in crate::app::service) fn holds(&self, slot: SlotId) -> bool {
        self.of(slot).is_some_and(|held| held.holds())
    }

    /// Whether the claim on a slot was lost and its slot has not been left yet.
    pub(in crate::app::service) fn is_lost(&self, slot: SlotId) -> bool {
        self.of(slot).is_some_and(|held| !held.holds())
    }

    /// A stage of a slot is finished and kept in its folder.
    pub(in crate::app::service) fn finished(&self, slot: SlotId, stage: Stage, folders: &Arc<SlotFolders>) {
        let Some(held) = self.of(slot).filter(|held| held.holds()) else { return };
        let network = self.network.borrow().clone();
        if let Some(network) = network {
            network.share(held, stage, Arc::clone(folders));
        }
    }

    /// What an end comes to. `work` is what the slot's record says.
    pub(in crate::app::service) async fn conclude(
        &self,
        terminal: &Terminal,
        work: Option<WorkId>,
        artifacts: &[Artifact],
        dir: Option<PathBuf>,
    ) -> Verdict {
        if !self.expected {
            return Verdict::Stands;
        }
        let mut joined = self.network.subscribe();
        let Ok(network) = joined.wait_for(Option::is_some).await.map(|network| network.clone()) else {
            return Verdict::Lost;
        };
        let Some(network) = network else { return Verdict::Lost };
        let held = self.of(terminal.slot);
        if work.is_some() && held.is_none() {
            return Verdict::Lost;
        }
        let work = held.as_ref().map(|held| held.work).or(work);
        let end = Conclusion {
            work: work.unwrap_or_else(|| WorkId::first(terminal.slot)),
            held,
            terminal: terminal.clone(),
            artifacts: artifacts.to_vec(),
            dir,
        };
        network.conclude(end).await
    }

    /// A slot's end is recorded, or it is left.
    pub(in crate::app::service) fn recorded(&self, slot: SlotId, recorded: &Recorded) {
        if let Some(held) = self.of(slot) {
            held.course.send_replace(Course::Recorded(recorded.clone()));
        }
    }
}
