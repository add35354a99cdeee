//! Files of the journal's folder: made, synced, moved away.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::IndexError;
use crate::clock;

/// The paths below the journal's folder.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub dir: PathBuf,
    pub index: PathBuf,
    pub log: PathBuf,
    pub backup: PathBuf,
    pub backup_dir: PathBuf,
    pub mark: PathBuf,
    pub rebuild: PathBuf,
    pub clocks: PathBuf,
    pub set_aside: PathBuf,
}

impl Paths {
    pub(super) fn below(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            index: dir.join("index.sqlite3"),
            log: dir.join("log"),
            backup: dir.join("backup/index.sqlite3"),
            backup_dir: dir.join("backup"),
            mark: dir.join("mark"),
            rebuild: dir.join("rebuild"),
            clocks: dir.join("clocks"),
            set_aside: dir.join("set-aside"),
        }
    }

    /// Makes the folders that are not there; only their owner may look into them, since recipes are not everybody's.
    pub(super) fn make(&self) -> Result<(), IndexError> {
        for folder in [&self.dir, &self.log, &self.backup_dir] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|error| IndexError::io(folder, "made", error))?;
        }
        sync_folder(&self.dir);
        Ok(())
    }

    /// A database and the files beside it.
    pub(super) fn with_wal(index: &Path) -> [PathBuf; 3] {
        let beside = |suffix: &str| {
            let mut name = index.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        [index.to_owned(), beside("-wal"), beside("-shm")]
    }
}

/// Has what was renamed into `folder`, or removed from it, on disk. Not every file system lets a folder be synced.
pub(super) fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Syncs a file that something else has written.
pub(super) fn sync_file(path: &Path) -> Result<(), IndexError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| IndexError::io(path, "synced", error))
}

/// Whether something has this name.
pub(super) fn is_there(path: &Path) -> Result<bool, IndexError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(IndexError::io(path, "read", error)),
    }
}

/// When a file was written last; none where there is none.
pub(super) fn written_at(path: &Path) -> Option<super::UnixTime> {
    let modified = std::fs::metadata(path).and_then(|file| file.modified()).ok()?;
    modified.duration_since(std::time::UNIX_EPOCH).ok()
}

/// Where what is damaged goes at one start: a folder named after the moment, made when the first file comes.
#[derive(Debug)]
pub(super) struct SetAside {
    root: PathBuf,
    folder: Option<PathBuf>,
}

impl SetAside {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), folder: None }
    }

    /// Moves those of `files` that are there into the folder's part `part`; answers with that part.
    pub(super) fn take<'a>(
        &mut self,
        part: &str,
        files: impl IntoIterator<Item = &'a Path>,
    ) -> Result<PathBuf, IndexError> {
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => self.folder.insert(unused(&self.root)).clone(),
        };
        let part = folder.join(part);
        let there: Vec<_> =
            files.into_iter().filter(|file| std::fs::symlink_metadata(file).is_ok()).collect();
        if there.is_empty() {
            return Ok(part);
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&part)
            .map_err(|error| IndexError::io(&part, "made", error))?;
        for file in there {
            let Some(name) = file.file_name() else { continue };
            match std::fs::rename(file, part.join(name)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(IndexError::io(file, "moved away", error)),
            }
            file.parent().into_iter().for_each(sync_folder);
        }
        sync_folder(&part);
        sync_folder(&folder);
        Ok(part)
    }
}

/// A name by the time of day, with a number where the clock gave the same one before.
fn unused(root: &Path) -> PathBuf {
    let time = clock::unix_time().as_secs();
    let names = std::iter::once(time.to_string()).chain((2u32..).map(|again| format!("{time}-{again}")));
    names.map(|name| root.join(name)).find(|path| !path.exists()).unwrap_or_else(|| root.join("more"))
}
