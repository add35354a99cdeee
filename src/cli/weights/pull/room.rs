//! Whether what is to come fits on the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::plan::{Looked, nearest_folder};
use crate::cli::Failed;
use crate::types::Bytes;

/// What is to be written on one file system.
#[derive(Debug, PartialEq, Eq)]
struct Need {
    /// A folder on it.
    folder: PathBuf,
    bytes: Bytes,
    /// What it has left; none where the system does not tell.
    free: Option<Bytes>,
}

/// What is to be written on each file system.
pub(super) struct Needs {
    needs: Vec<Need>,
    /// What comes by the line.
    to_come: Bytes,
}

impl Needs {
    /// Of these files.
    pub(super) fn of(wanted: &[Looked]) -> Self {
        let mut by_device: BTreeMap<u64, Need> = BTreeMap::new();
        for looked in wanted {
            let folder = nearest_folder(&looked.item.path);
            let need = by_device.entry(device(folder)).or_insert_with(|| Need {
                folder: folder.to_owned(),
                bytes: Bytes::ZERO,
                free: free(folder),
            });
            need.bytes = need.bytes.saturating_add(looked.needs());
        }
        let to_come = |looked: &Looked| looked.total().saturating_sub(looked.begun());
        let to_come = wanted.iter().map(to_come).fold(Bytes::ZERO, Bytes::saturating_add);
        Self { needs: by_device.into_values().collect(), to_come }
    }

    /// What comes by the line.
    pub(super) fn to_come(&self) -> Bytes {
        self.to_come
    }

    /// An error where it does not fit.
    pub(super) fn check(&self) -> Result<(), Failed> {
        let short: Vec<String> = self.needs.iter().filter_map(Need::short).collect();
        if short.is_empty() { Ok(()) } else { Err(Failed::failure(short.join("; "))) }
    }

    /// How it stands with each file system.
    pub(super) fn told(&self) -> String {
        let told = self.needs.iter().map(|need| need.short().unwrap_or_else(|| need.fits()));
        told.collect::<Vec<_>>().join("; ")
    }
}

impl Need {
    fn short(&self) -> Option<String> {
        let free = self.free.filter(|free| *free < self.bytes)?;
        let more = self.bytes.saturating_sub(free);
        let (folder, bytes) = (self.folder.display(), self.bytes);
        Some(format!(
            "{folder} has no room: {bytes} are to be written and {free} are free; make room for {more} more, or take fewer models by --models"
        ))
    }

    fn fits(&self) -> String {
        let free = self.free.map_or_else(|| "an unknown amount is".to_owned(), |free| format!("{free} are"));
        format!("{} to be written in {}, {free} free", self.bytes, self.folder.display())
    }
}

#[cfg(unix)]
fn device(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(folder).map_or(0, |found| found.dev())
}

#[cfg(not(unix))]
fn device(_: &Path) -> u64 {
    0
}

fn free(folder: &Path) -> Option<Bytes> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(Bytes::new(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(bytes: u64, free: Option<u64>) -> Need {
        Need { folder: "weights".into(), bytes: Bytes::mb(bytes), free: free.map(Bytes::mb) }
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_is_missing() {
        let needs = Needs { needs: vec![need(900, Some(700)), need(5, Some(9))], to_come: Bytes::mb(905) };
        let told = needs.check().unwrap_err().message().to_owned();
        assert_eq!(
            told,
            "weights has no room: 900.0 MB are to be written and 700.0 MB are free; make room for 200.0 MB more, or take fewer models by --models"
        );
        assert!(
            needs.told().ends_with("; 5.0 MB to be written in weights, 9.0 MB are free"),
            "{}",
            needs.told()
        );
    }

    #[test]
    fn what_fits_to_the_last_byte_fits_and_an_unknown_disk_is_tried() {
        for free in [Some(900), None] {
            assert_eq!(need(900, free).short(), None);
        }
        assert_eq!(need(1, None).fits(), "1.0 MB to be written in weights, an unknown amount is free");
    }
}
