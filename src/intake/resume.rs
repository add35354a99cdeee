//! What becomes of a slot that is asked for again: what its folder holds decides.

use std::path::Path;

use crate::journal::{Ending, Failure, FolderState, Terminal};
use crate::types::Stage;

/// How a slot goes on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Course {
    /// It has ended, and trying again would change nothing.
    Finished(Terminal),
    /// It is taken up where it was left. `again`: its end, or its passed time, is taken away first.
    TakeUp {
        /// Whether the folder is to be reopened with a new deadline.
        again: bool,
        /// What to tell whoever asked.
        note: String,
    },
    /// It is asked for anew.
    Ask {
        /// What to tell whoever asked, where something was there before.
        note: Option<String>,
    },
}

/// How the slot in `folder`, which stands like this, goes on; `timed` where its recipe names a deadline.
pub(crate) fn course(standing: FolderState, folder: &Path, timed: bool) -> Course {
    let folder = folder.display();
    match standing {
        FolderState::Ended(terminal) if is_final(&terminal) => Course::Finished(terminal),
        FolderState::Ended(Terminal { ending, .. }) => {
            let how = if matches!(ending, Ending::Cancelled { .. }) { "was cancelled" } else { "failed" };
            Course::TakeUp {
                again: true,
                note: format!("{folder} holds an attempt that {how}; it is tried again"),
            }
        }
        // However long ago it was interrupted: nothing is late that names no time.
        FolderState::Resumable { done, damaged } => {
            Course::TakeUp { again: !timed, note: kept(&folder.to_string(), &done, &damaged) }
        }
        FolderState::Replaced { why } => {
            Course::Ask { note: Some(format!("{folder}: the earlier rendering is replaced: {why}")) }
        }
        FolderState::New => Course::Ask { note: None },
    }
}

/// Completed, or refused by a check that would refuse it again: the same recipe and bundle give the same video.
fn is_final(terminal: &Terminal) -> bool {
    match &terminal.ending {
        Ending::Completed { .. } => true,
        Ending::Failed { cause, .. } => *cause == Failure::Rejected,
        Ending::Cancelled { .. } => false,
    }
}

fn kept(folder: &str, done: &[Stage], damaged: &[(Stage, String)]) -> String {
    let names: Vec<&str> = done.iter().map(|stage| stage.name()).collect();
    let kept = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let mut text = format!("{folder} holds an unfinished slot: {kept} is kept");
    for (stage, why) in damaged {
        text.push_str(&format!("; {stage} is done again: {why}"));
    }
    text
}
