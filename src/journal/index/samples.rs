//! Slots, ends and events for tests.
// Samples are for tests and fuzz targets, where a mistake is to be loud.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::change::{Change, Numbered, Record};
use super::deliveries::{DeliveryMark, UploadMark};
use super::records::*;
use crate::types::{Sha256, SlotId, Stage};

pub(crate) fn id(number: u128) -> SlotId {
    SlotId::new(uuid::Uuid::from_u128(number))
}

pub(crate) fn at(seconds: u64) -> UnixTime {
    Duration::from_secs(1_800_000_000 + seconds)
}

pub(crate) fn event(slot: Option<u128>, kind: &str, deliver: bool) -> NewEvent {
    NewEvent {
        at: at(1),
        slot: slot.map(id),
        kind: kind.into(),
        json: format!("{{\"event\":\"{kind}\"}}").into(),
        deliver_to: deliver.then(|| "https://example.org/hook".to_owned()),
    }
}

pub(crate) fn slot(number: u128) -> NewSlot {
    let recipe: Arc<[u8]> = Arc::from(format!("{{\"recipe_id\":\"{}\"}}", id(number)).as_bytes());
    NewSlot {
        slot: id(number),
        recipe_sha256: Sha256::of(&recipe),
        recipe,
        bundle_sha256: Sha256::of(b"bundle"),
        accepted_at: at(number as u64),
        deadline: Some(at(number as u64 + 45)),
        traceparent: None,
        webhook: Some(WebhookTarget { url: "https://example.org/hook".to_owned(), events: Vec::new() }),
        origin: "http".to_owned(),
        work: None,
        event: Some(event(Some(number), "accepted", false)),
    }
}

pub(crate) fn end(number: u128, state: State) -> EndRecord {
    let sha256 = Sha256::of(b"video");
    EndRecord {
        slot: id(number),
        state,
        end: EndRow {
            at: at(number as u64 + 30),
            deadline_met: (state == State::Completed).then_some(true),
            cause: (state != State::Completed).then(|| "timeout".to_owned()),
            stage: (state == State::Failed).then_some(Stage::Video),
            message: None,
            elapsed: Duration::from_millis(30_500),
            stage_seconds: BTreeMap::from([(Stage::Audio, 0.1), (Stage::Video, 29.75)]),
            artifacts: vec![ArtifactRow { name: "video.mp4".to_owned(), sha256, bytes: 1000 }],
        },
        upload: false,
        event: Some(event(Some(number), state.name(), true)),
    }
}

/// One of each kind.
pub(super) fn records() -> Vec<Record> {
    let numbered = |sequence, event: NewEvent| Some(Numbered { sequence, event });
    let mut new = slot(1);
    let accepted = new.event.take().unwrap();
    let mut ended = end(1, State::Failed);
    let told = ended.event.take().unwrap();
    let slot = id(1);
    let with_event = [
        (Change::Accept { order: 1, slot: Box::new(new) }, numbered(1, accepted)),
        (Change::End { end: Box::new(ended) }, numbered(2, told)),
        (Change::Event, numbered(3, event(None, "drain", false))),
    ];
    let without = [
        Change::Cancel { slot, at: at(2) },
        Change::Begun { slot, at: at(3), device: "cpu".to_owned() },
        Change::TakenUp { slot },
        Change::Outbox { id: 2, mark: DeliveryMark::Retry { next_at: at(9), error: "503".to_owned() } },
        Change::Upload { slot, at: at(4), mark: UploadMark::GivenUp { error: "denied".to_owned() } },
        Change::Expire { slot, at: at(5) },
        Change::ForgetTombstones { before: at(6) },
        Change::PruneEvents { through: 2 },
        Change::AcknowledgeLoss,
    ];
    let without = without.into_iter().map(|change| (change, None));
    with_event.into_iter().chain(without).map(|(change, event)| Record { change, event }).collect()
}
