//! What was found at the start of an index, and what was done about it: for people and for machines.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::generation::Generation;
use super::records::Loss;
use crate::types::Bytes;

/// How an index was opened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StartReport {
    /// The life of the journal; the first part of event ids.
    pub generation: Generation,
    /// The number of the newest event.
    pub sequence: u64,
    /// Slots that are open.
    pub open: u64,
    /// What was found, in the order in which it was dealt with. Empty after a clean stop.
    pub findings: Vec<Finding>,
    /// Where accepted slots may have been lost, now or at an earlier start: until it is
    /// [acknowledged](super::Index::acknowledge_loss).
    pub loss: Option<Loss>,
    /// How long it took.
    pub took: Duration,
}

impl StartReport {
    /// What was repaired, each in one sentence; what every crash leaves is not among them.
    pub fn repairs(&self) -> Vec<String> {
        self.findings.iter().filter(|finding| finding.is_repair()).map(ToString::to_string).collect()
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// There was neither index nor log: a new journal.
    New,
    /// The format was brought up to date.
    Migrated {
        /// From this version.
        from: i64,
        /// To this one.
        to: i64,
    },
    /// The last record of the log was cut off by a crash, before anybody was answered.
    TornTail {
        /// What was cut off.
        bytes: Bytes,
    },
    /// The index had not got what the log has.
    Replayed {
        /// Group commits put in.
        groups: u64,
        /// Changes in them.
        records: u64,
        /// Whether somebody had been answered about one of them: then the index had them and lost them. Otherwise the
        /// process ended between the log's sync and the index's commit.
        answered: bool,
    },
    /// After a loss: only their folders told of these.
    FromFolders {
        /// Slots and ends that were put in.
        slots: u64,
    },
    /// The index's file was not there.
    IndexMissing,
    /// The index's file was damaged.
    IndexDamaged {
        /// What is wrong with it.
        what: String,
        /// Where it is now.
        set_aside: PathBuf,
    },
    /// The index was whole and older than the log reaches back: a part of it that was not yet in its main file is gone.
    IndexStale {
        /// Where it is now.
        set_aside: PathBuf,
    },
    /// The index was built anew.
    Rebuilt {
        /// Whether the backup was there and sound.
        from_backup: bool,
        /// Group commits from the log.
        groups: u64,
        /// Slots that only their folders told of.
        folders: u64,
    },
    /// The backup was damaged, when it was needed.
    BackupDamaged {
        /// What is wrong with it.
        what: String,
        /// Where it is now.
        set_aside: PathBuf,
    },
    /// The log was not there.
    LogMissing,
    /// The log was damaged, or another journal's.
    LogDamaged {
        /// What is wrong with it.
        what: String,
        /// Where its files are now.
        set_aside: PathBuf,
    },
    /// The log was of the generation before the loss; a new one was begun.
    LogReplaced {
        /// Where its files are now.
        set_aside: PathBuf,
    },
    /// The log ended before the index did.
    LogShort {
        /// Group commits that it lacked.
        groups: u64,
        /// Whether somebody had been answered about one of them: then the log had them and lost them. Otherwise the power
        /// went between the index's commit and the log's sync.
        answered: bool,
        /// Where its files are now.
        set_aside: PathBuf,
    },
    /// Accepted slots and events may be gone: both index and log had lost them.
    Lost(Loss),
}

impl Finding {
    /// Whether something was wrong: not so of what every crash or update leaves.
    pub fn is_repair(&self) -> bool {
        match self {
            Self::New | Self::Migrated { .. } | Self::TornTail { .. } => false,
            // One group may be on its way to both when the process ends.
            Self::Replayed { groups, answered, .. } | Self::LogShort { groups, answered, .. } => {
                *answered || *groups > 1
            }
            _ => true,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => write!(f, "a new journal was begun"),
            Self::Migrated { from, to } => {
                write!(f, "the index was brought from format version {from} to {to}")
            }
            Self::TornTail { bytes } => {
                write!(
                    f,
                    "the last record of the log was cut off after {bytes}; nobody had been answered, it was removed"
                )
            }
            Self::Replayed { groups, records, .. } => write!(
                f,
                "the index lacked {records} changes in {groups} commits, which the log had; they were put in"
            ),
            Self::FromFolders { slots } => {
                write!(f, "{slots} slots or ends that only slot folders told of were put in")
            }
            Self::IndexMissing => write!(f, "the index was missing"),
            Self::IndexDamaged { what, set_aside } => {
                write!(f, "the index was damaged ({what}); it was moved to {}", set_aside.display())
            }
            Self::IndexStale { set_aside } => write!(
                f,
                "the index's main file was older than the log reaches back (its WAL is gone); it was moved to {}",
                set_aside.display()
            ),
            Self::Rebuilt { from_backup, groups, folders } => {
                let backup = if *from_backup { "the backup" } else { "nothing (there was no backup)" };
                write!(
                    f,
                    "the index was built anew from {backup}, {groups} commits of the log and {folders} slot folders"
                )
            }
            Self::BackupDamaged { what, set_aside } => {
                write!(f, "the backup was damaged ({what}); it was moved to {}", set_aside.display())
            }
            Self::LogMissing => {
                write!(f, "the log was missing; a new one was begun after a backup of the index")
            }
            Self::LogDamaged { what, set_aside } => write!(
                f,
                "the log was damaged ({what}); it was moved to {}, and a new one was begun after a backup of the index",
                set_aside.display()
            ),
            Self::LogReplaced { set_aside } => write!(
                f,
                "a new log was begun after a backup of the index; the log from before the loss was moved to {}",
                set_aside.display()
            ),
            Self::LogShort { groups, set_aside, .. } => write!(
                f,
                "the log lacked {groups} commits that the index has; it was moved to {}, and a new one was begun after \
                 a backup of the index",
                set_aside.display()
            ),
            Self::Lost(loss) => {
                let since = match loss.since {
                    Some(since) => format!("since {} s after the Unix epoch", since.as_secs()),
                    None => "at any time before".to_owned(),
                };
                write!(
                    f,
                    "index and log were both damaged: slots and ends that were accepted {since} may be missing, until an \
                     operator acknowledges it"
                )
            }
        }
    }
}
