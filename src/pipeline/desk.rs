//! The journal of a rendered slot: its folder, and a signed result also where it failed.
//!
//! A slot that fails keeps its artifacts; what is wrong with it belongs beside them. Completed slots have their result
//! from packaging.

use std::sync::Arc;

use super::clerk::Clerk;
use crate::journal::{Accepted, Ending, FolderJournal, Journal, OpenSlot, StageOutput, Terminal, Written};
use crate::types::SlotId;

/// The folder with its clerk.
pub(crate) struct Desk {
    pub(crate) folder: Arc<FolderJournal>,
    pub(crate) clerk: Arc<Clerk>,
}

impl Journal for Desk {
    fn accept(&self, accepted: &Accepted) -> Written {
        self.folder.accept(accepted)
    }

    fn stage_done(&self, slot: SlotId, output: &StageOutput) -> Written {
        self.folder.stage_done(slot, output)
    }

    fn terminal(&self, terminal: &Terminal) -> Written {
        if !matches!(terminal.ending, Ending::Failed { .. }) {
            return self.folder.terminal(terminal);
        }
        let (folder, clerk, terminal) = (self.folder.clone(), self.clerk.clone(), terminal.clone());
        Written::Later(Box::pin(async move {
            // The record of the end comes last: where it stands, the result stands too.
            clerk.fail(terminal.clone()).await?;
            folder.terminal(&terminal).wait().await
        }))
    }

    fn open(&self) -> Written<Vec<OpenSlot>> {
        self.folder.open()
    }

    fn before_exit(&self) -> Written {
        self.folder.before_exit()
    }
}
