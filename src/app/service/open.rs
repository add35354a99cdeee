//! Opening the journal of a data folder: the lock, the index, and what the slots' folders say where the index lost it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::journal::end_of;
use crate::config::Settings;
use crate::journal::index::{FolderSlot, FoldersHint, Index, IndexSettings, NewSlot, StartReport};
use crate::journal::{FolderTold, SlotFolders};

/// A deadline that lies further ahead stands for none.
const FAR: Duration = Duration::from_secs(29 * 24 * 3600);

/// The folders of `data_dir` that belong to the service.
pub(crate) const JOURNAL: &str = "journal";
pub(crate) const SLOTS: &str = "slots";

/// What the folders say.
struct Told<'a>(&'a SlotFolders);

impl FoldersHint for Told<'_> {
    fn slots(&self) -> Box<dyn Iterator<Item = FolderSlot> + '_> {
        Box::new(self.0.told().map(slot))
    }
}

fn slot(told: FolderTold) -> FolderSlot {
    let FolderTold { slot, recipe, key, accepted_at, deadline, traceparent, end } = told;
    let is_far = deadline.saturating_sub(accepted_at) > FAR;
    let end = end.map(|(terminal, artifacts)| {
        let at = accepted_at.saturating_add(terminal.elapsed);
        end_of(&terminal, &artifacts, at)
    });
    FolderSlot {
        accepted: NewSlot {
            slot,
            recipe,
            recipe_sha256: key.recipe,
            bundle_sha256: key.bundle,
            accepted_at,
            deadline: (!is_far).then_some(deadline),
            traceparent,
            webhook: None,
            origin: "folder".to_owned(),
            work: None,
            event: None,
        },
        end,
    }
}

/// The index of the data folder, and what was found. Blocks.
pub(super) fn open(
    settings: &Settings,
    folders: &Arc<SlotFolders>,
) -> Result<(Index, StartReport), crate::journal::index::IndexError> {
    let journal = settings.journal;
    let index = IndexSettings {
        backup_every: journal.backup_every,
        events_kept: journal.events.get() as u64,
        events_kept_for: journal.events_for,
        ..IndexSettings::default()
    };
    Index::open(&settings.data_dir.join(JOURNAL), index, &Told(folders))
}

/// Where the folders of slots are.
pub(super) fn slots(data: &Path) -> std::path::PathBuf {
    data.join(SLOTS)
}
