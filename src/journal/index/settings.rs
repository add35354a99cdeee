//! How an index is kept, what it is asked for and with, and how it is doing.

use std::time::Duration;

use super::records::{EndRecord, NewSlot, State, UnixTime};
use crate::types::Bytes;

/// How an index is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexSettings {
    /// Between two backups.
    pub backup_every: Duration,
    /// At most so many events are kept.
    pub events_kept: u64,
    /// Events are kept at most so long.
    pub events_kept_for: Duration,
    /// A change that is not urgent is committed at the latest after this.
    pub event_delay: Duration,
    /// So many events may wait in memory for a listener that is slow; then it learns that it lags.
    pub listener_backlog: usize,
    /// A file of the log is closed at this size. What two backups cover is removed.
    pub log_file: Bytes,
    /// What was set aside is kept so long for whoever wants to look at it …
    pub set_aside_for: Duration,
    /// … and the newest of it, up to so many bytes.
    pub set_aside: Bytes,
    /// A delivery or upload whose next try lies further ahead than this is due now: the clock was set back.
    pub longest_pause: Duration,
}

impl Default for IndexSettings {
    fn default() -> Self {
        Self {
            // What a rebuild has to take from the log: minutes of it are read in a second.
            backup_every: Duration::from_secs(15 * 60),
            // A slot has about twenty events: the last few thousand slots.
            events_kept: 100_000,
            events_kept_for: Duration::from_secs(7 * 24 * 3600),
            // Below what a person sees, and far above a commit.
            event_delay: Duration::from_millis(50),
            listener_backlog: 4096,
            log_file: Bytes::mib(16),
            // Whoever is told of a repair looks at it within weeks.
            set_aside_for: Duration::from_secs(30 * 24 * 3600),
            // Some indexes of 20,000 slots, of about 100 MB each.
            set_aside: Bytes::gb(1),
            // Webhooks wait at most a few hours between two tries.
            longest_pause: Duration::from_secs(6 * 3600),
        }
    }
}

/// A slot as its folder tells of it.
#[derive(Clone, Debug)]
pub struct FolderSlot {
    /// As it was accepted; of what the folder does not tell, the caller says what is true or nothing. Without an event.
    pub accepted: NewSlot,
    /// Its end, where the folder has one. Without an event.
    pub end: Option<EndRecord>,
}

/// Where slots are looked for that neither index nor log have any more. Asked only after a loss.
pub trait FoldersHint {
    /// Every slot folder that can be read, in any order.
    fn slots(&self) -> Box<dyn Iterator<Item = FolderSlot> + '_>;
}

/// There are no folders.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFolders;

impl FoldersHint for NoFolders {
    fn slots(&self) -> Box<dyn Iterator<Item = FolderSlot> + '_> {
        Box::new(std::iter::empty())
    }
}

/// Which slots are wanted.
#[derive(Clone, Debug, Default)]
pub struct SlotFilter {
    /// In these states; empty for all.
    pub states: Vec<State>,
    /// At most so many.
    pub limit: usize,
    /// Accepted before the slot of this [`order`](super::SlotRow::order).
    pub before: Option<u64>,
}

/// How the index is doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IndexHealth {
    /// Why the last commit failed, until one succeeds again.
    pub error: Option<String>,
    /// Events and other changes that were not urgent and were given up while nothing could be written.
    pub dropped: u64,
    /// When the snapshot in `backup/` was made; none where there is none.
    pub backed_up_at: Option<UnixTime>,
    /// Why the last backup failed, until one succeeds again.
    pub backup_error: Option<String>,
    /// The number of the last group commit.
    pub group: u64,
}
