//! Which card a slot goes to: what every card that would take it offers, to one of them.
//!
//! Pure. The orchestrators make the offers (a card under pressure, draining or not ready makes none); the
//! [node](super::node) and its [handle](super::handle) act on the answer.

use std::time::Duration;

use super::admission::Refusal;
use crate::types::Bytes;

/// The place of a card among the cards of its node, from 0; its device is [`DeviceTree::device`](super::tree::DeviceTree::device).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceIndex(usize);

impl DeviceIndex {
    /// The card at `place`, from 0.
    pub const fn new(place: usize) -> Self {
        Self(place)
    }

    /// The place, from 0.
    pub const fn get(self) -> usize {
        self.0
    }

    /// The places of a node with `count` cards.
    pub fn all(count: usize) -> impl DoubleEndedIterator<Item = Self> {
        (0..count).map(Self)
    }
}

/// What one card offers a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The most that the slot's runs will lease at once.
    pub needs: Bytes,
    /// What may be leased now.
    pub available: Bytes,
    /// What may be leased once every run under way has returned its workspace.
    pub at_best: Bytes,
    /// Whether it would begin at once: not as many slots are open as may be in work.
    pub begins: bool,
    /// Slots accepted and not ended.
    pub open: usize,
    /// Expected time to the slot's end, everything ahead of it included.
    pub eta: Duration,
}

impl Offer {
    /// What is left beside the slot's leases, where it could begin with them now.
    fn left(&self) -> Option<Bytes> {
        (self.begins && self.needs <= self.available).then(|| self.available.saturating_sub(self.needs))
    }
}

/// The card that gets the slot; none where no card offers anything.
///
/// Where its leases fit now, the card with most memory left beside them, so that the next large one fits too; on equal
/// terms the one with fewer open slots, then the first. Where they fit nowhere now, the slot waits where its end is
/// expected soonest, on a card that will have room for it if there is one.
pub(crate) fn place(offers: &[(DeviceIndex, Offer)]) -> Option<DeviceIndex> {
    let now = offers.iter().filter_map(|(card, offer)| Some((*card, offer.open, offer.left()?)));
    let now = now.max_by_key(|(card, open, left)| (*left, std::cmp::Reverse((*open, *card))));
    let later = || {
        offers.iter().min_by_key(|(card, offer)| (offer.needs > offer.at_best, offer.eta, offer.open, *card))
    };
    now.map(|(card, ..)| card).or_else(|| later().map(|(card, _)| *card))
}

/// What is answered where every card refuses: what no card will ever take first, then what may be asked again soonest,
/// then what would be late, and last that all are on their way out. `None` where no card has answered.
pub(crate) fn refusal(refusals: Vec<Refusal>) -> Option<Refusal> {
    let rank = |refusal: &Refusal| match refusal {
        Refusal::Duplicate | Refusal::Recipe(_) => (0, Duration::ZERO),
        Refusal::Pressure { retry_after, .. }
        | Refusal::NotReady { retry_after }
        | Refusal::QueueFull { retry_after, .. } => (1, *retry_after),
        Refusal::TooLate { eta, .. } => (2, *eta),
        Refusal::Journal(_) => (3, Duration::ZERO),
        Refusal::Draining => (4, Duration::ZERO),
    };
    refusals.into_iter().min_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs 1.6 GB, would begin at once.
    const FREE: Offer = Offer {
        needs: Bytes::mb(1600),
        available: Bytes::mb(4200),
        at_best: Bytes::mb(4200),
        begins: true,
        open: 0,
        eta: Duration::from_secs(21),
    };

    fn with(change: impl Fn(&mut Offer)) -> Offer {
        let mut offer = FREE;
        change(&mut offer);
        offer
    }

    #[test]
    fn a_slot_goes_where_its_leases_fit_and_leave_most() {
        let mb = |amount| with(|offer| offer.available = Bytes::mb(amount));
        let waiting = |open, eta| {
            with(|offer| {
                (offer.begins, offer.open, offer.eta) = (false, open, Duration::from_secs(eta));
            })
        };
        let cramped = |eta| {
            with(|offer| {
                (offer.available, offer.eta) = (Bytes::mb(1500), Duration::from_secs(eta));
            })
        };
        let hopeless = with(|offer| (offer.available, offer.at_best) = (Bytes::mb(900), Bytes::mb(1500)));
        for (what, offers, wanted) in [
            ("nobody offers anything", vec![], None),
            ("the only one", vec![(3, FREE)], Some(3)),
            ("most is left", vec![(0, mb(3000)), (1, mb(4200)), (2, mb(2000))], Some(1)),
            ("it just fits", vec![(0, mb(1599)), (1, mb(1600))], Some(1)),
            (
                "equal room, fewer open",
                vec![(0, with(|it| it.open = 1)), (1, with(|it| it.open = 0))],
                Some(1),
            ),
            ("equal in all", vec![(1, FREE), (0, FREE)], Some(0)),
            ("room now beats a sooner end", vec![(0, cramped(1)), (1, FREE)], Some(1)),
            (
                "a free card beats a roomier one that is at work",
                vec![(0, waiting(2, 9)), (1, mb(1700))],
                Some(1),
            ),
            ("none begins: the shortest wait", vec![(0, waiting(4, 57)), (1, waiting(3, 45))], Some(1)),
            ("a fast card with more to do", vec![(0, waiting(2, 45)), (1, waiting(5, 30))], Some(1)),
            ("none begins, equal waits", vec![(0, waiting(3, 45)), (1, waiting(2, 45))], Some(1)),
            ("it fits nowhere now: the shortest wait", vec![(0, cramped(40)), (1, cramped(30))], Some(1)),
            ("where it will fit", vec![(0, hopeless), (1, waiting(5, 99))], Some(1)),
            ("nowhere ever", vec![(0, hopeless), (1, hopeless)], Some(0)),
        ] {
            let offers: Vec<_> =
                offers.iter().map(|(card, offer)| (DeviceIndex::new(*card), *offer)).collect();
            assert_eq!(place(&offers), wanted.map(DeviceIndex::new), "{what}");
        }
    }

    #[test]
    fn the_refusal_that_helps_most_is_the_answer() {
        let second = Duration::from_secs;
        let pressure = |seconds| Refusal::Pressure { cause: None, retry_after: second(seconds) };
        let late = |eta| Refusal::TooLate { eta: second(eta), left: second(1) };
        for (all, wanted) in [
            (vec![], None),
            (vec![Refusal::Draining, late(9), late(5)], Some(late(5))),
            (vec![late(5), pressure(12), pressure(8)], Some(pressure(8))),
            (vec![pressure(8), Refusal::Recipe("x".into())], Some(Refusal::Recipe("x".into()))),
            (vec![Refusal::Draining, Refusal::Draining], Some(Refusal::Draining)),
        ] {
            assert_eq!(refusal(all), wanted);
        }
    }
}
