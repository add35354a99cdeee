//! What was damaged and set aside goes after its time: it is for people to look at, and nothing reads it again.
//!
//! Owns which folders of `set-aside/` go. The newest is kept for its whole time, however large it is.

use std::path::{Path, PathBuf};

use super::disk::{Paths, written_at};
use super::{Ages, IndexSettings};
use crate::types::Bytes;

/// Takes away what is too old or too much, and says so. What cannot be taken away is tried again next time. Blocks.
pub(super) fn tidy(paths: &Paths, settings: &IndexSettings, ages: &Ages) {
    let Ok(entries) = std::fs::read_dir(&paths.set_aside) else { return };
    let mut folders: Vec<(super::UnixTime, PathBuf)> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter_map(|path| Some((written_at(&path)?, path)))
        .collect();
    folders.sort();
    let mut total = Bytes::ZERO;
    for (place, (at, folder)) in folders.iter().rev().enumerate() {
        total = total.saturating_add(size(folder));
        let is_old = ages.of(*at) >= settings.set_aside_for;
        if !is_old && (place == 0 || total <= settings.set_aside) {
            continue;
        }
        match std::fs::remove_dir_all(folder) {
            Ok(()) => tracing::info!(
                folder = %folder.display(),
                why = if is_old { "its time is over" } else { "there is too much of it" },
                "what was set aside is removed"
            ),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "what was set aside stays");
            }
        }
    }
}

/// Of all files below `folder`; what cannot be read counts nothing.
fn size(folder: &Path) -> Bytes {
    let Ok(entries) = std::fs::read_dir(folder) else { return Bytes::ZERO };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => Bytes::new(found.len()),
        Err(_) => Bytes::ZERO,
    };
    entries.flatten().map(of).fold(Bytes::ZERO, Bytes::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// Folders of these names, days of age, and bytes; what is left of them.
    fn left(folders: &[(&str, u32, usize)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::below(dir.path());
        let now = crate::clock::unix_time();
        for (name, days, bytes) in folders {
            let folder = paths.set_aside.join(name).join("index");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("index.sqlite3"), vec![0; *bytes]).unwrap();
            let at = SystemTime::UNIX_EPOCH + now - DAY * *days;
            std::fs::File::open(folder.parent().unwrap()).unwrap().set_modified(at).unwrap();
        }
        let settings = IndexSettings { set_aside: Bytes::new(100), ..IndexSettings::default() };
        tidy(&paths, &settings, &Ages::at(now));
        let entries = std::fs::read_dir(&paths.set_aside).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_set_aside_is_kept_for_a_month_and_up_to_a_size() {
        assert_eq!(left(&[]), [""; 0]);
        assert_eq!(left(&[("a", 31, 1), ("b", 29, 1)]), ["b"]);
        assert_eq!(left(&[("a", 3, 50), ("b", 2, 50), ("c", 1, 50)]), ["b", "c"]);
        // The newest stays however large it is, for its time.
        assert_eq!(left(&[("a", 3, 10), ("b", 1, 500)]), ["b"]);
        assert_eq!(left(&[("b", 31, 500)]), [""; 0]);
    }
}
