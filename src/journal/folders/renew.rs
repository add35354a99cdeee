//! What a slot's folder held in an epoch goes before a later one begins.

use super::{Claim, SlotFolders};
use crate::files::sync_folder;
use crate::journal::{JournalError, Misuse, SlotFolder};
use crate::types::SlotId;

impl SlotFolders {
    /// Takes away what is left of `slot`, which has ended here and comes again in a later epoch: nothing is known of it
    /// any more, and a folder that holds its end is removed, so that what is [planned](Self::plan) next begins at nothing.
    /// A folder without an end stays: its finished stages count.
    ///
    /// To be called before the new epoch is accepted: a process that ended in between would else take the old end for the
    /// new one's. The folder is removed and not moved aside, since retention removes folders by their slots' names and
    /// would never find it. [`Misuse::Open`] where the slot is open in its folder. Blocks on the disk.
    pub fn renew(&self, slot: SlotId) -> Result<(), JournalError> {
        self.release(slot)?;
        let Some(dir) = self.dir_of(slot) else { return Ok(()) };
        let _claim = {
            let mut known = self.known();
            if known.slots.contains_key(&slot) {
                return Err(JournalError::misuse(slot, Misuse::Preparing, Some(&dir)));
            }
            Claim::new(self, &mut known, slot)
        };
        if !SlotFolder::holds_end(&dir, slot)? {
            return Ok(());
        }
        std::fs::remove_dir_all(&dir).map_err(|error| JournalError::io(dir.clone(), "removed", error))?;
        // The acceptance that follows is synced; the end before it must not come back after it.
        dir.parent().into_iter().for_each(sync_folder);
        Ok(())
    }
}
