//! How far a slot is, told to whoever watches it in the network.

use serde::Deserialize;

use super::Network;
use super::claims::Held;
use crate::api::backend::StoredEvent;
use crate::clock;
use crate::network::VERSION;
use crate::network::progress::{self, Progress};
use crate::types::Stage;

/// What is read of an event.
#[derive(Deserialize)]
struct Told {
    /// Videos are told of without their stage.
    stage: Option<Stage>,
    progress: Option<Steps>,
}

#[derive(Deserialize)]
struct Steps {
    done: u64,
    total: u64,
}

/// How far its slot is by `event`: the stage, what is done of it, and of how much.
fn read(event: &StoredEvent) -> Option<(Stage, u64, u64)> {
    if !matches!(&*event.kind, "stage_began" | "stage_progress" | "video_progress") {
        return None;
    }
    let told: Told = serde_json::from_str(&event.json).ok()?;
    let Steps { done, total } = told.progress.unwrap_or(Steps { done: 0, total: 0 });
    Some((told.stage.unwrap_or(Stage::Video), done, total))
}

impl Network {
    /// Tells what `event` says of its slot, to nobody in particular and without waiting.
    pub(super) async fn tell_progress(&self, held: &Held, event: &StoredEvent) {
        let (Some((stage, done, total)), Some(session)) = (read(event), self.link.session()) else { return };
        let at = clock::unix_time().as_secs_f64();
        let (work, node) = (held.work, self.id.to_string());
        // Nobody need listen.
        let _ = progress::tell(&session, &Progress { version: VERSION, work, node, stage, done, total, at })
            .await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::app::service::events::row;
    use crate::contract::{self, Unit};
    use crate::events::{Event, EventKind};
    use crate::types::ModelId;

    fn stored(kind: EventKind) -> StoredEvent {
        let event = Event { at: Default::default(), device: None, slot: None, kind };
        let row = row(&event).unwrap();
        StoredEvent::new(None, None, row.kind, Arc::clone(&row.json))
    }

    #[test]
    fn stages_and_steps_are_read_from_the_events_as_they_are_written() {
        let progress = contract::Progress { done: 3, total: 8, unit: Unit::Steps };
        let steps = EventKind::StageProgress { stage: Stage::Image, model: ModelId::Flux, progress };
        assert_eq!(read(&stored(steps)), Some((Stage::Image, 3, 8)));
        assert_eq!(read(&stored(EventKind::VideoProgress { progress })), Some((Stage::Video, 3, 8)));
        assert_eq!(read(&stored(EventKind::SlotLeft)), None);
    }
}
