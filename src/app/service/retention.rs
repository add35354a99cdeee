//! What goes after its time: ended slots with their folders, and what is remembered of them.
//!
//! Owns the rhythm; which slots go is [`retention::due`]'s to say. A slot becomes a tombstone in the index first, then its
//! folder goes: a process that ends in between leaves a folder that the next round takes away.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Service;
use super::open::slots;
use super::table::SlotTable;
use crate::config::{Journal, Settings};
use crate::journal::SlotFolders;
use crate::journal::index::retention::{self, RetentionSettings};
use crate::journal::index::{Ages, Found, Index, IndexError};
use crate::types::{Bytes, SlotId};

#[cfg(test)]
mod tests;

/// Between two rounds: nothing that is kept for hours has to go by the second.
const EVERY: Duration = Duration::from_secs(60);

/// What a round works on.
struct Kept<'a> {
    index: &'a Index,
    table: &'a SlotTable,
    data: &'a Path,
    settings: &'a Journal,
}

/// Round after round, until it is dropped.
pub(super) async fn run(service: Arc<Service>, settings: Settings) {
    let mut rounds = tokio::time::interval(EVERY);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let (service, settings) = (Arc::clone(&service), settings.clone());
        let round = move || {
            let data = &settings.data_dir;
            let kept =
                Kept { index: &service.index, table: &service.table, data, settings: &settings.journal };
            round(&kept, &kept.index.ages(), free(data))
        };
        match tokio::task::spawn_blocking(round).await {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => tracing::info!(count, "slots have expired"),
            Ok(Err(error)) => tracing::warn!(%error, "slots that are due cannot be taken away"),
            Err(error) => tracing::error!(%error, "taking slots away"),
        }
    }
}

/// Takes away what is due; how many slots that were. Blocks.
fn round(kept: &Kept<'_>, ages: &Ages, free: Option<Bytes>) -> Result<usize, IndexError> {
    let Kept { index, table, data, settings } = kept;
    let policy = RetentionSettings {
        at_least: settings.keep,
        at_most: Some(settings.keep_at_most),
        total: Some(settings.keep_bytes),
        free: Some(settings.keep_free),
        undelivered_held: Some(settings.keep_at_most),
    };
    let due = retention::due(ages, &index.expirable()?, free, &policy);
    for slot in &due {
        index.expire(*slot, ages.now()).wait()?;
        table.forget(*slot);
        remove(&folder_of(data, *slot));
    }
    index.forget_tombstones(ages.older_than(settings.tombstones)).wait()?;
    remove_damaged(data, ages, settings.keep_at_most);
    Ok(due.len())
}

/// Folders of slots that have expired, left by a process that ended before it took them away. Blocks.
pub(super) fn sweep(index: &Index, data: &Path) {
    let Ok(entries) = std::fs::read_dir(slots(data)) else { return };
    for entry in entries.flatten() {
        let Some(slot) = entry.file_name().to_str().and_then(|name| name.parse::<SlotId>().ok()) else {
            continue;
        };
        if matches!(index.slot(slot), Ok(Some(Found::Expired(_)))) {
            remove(&folder_of(data, slot));
        }
    }
}

/// Folders that were moved aside because they were damaged go when no slot of their time is kept any more.
fn remove_damaged(data: &Path, ages: &Ages, at_most: Duration) {
    let Ok(entries) = std::fs::read_dir(slots(data)) else { return };
    for entry in entries.flatten() {
        let is_damaged = entry.file_name().to_str().is_some_and(SlotFolders::is_set_aside);
        let moved = entry.metadata().and_then(|folder| folder.modified()).ok();
        let moved = moved.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        if is_damaged && moved.is_some_and(|at| ages.of(at) >= at_most) {
            tracing::info!(folder = %entry.path().display(), "a damaged folder is removed: its time is over");
            remove(&entry.path());
        }
    }
}

fn folder_of(data: &Path, slot: SlotId) -> PathBuf {
    slots(data).join(slot.to_string())
}

fn remove(folder: &Path) {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, folder = %folder.display(), "folder of an expired slot stays");
        }
        Ok(()) | Err(_) => {}
    }
}

/// What the disk of `data` has left, where the system tells.
fn free(data: &Path) -> Option<Bytes> {
    let stat = rustix::fs::statvfs(data).ok()?;
    Some(Bytes::new(stat.f_bavail.saturating_mul(stat.f_frsize)))
}
