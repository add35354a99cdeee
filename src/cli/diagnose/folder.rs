//! The data folder as it lies on its disk: what is in it, how much room is left, and the small files in which a node says
//! something for others. Opens none of its secrets.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::archive::Archive;
use super::machine::beginning_of;
use super::step::within;
use crate::app::{crash_loop, estimates};
use crate::client::local::SERVE_FILE;
use crate::clock;
use crate::types::with_path;

/// A folder with the files of ten thousand slots is listed in about a second.
const LISTING: Duration = Duration::from_secs(20);
/// Of a listing, so many lines are told: everything above the slots, and those of some hundred slots.
const LINES: usize = 5_000;
/// So many files are counted at most.
const COUNTED: u64 = 2_000_000;
/// No folder of ours lies deeper.
const DEEPEST: usize = 8;
/// A small file is read so far.
const SMALL: u64 = 256 << 10;
/// A disk that does not answer within this does not answer.
const DISK: Duration = Duration::from_secs(5);

/// Files that are told as they are.
const SAYINGS: [(&str, &str); 5] = [
    (SERVE_FILE, "where a node serves from this data folder, or did until it was killed"),
    (crash_loop::FILE, "processes that ended with 71, one after the other"),
    (crash_loop::SET_ASIDE, "the same, damaged, as it was set aside"),
    (estimates::FILE, "what the stages were measured to take"),
    (estimates::SET_ASIDE, "the same, damaged, as it was set aside"),
];

/// Puts all of it into the archive.
pub(super) fn gather(data: &Path, archive: &mut Archive) {
    disks(data, archive);
    let root = data.to_owned();
    match within(LISTING, move || list(&root)) {
        Ok(Ok(listing)) => {
            archive.json(
                "data-folder/summary.json",
                "files and bytes below each folder of data_dir",
                listing.summary(),
            );
            archive.text(
                "data-folder/listing.txt",
                "data_dir's files: mode, bytes, seconds since 1970 when written, path",
                &listing.text(),
            );
        }
        Ok(Err(error)) => archive.miss("data-folder/listing.txt", format!("{}: {error}", data.display())),
        Err(why) => archive.miss("data-folder/listing.txt", why),
    }
    for (name, about) in SAYINGS {
        let path = data.join(name);
        match within(DISK, move || beginning_of(&path, SMALL)) {
            Ok(Ok(text)) => archive.document(format!("data-folder/{name}"), about, &text),
            // That nothing crashed and nothing serves is as it should be.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Ok(Err(error)) => archive.miss(format!("data-folder/{name}"), error.to_string()),
            Err(why) => archive.miss(format!("data-folder/{name}"), why),
        }
    }
}

/// The room on the disks that a node writes to.
fn disks(data: &Path, archive: &mut Archive) {
    let places = [("data_dir", data.to_owned()), ("temporary", std::env::temp_dir())];
    let told = places.map(|(name, path)| {
        let asked = path.clone();
        let disk = match within(DISK, move || room(&asked)) {
            Ok(Ok(room)) => room,
            Ok(Err(error)) => json!({ "error": error.to_string() }),
            Err(why) => json!({ "error": why }),
        };
        (name.to_owned(), with_path(disk, "path", &path))
    });
    archive.json(
        "disks.json",
        "room and inodes on the disks of data_dir and temporary files",
        told.into_iter().collect(),
    );
}

fn room(path: &Path) -> std::io::Result<Value> {
    let system = rustix::fs::statvfs(path)?;
    let kind = rustix::fs::statfs(path)?.f_type;
    let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
    Ok(json!({
        "bytes": bytes(system.f_blocks), "free": bytes(system.f_bavail), "inodes": system.f_files,
        "inodes_free": system.f_favail, "kind": format!("{kind:#x}"),
    }))
}

/// What lies in a folder.
#[derive(Debug, Default)]
struct Listing {
    lines: Vec<String>,
    /// Files and their bytes below each entry of the folder.
    totals: BTreeMap<String, (u64, u64)>,
    counted: u64,
    unread: Vec<String>,
}

impl Listing {
    fn summary(&self) -> Value {
        let totals: BTreeMap<_, _> = self
            .totals
            .iter()
            .map(|(name, (files, bytes))| (name, json!({ "files": files, "bytes": bytes })))
            .collect();
        json!({ "now": clock::unix_time().as_secs(), "counted": self.counted, "below": totals, "unread": self.unread })
    }

    fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        if self.counted > self.lines.len() as u64 {
            text.push_str(&format!("\n… {} files and folders in all", self.counted));
        }
        text.push('\n');
        text
    }
}

/// Everything below `root`, level by level, following no links.
fn list(root: &Path) -> std::io::Result<Listing> {
    std::fs::read_dir(root)?;
    let mut listing = Listing::default();
    let mut level: Vec<PathBuf> = vec![PathBuf::new()];
    for _ in 0..DEEPEST {
        let mut next = Vec::new();
        for folder in level {
            let entries = match std::fs::read_dir(root.join(&folder)) {
                Ok(entries) => entries,
                Err(error) => {
                    listing.unread.push(format!("{}: {error}", folder.display()));
                    continue;
                }
            };
            let mut names: Vec<PathBuf> =
                entries.flatten().map(|entry| folder.join(entry.file_name())).collect();
            names.sort();
            for path in names {
                if listing.counted >= COUNTED {
                    return Ok(listing);
                }
                let Ok(found) = std::fs::symlink_metadata(root.join(&path)) else { continue };
                listing.counted += 1;
                if listing.lines.len() < LINES {
                    let end = if found.is_dir() { "/" } else { "" };
                    let (mode, bytes, at) = (found.mode() & 0o7777, found.len(), found.mtime());
                    listing.lines.push(format!("{mode:04o} {bytes:>12} {at:>11} {}{end}", path.display()));
                }
                if found.is_dir() {
                    next.push(path);
                    continue;
                }
                let top = path.iter().next().unwrap_or_default().to_string_lossy().into_owned();
                let (files, bytes) = listing.totals.entry(top).or_default();
                (*files, *bytes) = (*files + 1, bytes.saturating_add(found.len()));
            }
        }
        level = next;
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_level_by_level_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/c"), "four").unwrap();
        std::fs::write(root.join("d"), "seventy").unwrap();
        std::os::unix::fs::symlink("/", root.join("a/root")).unwrap();
        let listing = list(root).unwrap();
        let names: Vec<&str> = listing.lines.iter().filter_map(|line| line.split(' ').next_back()).collect();
        assert_eq!(names, ["a/", "d", "a/b/", "a/root", "a/b/c"]);
        assert_eq!(listing.totals["d"], (1, 7));
        assert_eq!(listing.totals["a"].0, 2);
        assert!(list(&root.join("nothing")).is_err());
    }
}
