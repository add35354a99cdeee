//! Where the artifacts of one rendering in a network lie, and putting them there.
//!
//! A key has the rendering in it, and a rendering's result never changes: what no result names once it has ended stays
//! garbage, so that whoever sweeps may pause between looking and removing for as long as it likes.

use std::path::Path;

use object_store::path::Path as Key;

use super::open::Store;
use super::put::PutError;
use super::uploads::ParcelFile;
use crate::types::{Sha256, WorkId};

/// What the keys of artifacts begin with.
pub(super) const WORK: &str = "work";

impl Store {
    /// Has an artifact of a rendering in the store; answers with its address. What is there already is compared and not sent
    /// again; nothing is replaced.
    ///
    /// # Errors
    /// The store does not do it, the file cannot be read or is damaged, or other content lies there.
    pub async fn put_work(&self, work: WorkId, folder: &Path, file: &ParcelFile) -> Result<String, PutError> {
        let key = self.work_key(work, &file.sha256);
        self.put_artifact(&key, folder, file, None).await?;
        Ok(self.address_of(&key))
    }

    /// The address of an artifact of a rendering, whether it is there or not.
    pub fn work_address(&self, work: WorkId, sha256: &Sha256) -> String {
        self.address_of(&self.work_key(work, sha256))
    }

    pub(super) fn work_key(&self, work: WorkId, sha256: &Sha256) -> Key {
        self.key(&format!("{WORK}/{work}/{sha256}"))
    }
}
