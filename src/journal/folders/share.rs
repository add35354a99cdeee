//! Finished stages that go from one node's folder of a slot to another's.

use super::{SlotFolders, TakenUp};
use crate::journal::{Accepted, JournalError, Key, Misuse, Outputs, SlotFolder};
use crate::types::{SlotId, Stage};

#[cfg(test)]
mod tests;

/// What came of stages that another node has finished.
#[derive(Debug, Default)]
pub(crate) struct TakenIn {
    /// What the folder holds now.
    pub(crate) outputs: Outputs,
    /// Stages that are not to be had out of what was given, and why.
    pub(crate) left_out: Vec<(Stage, String)>,
}

impl SlotFolders {
    /// A finished stage of `slot` as one archive for another node; none where it is not finished, not for others, or too
    /// large to be held in memory. Blocks on the disk.
    pub(crate) fn packed(&self, slot: SlotId, stage: Stage) -> Result<Option<Vec<u8>>, JournalError> {
        self.dir_of(slot).map_or(Ok(None), |dir| SlotFolder::packed(&dir, slot, stage))
    }

    /// Makes the folder of a slot that is about to be accepted, with what another node has finished of it: archives in the
    /// order of the stages, which are checked as what an earlier process left is. What is damaged, another rendering's or
    /// unexpected is left out. A folder in which something is finished already stays as it is. Blocks on the disk.
    pub(crate) fn take_in(
        &self,
        accepted: Accepted,
        key: Key,
        archives: &[(Stage, Vec<u8>)],
    ) -> Result<TakenIn, JournalError> {
        let slot = accepted.slot;
        self.plan(accepted, key);
        let folder = self.ensure(slot)?;
        let left_out = folder.take_in(archives)?;
        let outputs = match folder.held()? {
            TakenUp::Open(outputs) => outputs,
            TakenUp::Ended(..) => Outputs::default(),
        };
        Ok(TakenIn { outputs, left_out })
    }

    /// Whether there is a folder of `slot`. Looks at the disk.
    pub(crate) fn is_there(&self, slot: SlotId) -> bool {
        self.dir_of(slot).is_some_and(|dir| dir.exists())
    }

    /// Takes away what [`Self::take_in`] made of a slot that was not accepted then. Blocks on the disk.
    pub(crate) fn discard(&self, slot: SlotId) -> Result<(), JournalError> {
        let Some(dir) = self.dir_of(slot) else {
            return Err(JournalError::misuse(slot, Misuse::NoPlace, None));
        };
        let held = self.known().slots.remove(&slot);
        drop(held);
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(JournalError::io(dir, "removed", error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
