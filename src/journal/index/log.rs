//! The log: every change that the index holds, once more, in files that are only ever appended to.
//!
//! Owns the files below `log/`: their order, rotation and removal. `frame` knows their bytes, `scan` reads what an earlier
//! process left. Never decides what is true: the start compares log and index.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::generation::Generation;
use super::{IndexError, disk};
use crate::clock;

pub(super) mod frame;
pub(super) mod scan;
pub(super) mod sync;

use frame::{FILE_HEADER, FileHeader};

/// The log as it is written. One thread has it.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    generation: Generation,
    /// Older files, oldest first, each with its last group.
    closed: Vec<(PathBuf, u64)>,
    current: Current,
    /// A file is closed at this size.
    most: u64,
}

#[derive(Debug)]
struct Current {
    path: PathBuf,
    ordinal: u64,
    file: Arc<File>,
    /// Up to here everything is sound.
    length: u64,
    /// Bytes of a group that failed may stand behind `length`; they have to go before the next is written.
    tail: bool,
    /// The last group in it; none where it has none yet.
    last: Option<u64>,
}

impl Log {
    /// Begins a file for `first_group` and what follows; `closed` are the files before it, and none has its number.
    pub(super) fn begin(
        dir: &Path,
        generation: Generation,
        ordinal: u64,
        first_group: u64,
        closed: Vec<(PathBuf, u64)>,
        most: u64,
    ) -> Result<Self, IndexError> {
        let current = Current::create(dir, generation, ordinal, first_group)?;
        Ok(Self { dir: dir.to_owned(), generation, closed, current, most })
    }

    /// Goes on with a file that holds sound frames up to `length`; what stands behind is cut off.
    pub(super) fn resume(
        dir: &Path,
        generation: Generation,
        last: scan::LastFile,
        closed: Vec<(PathBuf, u64)>,
        most: u64,
    ) -> Result<Self, IndexError> {
        let scan::LastFile { path, ordinal, length, last } = last;
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|error| IndexError::io(&path, "opened", error))?;
        let mut current = Current { path, ordinal, file: Arc::new(file), length, tail: true, last };
        current.cut_tail()?;
        Ok(Self { dir: dir.to_owned(), generation, closed, current, most })
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// Has what a failed group left removed, and a file that has grown enough closed. Before each group.
    pub(super) fn prepare(&mut self, group: u64) -> Result<(), IndexError> {
        self.current.cut_tail()?;
        if self.current.length >= self.most && self.current.last.is_some() {
            self.rotate(group)?;
        }
        Ok(())
    }

    /// Writes a frame to the system's memory; [`file`](Self::file) has to be synced after it.
    pub(super) fn append(&mut self, frame: &[u8]) -> Result<(), IndexError> {
        self.current.tail = true;
        self.current
            .file
            .write_all_at(frame, self.current.length)
            .map_err(|error| IndexError::io(&self.current.path, "written", error))
    }

    /// The file that [`append`](Self::append) wrote to.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.current.file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.current.path
    }

    /// The frame that was appended last counts from now on.
    pub(super) fn keep(&mut self, frame: &[u8], group: u64) {
        self.current.length += frame.len() as u64;
        self.current.tail = false;
        self.current.last = Some(group);
    }

    /// Closes the current file and begins another, which `first_group` comes into.
    pub(super) fn rotate(&mut self, first_group: u64) -> Result<(), IndexError> {
        let next = Current::create(&self.dir, self.generation, self.current.ordinal + 1, first_group)?;
        let before = std::mem::replace(&mut self.current, next);
        // A file without a group has nothing that anybody needs.
        self.closed.push((before.path, before.last.unwrap_or(0)));
        Ok(())
    }

    /// Removes the closed files that hold nothing after `group`. The next group is `next`.
    pub(super) fn prune(&mut self, group: u64, next: u64) -> Result<(), IndexError> {
        if self.current.last.is_some_and(|last| last <= group) && !self.current.tail {
            self.rotate(next)?;
        }
        self.closed.retain(|(path, last)| {
            // A file that cannot be removed now is found again at the next start.
            let removed = *last <= group && std::fs::remove_file(path).is_ok();
            !removed
        });
        disk::sync_folder(&self.dir);
        Ok(())
    }
}

impl Current {
    fn create(
        dir: &Path,
        generation: Generation,
        ordinal: u64,
        first_group: u64,
    ) -> Result<Self, IndexError> {
        let path = dir.join(format!("{ordinal:010}.log"));
        let made_at = u64::try_from(clock::unix_time().as_micros()).unwrap_or(u64::MAX);
        let header = FileHeader { generation, first_group, made_at }.encode();
        // A file of this number can only be one that was begun and not finished: no later one was.
        let create = || {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
            file.write_all_at(&header, 0)?;
            file.sync_all()?;
            Ok(file)
        };
        let file = match create() {
            Ok(file) => file,
            Err(error) => {
                let _ = std::fs::remove_file(&path);
                return Err(IndexError::io(&path, "written", error));
            }
        };
        disk::sync_folder(dir);
        let length = FILE_HEADER as u64;
        Ok(Self { path, ordinal, file: Arc::new(file), length, tail: false, last: None })
    }

    fn cut_tail(&mut self) -> Result<(), IndexError> {
        if self.tail {
            let cut = self.file.set_len(self.length).and_then(|()| self.file.sync_all());
            cut.map_err(|error| IndexError::io(&self.path, "cut back", error))?;
            self.tail = false;
        }
        Ok(())
    }
}
