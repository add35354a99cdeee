//! Files that appear whole or not at all: written aside, synced, renamed. Knows nothing else of the crate.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// What to do with a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Fail.
    Keep,
    /// Put the new one in its place.
    Replace,
}

/// Who may read the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// As the process's umask says.
    Umask,
    /// Its owner only.
    Owner,
}

/// Writes `path` by `write`; whatever fails, nothing half-written is ever seen under that name.
pub fn write_whole(
    path: &Path,
    existing: Existing,
    readers: Readers,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    write_by_way_of(folder_of(path), path, existing, readers, write)
}

/// As [`write_whole`], with the unfinished file in `aside`, a folder on the same file system.
pub fn write_by_way_of(
    aside: &Path,
    path: &Path,
    existing: Existing,
    readers: Readers,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut temporary = create(aside, readers)?;
    write(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    match existing {
        Existing::Keep => temporary.persist_noclobber(path),
        Existing::Replace => temporary.persist(path),
    }
    .map_err(|error| error.error)?;
    sync_folder(folder_of(path));
    Ok(())
}

/// Has what was renamed into `folder`, or removed from it, on disk. Not every file system lets a folder be synced.
pub fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(unix)]
fn create(folder: &Path, readers: Readers) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    let mode = if readers == Readers::Owner { 0o600 } else { 0o666 };
    Builder::new().permissions(std::fs::Permissions::from_mode(mode)).tempfile_in(folder)
}

#[cfg(not(unix))]
fn create(folder: &Path, _: Readers) -> io::Result<NamedTempFile> {
    Builder::new().tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_failed_write_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_whole(&path, Existing::Keep, Readers::Umask, |file| file.write_all(b"old")).unwrap();
        let failed = write_whole(&path, Existing::Replace, Readers::Umask, |file| {
            file.write_all(b"ne")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_whole(&path, Existing::Keep, Readers::Umask, |_| Ok(())).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }

    #[cfg(unix)]
    #[test]
    fn only_owners_read_secrets() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str, readers| {
            let path = folder.path().join(name);
            write_whole(&path, Existing::Keep, readers, |_| Ok(())).unwrap();
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(mode("secret", Readers::Owner), 0o600);
        assert_ne!(mode("picture", Readers::Umask) & 0o400, 0);
    }
}
