//! A change of the index, as the log holds it: enough to make the same change again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::deliveries::{DeliveryMark, UploadMark};
use super::records::{EndRecord, NewEvent, NewSlot, UnixTime};
use crate::types::SlotId;

/// What a group is made of: a change, and the event that tells of it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub change: Change,
    pub event: Option<Numbered>,
}

/// An event that has its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Numbered {
    pub sequence: u64,
    #[serde(flatten)]
    pub event: NewEvent,
}

/// A change that has been decided on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(super) enum Change {
    Accept {
        order: u64,
        #[serde(flatten)]
        slot: Box<NewSlot>,
    },
    Cancel {
        slot: SlotId,
        at: UnixTime,
    },
    End {
        #[serde(flatten)]
        end: Box<EndRecord>,
    },
    /// Nothing but its event.
    Event,
    Begun {
        slot: SlotId,
        at: UnixTime,
        device: String,
    },
    TakenUp {
        slot: SlotId,
    },
    Outbox {
        id: u64,
        mark: DeliveryMark,
    },
    Upload {
        slot: SlotId,
        at: UnixTime,
        mark: UploadMark,
    },
    Expire {
        slot: SlotId,
        at: UnixTime,
    },
    ForgetTombstones {
        before: UnixTime,
    },
    /// Events up to this one go.
    PruneEvents {
        through: u64,
    },
    AcknowledgeLoss,
}

#[derive(Serialize, Deserialize)]
struct Text<C> {
    #[serde(flatten)]
    change: C,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<Numbered>,
}

/// Appends a record: the lengths of both parts, its JSON, and the recipe's bytes, which JSON would make larger.
pub(super) fn encode(record: &Record, into: &mut Vec<u8>) -> serde_json::Result<()> {
    let json = serde_json::to_vec(&Text { change: &record.change, event: record.event.clone() })?;
    let recipe: &[u8] = match &record.change {
        Change::Accept { slot, .. } => &slot.recipe,
        _ => &[],
    };
    // A group is far below 4 GiB: the log refuses a larger one.
    into.extend((json.len() as u32).to_le_bytes());
    into.extend((recipe.len() as u32).to_le_bytes());
    into.extend(json);
    into.extend(recipe);
    Ok(())
}

/// The records of a group's payload; an error says what is wrong.
pub(super) fn decode(mut payload: &[u8]) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    while !payload.is_empty() {
        let cut = || "a change is cut off".to_owned();
        let (lengths, rest) = payload.split_first_chunk::<8>().ok_or_else(cut)?;
        let [a, b, c, d, e, f, g, h] = *lengths;
        let json = u32::from_le_bytes([a, b, c, d]) as usize;
        let recipe = u32::from_le_bytes([e, f, g, h]) as usize;
        let (json, rest) = rest.split_at_checked(json).ok_or_else(cut)?;
        let (recipe, rest) = rest.split_at_checked(recipe).ok_or_else(cut)?;
        let Text { mut change, event } =
            serde_json::from_slice::<Text<Change>>(json).map_err(|error| error.to_string())?;
        if let Change::Accept { slot, .. } = &mut change {
            slot.recipe = Arc::from(recipe);
        }
        records.push(Record { change, event });
        payload = rest;
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples;
    use super::*;

    #[test]
    fn records_read_back() {
        let records = samples::records();
        let mut payload = Vec::new();
        records.iter().for_each(|record| encode(record, &mut payload).unwrap());
        let back = decode(&payload).unwrap();
        assert_eq!(format!("{back:?}"), format!("{records:?}"));
        for cut in 1..payload.len() {
            // Between two records it is a shorter group; elsewhere it is none.
            if let Ok(fewer) = decode(&payload[..cut]) {
                assert!(fewer.len() < records.len());
            }
        }
    }

    proptest! {
        #[test]
        fn any_payload_is_read_or_refused(payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&payload);
        }

        #[test]
        fn a_payload_with_other_bytes_is_read_or_refused(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut payload = Vec::new();
            samples::records().iter().for_each(|record| encode(record, &mut payload).unwrap());
            let place = place.index(payload.len());
            payload[place] = byte;
            let _ = decode(&payload);
        }
    }
}
