//! Every file below some folders, each once.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::contract::ModelError;

/// More than any collection of models; a tree of more is no such thing, or a loop that cannot be told.
const MOST: usize = 200_000;

/// A file that serves for nothing, and why.
pub(super) type LeftOver = (PathBuf, String);

/// A regular file.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// As it was found, absolute.
    pub path: PathBuf,
    /// Its length.
    pub size: u64,
}

/// What lies below `roots`, in order of name, and what there could not be looked at. Links are followed; hidden files
/// and folders, and the folder `except`, are passed over.
pub(super) fn files(roots: &[PathBuf], except: &Path) -> Result<(Vec<Seen>, Vec<LeftOver>), ModelError> {
    let mut scan =
        Scan { except: except.to_owned(), known: HashSet::new(), found: Vec::new(), unreadable: Vec::new() };
    for root in roots {
        let failed = |error: io::Error| {
            ModelError::own(format!("{} cannot be looked through", root.display())).because(error)
        };
        let path = std::path::absolute(root).map_err(failed)?;
        let kind = std::fs::metadata(&path).map_err(failed)?;
        if kind.is_dir() {
            scan.folder(&path)?;
        } else {
            scan.file(path, kind.len());
        }
    }
    Ok((scan.found, scan.unreadable))
}

struct Scan {
    except: PathBuf,
    /// Where what was seen really lies: a file by two names is one file, and a folder that holds itself ends.
    known: HashSet<PathBuf>,
    found: Vec<Seen>,
    unreadable: Vec<LeftOver>,
}

impl Scan {
    fn folder(&mut self, folder: &Path) -> Result<(), ModelError> {
        let mut waiting = vec![folder.to_owned()];
        while let Some(folder) = waiting.pop() {
            if folder == self.except || !self.is_new(&folder) {
                continue;
            }
            let mut entries: Vec<PathBuf> = match std::fs::read_dir(&folder) {
                Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
                Err(error) => {
                    self.unreadable.push((folder, format!("cannot be looked through: {error}")));
                    continue;
                }
            };
            entries.sort();
            let mut inside = Vec::new();
            for entry in entries {
                let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
                // Hugging Face's cache keeps files by their hashes, and their names as links to them.
                let is_store = name == "blobs" && folder.join("snapshots").is_dir();
                if name.starts_with('.') || is_store {
                    continue;
                }
                match std::fs::metadata(&entry) {
                    Ok(kind) if kind.is_dir() => inside.push(entry),
                    Ok(kind) if kind.is_file() => self.file(entry, kind.len()),
                    Ok(_) => {}
                    Err(error) => self.unreadable.push((entry, format!("cannot be read: {error}"))),
                }
            }
            inside.reverse();
            waiting.extend(inside);
            if self.found.len() > MOST {
                return Err(ModelError::own(format!(
                    "{} and what lies below hold more than {MOST} files; name the folders that models are in",
                    folder.display()
                )));
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf, size: u64) {
        if self.is_new(&path) {
            self.found.push(Seen { path, size });
        }
    }

    fn is_new(&mut self, path: &Path) -> bool {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.known.insert(real)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Path, except: &Path) -> Vec<String> {
        let (found, _) = files(&[root.to_owned()], except).unwrap();
        found
            .iter()
            .map(|seen| seen.path.strip_prefix(root).unwrap().to_string_lossy().into_owned())
            .collect()
    }

    #[cfg(unix)]
    #[test]
    fn every_file_is_seen_once_whatever_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for place in ["a", "hub/blobs", "hub/snapshots/1", ".hidden", "ours"] {
            std::fs::create_dir_all(root.join(place)).unwrap();
        }
        for file in ["a/x", "b", "hub/blobs/0123", ".hidden/y", "ours/z", "a/.part"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        let link = |from: &str, to: &str| std::os::unix::fs::symlink(root.join(from), root.join(to)).unwrap();
        link("hub/blobs/0123", "hub/snapshots/1/model");
        link("a", "a/loop");
        link("b", "c");
        link("nothing", "gone");
        assert_eq!(names(&root, &root.join("ours")), ["b", "a/x", "hub/snapshots/1/model"]);
        let (_, unreadable) = files(std::slice::from_ref(&root), &root.join("ours")).unwrap();
        assert_eq!(unreadable.len(), 1);
        assert!(unreadable[0].0.ends_with("gone"));
        let missing = files(&[root.join("nowhere")], &root).unwrap_err();
        assert!(missing.chain().contains("nowhere cannot be looked through"), "{}", missing.chain());
    }
}
