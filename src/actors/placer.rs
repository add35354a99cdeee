//! The cards of a node and who has which slot: asks the cards what they offer, and says which one gets a slot.
//!
//! The choice itself is [placement](super::placement)'s.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ractor::rpc::CallResult;
use tokio::sync::Mutex;

use super::admission::{Refusal, Request};
use super::assignments::Assignments;
use super::messages::OrchestratorMsg;
use super::placement::{DeviceIndex, Offer, place, refusal};
use super::tree::DeviceTree;

/// For an orchestrator to answer from memory: one that takes longer has other troubles, and its card is passed over.
const OFFER_TIMEOUT: Duration = Duration::from_secs(1);

/// The cards and who has which slot; clones are handles to the same.
#[derive(Clone)]
pub(super) struct Placer {
    pub(super) cards: Arc<[DeviceTree]>,
    pub(super) assignments: Assignments,
    /// Held from the offers until the chosen card has been told, so that each slot sees where the one before went.
    pub(super) turn: Arc<Mutex<()>>,
}

impl Placer {
    /// The cards that serve, by their places.
    pub(super) fn up(&self) -> Vec<DeviceIndex> {
        self.places().filter(|card| self.card(*card).is_up()).collect()
    }

    /// All places.
    pub(super) fn places(&self) -> impl Iterator<Item = DeviceIndex> + use<> {
        DeviceIndex::all(self.cards.len())
    }

    /// The tree at `card`, a place of this node.
    pub(super) fn card(&self, card: DeviceIndex) -> &DeviceTree {
        &self.cards[card.get()]
    }

    /// The tree at `card`, where there is one.
    pub(super) fn get(&self, card: DeviceIndex) -> Option<&DeviceTree> {
        self.cards.get(card.get())
    }

    /// Any of the trees: they share journal and settings.
    pub(super) fn first(&self) -> &DeviceTree {
        &self.cards[0]
    }

    /// The card that is to have what `request` asks for, by what the cards offer. To be asked in turn.
    pub(super) async fn choose(&self, request: &Request) -> Result<DeviceIndex, Refusal> {
        let up = self.up();
        if let [only] = up.as_slice() {
            // There is nothing to choose; it will say itself where it cannot.
            return Ok(*only);
        }
        let answers =
            join_all(up.into_iter().map(|card| async move { (card, self.ask(card, request).await) }));
        let (mut offers, mut refusals) = (Vec::new(), Vec::new());
        for (card, answer) in answers.await {
            match answer {
                Some(Ok(offer)) => offers.push((card, offer)),
                Some(Err(refusal)) => refusals.push(refusal),
                None => {}
            }
        }
        place(&offers).ok_or_else(|| refusal(refusals).unwrap_or_else(|| self.not_ready()))
    }

    async fn ask(&self, card: DeviceIndex, request: &Request) -> Option<Result<Offer, Refusal>> {
        let orchestrator = self.card(card).registry.orchestrator()?;
        let request = Box::new(request.clone());
        let asked = orchestrator.call(|reply| OrchestratorMsg::Consider(request, reply), Some(OFFER_TIMEOUT));
        match asked.await {
            Ok(CallResult::Success(answer)) => Some(answer),
            Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => None,
        }
    }

    pub(super) fn not_ready(&self) -> Refusal {
        Refusal::NotReady { retry_after: self.first().settings.actors.first_delay }
    }
}
