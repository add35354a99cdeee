//! Every file operation of a slot folder: aside, synced, renamed. Names count from the folder; knows no record.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::files::{Existing, Readers, sync_folder, write_by_way_of};
use crate::journal::{Artifact, JournalError};
use crate::types::{Bytes, Sha256};

/// Where unfinished files lie.
pub(super) const PARTIAL: &str = "journal/partial";
/// How names of unfinished files begin that others wrote beside finished ones.
const TEMPORARY: &str = ".tmp";

/// One slot's folder.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    #[cfg(test)]
    pub(super) fuse: super::tests::Fuse,
}

impl Disk {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            #[cfg(test)]
            fuse: super::tests::Fuse::from_environment(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Before every change: where tests end the process or fill the disk.
    fn step(&self) -> io::Result<()> {
        #[cfg(test)]
        self.fuse.step()?;
        Ok(())
    }

    fn failed(&self, name: &str, doing: &'static str) -> impl FnOnce(io::Error) -> JournalError {
        let path = self.path(name);
        move |source| JournalError::io(path, doing, source)
    }

    /// Puts a whole file under `name`, in place of what stood there.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<Artifact, JournalError> {
        let path = self.path(name);
        let write = |file: &mut File| {
            let (first, second) = bytes.split_at(bytes.len() / 2);
            self.step()?;
            file.write_all(first)?;
            self.step()?;
            file.write_all(second)
        };
        self.step()
            .and_then(|()| {
                write_by_way_of(&self.path(PARTIAL), &path, Existing::Replace, Readers::Umask, write)
            })
            .map_err(self.failed(name, "written"))?;
        let (sha256, bytes) = (Sha256::of(bytes), Bytes::new(bytes.len() as u64));
        Ok(Artifact { name: name.to_owned(), sha256, bytes })
    }

    /// Takes the finished file at `from` under `name`.
    pub(super) fn adopt(&self, from: &Path, name: &str) -> Result<Artifact, JournalError> {
        let read = |source| JournalError::io(from.to_owned(), "read", source);
        let file = File::open(from).map_err(read)?;
        let (sha256, size) = Sha256::of_reader(&file).map_err(read)?;
        let rename = || {
            self.step()?;
            file.sync_all()?;
            fs::rename(from, self.path(name))?;
            sync_folder(&self.root);
            self.step()
        };
        rename().map_err(self.failed(name, "written"))?;
        Ok(Artifact { name: name.to_owned(), sha256, bytes: size })
    }

    /// The file's bytes; `None` where there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        match fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(name, "read")(error)),
        }
    }

    /// Why the file is not what `artifact` says, if it is not.
    pub(super) fn misfit(&self, artifact: &Artifact) -> Option<String> {
        let name = &artifact.name;
        let found = File::open(self.path(name)).and_then(Sha256::of_reader);
        match found {
            Ok((sha256, size)) if sha256 == artifact.sha256 && size == artifact.bytes => None,
            Ok((_, size)) if size != artifact.bytes => {
                Some(format!("{name} has {} bytes, {} were written", size.get(), artifact.bytes.get()))
            }
            Ok((sha256, _)) => Some(format!("{name} has SHA-256 {sha256}, {} was written", artifact.sha256)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(format!("{name} is missing")),
            Err(error) => Some(format!("{name} cannot be read: {error}")),
        }
    }

    /// Takes a file away, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), JournalError> {
        let path = self.path(name);
        if fs::symlink_metadata(&path).is_err() {
            return Ok(());
        }
        let removed = self.step().and_then(|()| fs::remove_file(&path));
        removed.map_err(self.failed(name, "removed"))?;
        if let Some(folder) = path.parent() {
            sync_folder(folder);
        }
        Ok(())
    }

    /// Makes a folder where there is none, with all above it.
    pub(super) fn folder(&self, name: &str) -> Result<(), JournalError> {
        let made = self.step().and_then(|()| fs::create_dir_all(self.path(name)));
        made.map_err(self.failed(name, "made"))
    }

    /// Refuses a folder of whose `parts` one, where it is there, lies on another file system.
    #[cfg(unix)]
    pub(super) fn one_file_system(&self, parts: &[&str]) -> Result<(), JournalError> {
        use std::os::unix::fs::MetadataExt;
        let of = |path: &Path| fs::metadata(path).map(|found| found.dev());
        let own = of(&self.root).map_err(self.failed("", "read"))?;
        for part in parts.iter().map(|part| self.path(part)) {
            if of(&part).is_ok_and(|device| device != own) {
                return Err(JournalError::OtherFileSystem { dir: self.root.clone(), part });
            }
        }
        Ok(())
    }

    /// Where the system does not tell them apart, moving a file does.
    #[cfg(not(unix))]
    pub(super) fn one_file_system(&self, _: &[&str]) -> Result<(), JournalError> {
        Ok(())
    }

    /// Takes an empty folder away, the slot's own by an empty name; what is not empty, or not there, stays as it is.
    pub(super) fn remove_empty_folder(&self, name: &str) {
        let path = if name.is_empty() { self.root.clone() } else { self.path(name) };
        let _ = fs::remove_dir(path);
    }

    /// The names in a folder, in order; none where it is not there.
    pub(super) fn names(&self, folder: &str) -> Result<Vec<String>, JournalError> {
        let entries = match fs::read_dir(self.path(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(folder, "read")(error)),
        };
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> =
            entries.map(name).collect::<io::Result<_>>().map_err(self.failed(folder, "read"))?;
        names.sort_unstable();
        Ok(names)
    }

    /// Takes away what an earlier process left unfinished.
    pub(super) fn sweep(&self) -> Result<(), JournalError> {
        for name in self.names(PARTIAL)? {
            self.remove(&format!("{PARTIAL}/{name}"))?;
        }
        let is_ours = |name: &String| name.starts_with(TEMPORARY) && self.path(name).is_file();
        for name in self.names("")?.into_iter().filter(is_ours) {
            self.remove(&name)?;
        }
        Ok(())
    }
}
