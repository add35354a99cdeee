//! The journal of a rendered slot: its folder, and a signed result also where it failed.
//!
//! A slot that fails keeps its artifacts; what is wrong with it belongs beside them. Completed slots have their result
//! from packaging.

use std::sync::Arc;

use super::clerk::Clerk;
use crate::journal::{
    Accepted, Ending, Journal, JournalFuture, OpenSlot, SlotFolders, StageOutput, Terminal,
};
use crate::types::SlotId;

/// The folders with their clerk.
pub(crate) struct Desk {
    pub(crate) folders: Arc<SlotFolders>,
    pub(crate) clerk: Arc<Clerk>,
}

impl Journal for Desk {
    fn accept(&self, accepted: &Accepted) -> JournalFuture {
        self.folders.accept(accepted)
    }

    fn stage_done(&self, slot: SlotId, output: &StageOutput) -> JournalFuture {
        self.folders.stage_done(slot, output)
    }

    fn terminal(&self, terminal: &Terminal) -> JournalFuture {
        if !matches!(terminal.ending, Ending::Failed { .. }) {
            return self.folders.terminal(terminal);
        }
        let (folders, clerk, terminal) = (self.folders.clone(), self.clerk.clone(), terminal.clone());
        JournalFuture::going(async move {
            // The record of the end comes last: where it stands, the result stands too.
            clerk.fail(terminal.clone()).await?;
            folders.terminal(&terminal).await
        })
    }

    fn open(&self) -> JournalFuture<Vec<OpenSlot>> {
        self.folders.open()
    }

    fn before_exit(&self) -> JournalFuture {
        self.folders.before_exit()
    }
}
