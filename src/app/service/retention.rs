//! What goes after its time: ended slots with their folders, and what is remembered of them.
//!
//! Owns the rhythm; which slots go is [`retention::due`]'s to say. A slot becomes a tombstone in the index first, then its
//! folder goes: a process that ends in between leaves a folder that the next round takes away.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Service;
use super::open::{SLOTS, slots};
use crate::clock;
use crate::config::Settings;
use crate::journal::index::retention::{self, RetentionSettings};
use crate::journal::index::{Found, IndexError};
use crate::types::{Bytes, SlotId};

/// Between two rounds: nothing that is kept for hours has to go by the second.
const EVERY: Duration = Duration::from_secs(60);

/// Round after round, until it is dropped.
pub(super) async fn run(service: Arc<Service>, settings: Settings) {
    let mut rounds = tokio::time::interval(EVERY);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let (service, settings) = (Arc::clone(&service), settings.clone());
        match tokio::task::spawn_blocking(move || round(&service, &settings)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => tracing::info!(count, "slots have expired"),
            Ok(Err(error)) => tracing::warn!(%error, "slots that are due cannot be taken away"),
            Err(error) => tracing::error!(%error, "taking slots away"),
        }
    }
}

/// Takes away what is due; how many slots that were. Blocks.
fn round(service: &Service, settings: &Settings) -> Result<usize, IndexError> {
    let (index, journal) = (&service.index, &settings.journal);
    let now = clock::unix_time();
    let policy = RetentionSettings {
        at_least: journal.keep,
        at_most: Some(journal.keep_at_most),
        total: Some(journal.keep_bytes),
        free: Some(journal.keep_free),
        undelivered_held: Some(journal.keep_at_most),
    };
    let due = retention::due(now, &index.expirable()?, free(&settings.data_dir), &policy);
    for slot in &due {
        index.expire(*slot, now).wait()?;
        service.table.forget(*slot);
        remove(&settings.data_dir, *slot);
    }
    if let Some(before) = now.checked_sub(journal.tombstones) {
        index.forget_tombstones(before).wait()?;
    }
    Ok(due.len())
}

/// Folders of slots that have expired, left by a process that ended before it took them away. Blocks.
pub(super) fn sweep(service: &Service, data: &Path) {
    let Ok(entries) = std::fs::read_dir(slots(data)) else { return };
    for entry in entries.flatten() {
        let Some(slot) = entry.file_name().to_str().and_then(|name| name.parse::<SlotId>().ok()) else {
            continue;
        };
        if matches!(service.index.slot(slot), Ok(Some(Found::Expired(_)))) {
            remove(data, slot);
        }
    }
}

fn remove(data: &Path, slot: SlotId) {
    let folder = data.join(SLOTS).join(slot.to_string());
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%slot, %error, folder = %folder.display(), "folder of an expired slot stays");
        }
        Ok(()) | Err(_) => {}
    }
}

/// What the disk of `data` has left, where the system tells.
fn free(data: &Path) -> Option<Bytes> {
    let stat = rustix::fs::statvfs(data).ok()?;
    Some(Bytes::new(stat.f_bavail.saturating_mul(stat.f_frsize)))
}
