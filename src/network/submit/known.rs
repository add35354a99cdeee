//! What is there already of the slots that are handed in.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::json;

use super::{Standing, Submitted};
use crate::network::error::NetworkError;
use crate::network::plan::Order;
use crate::network::session::Session;
use crate::network::subjects::Stream;
use crate::types::{SlotId, WorkId};

/// From so many slots on, the whole queue is listed once: each slot's look would go through all of it.
const MANY: usize = 16;
/// Slots that are looked at at a time.
const AT_ONCE: usize = 32;

/// Renderings that are in the queue or have ended, by slot.
#[derive(Debug, Default)]
pub(super) struct Known {
    slots: BTreeMap<SlotId, BTreeMap<WorkId, Standing>>,
}

impl Known {
    /// Looks at the queue first: what ends meanwhile is found among the results.
    pub(super) async fn look(session: &Session, orders: &[Order]) -> Result<Self, NetworkError> {
        let slots: BTreeSet<SlotId> = orders.iter().map(|order| order.slot).collect();
        let mut known = Self::default();
        let filters = if slots.len() < MANY {
            slots.iter().map(|slot| session.subjects().work_of(*slot)).collect()
        } else {
            vec![session.subjects().all(Stream::Work)]
        };
        for filter in filters {
            for subject in listed(session, Stream::Work, &filter).await? {
                let read = session.subjects().read_work(&subject).map(|read| read.work);
                if let Some(work) = read.filter(|work| slots.contains(&work.slot)) {
                    known.slots.entry(work.slot).or_default().insert(work, Standing::Queued);
                }
            }
        }
        let ends = stream::iter(slots.iter().map(|slot| ended(session, *slot))).buffer_unordered(AT_ONCE);
        let ends: Vec<Result<Vec<(WorkId, String)>, NetworkError>> = ends.collect().await;
        for of_slot in ends {
            for (work, state) in of_slot? {
                known.slots.entry(work.slot).or_default().insert(work, Standing::Ended { state });
            }
        }
        Ok(known)
    }

    /// The highest epoch of a slot.
    pub(super) fn highest(&self, slot: SlotId) -> Option<NonZeroU32> {
        self.slots.get(&slot)?.keys().map(|work| work.epoch).max()
    }

    /// The renderings of that.
    pub(super) fn newest(&self, slot: SlotId) -> Vec<Submitted> {
        let highest = self.highest(slot);
        let all = self.slots.get(&slot).into_iter().flatten();
        let newest = all.filter(|(work, _)| Some(work.epoch) == highest);
        newest.map(|(work, standing)| Submitted { work: *work, standing: standing.clone() }).collect()
    }
}

/// Subjects of a stream that `filter` takes.
async fn listed(session: &Session, stream: Stream, filter: &str) -> Result<Vec<String>, NetworkError> {
    #[derive(Deserialize)]
    struct Page {
        #[serde(default)]
        total: usize,
        state: State,
    }
    #[derive(Deserialize)]
    struct State {
        #[serde(default)]
        subjects: Option<BTreeMap<String, u64>>,
    }
    let name = session.subjects().stream(stream);
    let doing = format!("list subjects of stream {name}");
    let mut found = Vec::new();
    loop {
        let asked = json!({ "subjects_filter": filter, "offset": found.len() });
        let page: Page = session.api(&doing, &format!("STREAM.INFO.{name}"), &asked).await?;
        let subjects = page.state.subjects.unwrap_or_default();
        let is_last = subjects.is_empty() || found.len() + subjects.len() >= page.total;
        found.extend(subjects.into_keys());
        if is_last {
            return Ok(found);
        }
    }
}

/// Which renderings of a slot have ended, and how.
async fn ended(session: &Session, slot: SlotId) -> Result<Vec<(WorkId, String)>, NetworkError> {
    #[derive(Deserialize)]
    struct Record {
        state: String,
    }
    let subjects = session.subjects();
    let filter = subjects.of_slot(Stream::Results, slot);
    let (mut found, mut from) = (Vec::new(), 1);
    while let Some(stored) = session.next(Stream::Results, from, &filter).await? {
        from = stored.sequence + 1;
        if let Some(work) = subjects.read(Stream::Results, &stored.subject) {
            let read = serde_json::from_slice::<Record>(&stored.payload);
            // It has ended, whether anybody can read how or not.
            found.push((work, read.map_or_else(|_| "unreadable".to_owned(), |record| record.state)));
        }
    }
    Ok(found)
}
