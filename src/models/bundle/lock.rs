//! `bundle.lock.toml`: which bytes a bundle's files were when they were fetched, and where they came from.
//!
//! Owns the format, reading and writing; [`agree`] compares it with the description. What the hub says is not its
//! concern.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BundleError, FileEntry, Sha256};
use crate::models::weights::writer::Replacement;
use crate::types::{Bytes, GitHash};

pub(super) mod agree;

#[cfg(test)]
mod tests;

/// Its name beside a `bundle.toml`.
pub const FILE_NAME: &str = "bundle.lock.toml";
/// The version of the format that is written, and the only one that is read.
const VERSION: u32 = 1;
const HEAD: &str =
    "# Written by `vortex-node weights pull`; it belongs beside bundle.toml, and is not for editing.\n";

/// What was fetched, in order of path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    files: Vec<Locked>,
}

/// One file as it was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Where it lies, as in the description.
    pub path: String,
    /// The repository that it came from.
    pub repo: String,
    /// The tag or branch that the description asked for, where that is no commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The commit that it came from.
    pub commit: GitHash,
    /// Its path in the repository.
    pub published: String,
    /// How many bytes it has there.
    pub bytes: Bytes,
    /// What it hashes to as it is published.
    pub sha256: Sha256,
    /// What git calls its content, where the repository holds it and no pointer to it: small files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_blob: Option<GitHash>,
    /// What was made of it, where it lies here as something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converted: Option<ConvertedFile>,
}

/// What a conversion wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvertedFile {
    /// The converter's version: another may write the same tensors in another way.
    pub converter: u32,
    /// How many bytes it has.
    pub bytes: Bytes,
    /// What it hashes to.
    pub sha256: Sha256,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default, rename = "file", skip_serializing_if = "Vec::is_empty")]
    files: Vec<Locked>,
}

impl Locked {
    /// What the file must hash to as it lies here.
    pub fn here(&self) -> Sha256 {
        self.converted.map_or(self.sha256, |converted| converted.sha256)
    }

    /// How many bytes it must have as it lies here.
    pub fn bytes_here(&self) -> Bytes {
        self.converted.map_or(self.bytes, |converted| converted.bytes)
    }

    /// What the description asked for, as it stands there.
    pub fn asked(&self) -> String {
        self.revision.clone().unwrap_or_else(|| self.commit.to_string())
    }
}

impl Lock {
    /// Where the lock of the description `file` lies.
    pub fn beside(file: &Path) -> PathBuf {
        file.with_extension("lock.toml")
    }

    /// Reads the lock at `file`; none where there is none.
    pub(super) fn read(file: &Path) -> Result<Option<Self>, BundleError> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(BundleError::Unreadable { file: file.to_owned(), source }),
        };
        let wrong = |why: String| BundleError::NoLock { file: file.to_owned(), why };
        let document: Document = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if document.version != VERSION {
            return Err(wrong(format!(
                "version {}, and this program reads version {VERSION}",
                document.version
            )));
        }
        let mut lock = Self::default();
        for entry in document.files {
            if lock.of(&entry.path).is_some() {
                return Err(wrong(format!("two entries for {:?}", entry.path)));
            }
            lock.put(entry);
        }
        Ok(Some(lock))
    }

    /// Writes it to `file`, whole or not at all.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let mut replacement = Replacement::create(file)?;
        replacement.write_all(self.to_toml()?.as_bytes())?;
        replacement.finish().map(drop)
    }

    fn to_toml(&self) -> io::Result<String> {
        let document = Document { version: VERSION, files: self.files.clone() };
        let text = toml::to_string(&document).map_err(io::Error::other)?;
        Ok(format!("{HEAD}{text}"))
    }

    /// What is locked of the file at `path`.
    pub fn of(&self, path: &str) -> Option<&Locked> {
        let place = self.files.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        self.files.get(place)
    }

    /// Enters a file, in place of what was entered for the same path.
    pub fn put(&mut self, entry: Locked) {
        match self.files.binary_search_by(|there| there.path.cmp(&entry.path)) {
            Ok(place) => self.files[place] = entry,
            Err(place) => self.files.insert(place, entry),
        }
    }

    /// Drops every file that `is_described` does not know; whether any was.
    pub fn keep(&mut self, is_described: impl Fn(&str) -> bool) -> bool {
        let before = self.files.len();
        self.files.retain(|entry| is_described(&entry.path));
        self.files.len() != before
    }
}

impl super::Bundle {
    /// What tells its files from all others: `description`, the hash of its description, which has theirs; of both, where
    /// it leaves hashes to the lock. Where a file came from makes no difference.
    pub fn identity(&self, description: Sha256) -> Sha256 {
        let mut open = String::new();
        for (_, file) in self.models.values().flat_map(|model| model.entries()) {
            if let (None, Some(hash)) = (file.sha256, self.hash_of(file)) {
                open += &format!("{hash}  {}\n", file.path);
            }
        }
        if open.is_empty() { description } else { Sha256::of(format!("{description}\n{open}").as_bytes()) }
    }

    /// What `file` must hash to as it lies here: as the description says, else as the lock does.
    pub fn hash_of(&self, file: &FileEntry) -> Option<Sha256> {
        file.sha256.or_else(|| Some(self.lock.as_ref()?.of(&file.path)?.here()))
    }
}
