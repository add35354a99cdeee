//! What an earlier process left of the log: which groups it holds, and what is wrong with it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::frame::{self, Decoded, FILE_HEADER, FileHeader, Frame};
use crate::journal::index::IndexError;
use crate::journal::index::generation::Generation;

/// Larger files are none of ours: one file and one group more fit into it.
const MAX_FILE: u64 = 1 << 30;

/// A log.
#[derive(Debug, Default)]
pub(in crate::journal::index) struct Scan {
    files: Vec<ScannedFile>,
    /// Where each group stands: the file's place in `files`, and the offset. A group that stands twice counts where it
    /// stands last.
    groups: BTreeMap<u64, (usize, usize)>,
    generation: Option<Generation>,
}

#[derive(Debug)]
struct ScannedFile {
    path: PathBuf,
    ordinal: u64,
    length: u64,
    /// Of this journal.
    own: bool,
    /// The end of the last sound frame before any damage.
    sound: u64,
    first_to_come: Option<u64>,
    first: Option<u64>,
    last: Option<u64>,
    damage: Option<Damage>,
}

#[derive(Debug)]
struct Damage {
    what: String,
    /// Nothing sound follows it.
    tail: bool,
}

/// The file that is gone on with.
#[derive(Debug)]
pub(in crate::journal::index) struct LastFile {
    pub path: PathBuf,
    pub ordinal: u64,
    pub length: u64,
    pub last: Option<u64>,
}

impl Scan {
    /// Reads all of the log in `dir`. `generation` is the journal's, where it is known from elsewhere; else the first
    /// file's that says one counts.
    pub(crate) fn read(dir: &Path, generation: Option<Generation>) -> Result<Self, IndexError> {
        let mut scan = Self { generation, ..Self::default() };
        for (ordinal, path) in files_in(dir)? {
            let bytes = read(&path)?;
            scan.file(ordinal, path, &bytes);
        }
        Ok(scan)
    }

    fn file(&mut self, ordinal: u64, path: PathBuf, bytes: &[u8]) {
        let header = FileHeader::decode(bytes);
        let place = self.files.len();
        let length = bytes.len() as u64;
        let mut file = ScannedFile {
            path,
            ordinal,
            length,
            own: true,
            sound: FILE_HEADER as u64,
            first_to_come: header.map(|header| header.first_group),
            first: None,
            last: None,
            damage: None,
        };
        if let Some(header) = header {
            file.own = *self.generation.get_or_insert(header.generation) == header.generation;
        }
        let mut damage = match header {
            _ if !file.own => Some("it belongs to another journal"),
            None => Some("a file's header is damaged"),
            Some(_) => None,
        };
        let mut offset = FILE_HEADER;
        let Some(generation) = self.generation.filter(|_| file.own) else {
            file.sound = 0;
            file.damage = damage.map(|what| Damage { what: what.to_owned(), tail: false });
            self.files.push(file);
            return;
        };
        let tail = loop {
            match frame::decode(bytes, offset, generation) {
                Decoded::Frame(frame) => {
                    self.groups.insert(frame.group, (place, offset));
                    file.first.get_or_insert(frame.group);
                    file.last = Some(frame.group);
                    offset = frame.end;
                    if damage.is_none() {
                        file.sound = offset as u64;
                    }
                }
                Decoded::End => {
                    // A file that was begun and has no header yet when the process ended: nothing was in it.
                    break header.is_none() && file.last.is_none();
                }
                Decoded::Damaged(what) => {
                    damage.get_or_insert(what);
                    match frame::search(bytes, offset.saturating_add(1), generation) {
                        Some((at, _)) => offset = at,
                        None => {
                            break file.last.is_none() || file.sound == offset as u64;
                        }
                    }
                }
            }
        };
        file.damage = damage.map(|what| Damage { what: format!("{what}, at byte {}", file.sound), tail });
        self.files.push(file);
    }

    /// Whether there is no file at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Of its files.
    pub(crate) fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// The newest group that it holds.
    pub(crate) fn last(&self) -> Option<u64> {
        self.groups.keys().next_back().copied()
    }

    /// The group that the last file was begun for.
    pub(crate) fn first_to_come(&self) -> Option<u64> {
        self.files.last().and_then(|file| file.first_to_come)
    }

    /// The last group that can be reached from `group` without one missing in between.
    pub(crate) fn reach(&self, group: u64) -> u64 {
        let follows = self.groups.range(group.saturating_add(1)..).zip(group.saturating_add(1)..);
        follows.take_while(|((found, _), wanted)| **found == *wanted).last().map_or(group, |(_, last)| last)
    }

    /// What is wrong with it, apart from a last record that was cut off.
    pub(crate) fn damage(&self) -> Option<String> {
        let last = self.files.len().saturating_sub(1);
        let damaged = self.files.iter().enumerate().find_map(|(place, file)| {
            let damage = file.damage.as_ref()?;
            // A sync that failed leaves a cut-off record at the end of a file, and the same group at the start of the next.
            let made_good = damage.tail && self.made_good(place);
            let torn = damage.tail && place == last;
            (!torn && !made_good).then(|| format!("{}: {}", file.path.display(), damage.what))
        });
        damaged.or_else(|| {
            let missing = self.groups.keys().zip(self.groups.keys().skip(1)).find(|(a, b)| **b != **a + 1);
            missing.map(|(a, b)| format!("groups {} to {} are missing", a + 1, b - 1))
        })
    }

    fn made_good(&self, place: usize) -> bool {
        let before = self.files.get(..=place).into_iter().flatten().rev().find_map(|file| file.last);
        let after = self.files.get(place + 1..).into_iter().flatten().find_map(|file| file.first);
        before.zip(after).is_some_and(|(before, after)| after <= before + 1)
    }

    /// How many bytes of a record that was cut off stand at the end; none where there is none.
    pub(crate) fn torn(&self) -> Option<u64> {
        let last = self.files.last()?;
        last.damage.as_ref().filter(|damage| damage.tail).map(|_| last.length.saturating_sub(last.sound))
    }

    /// Whether the last file was only begun: it has not even a header, and nothing in it. It is begun again.
    fn is_unfinished(file: &ScannedFile) -> bool {
        let tail = file.damage.as_ref().is_some_and(|damage| damage.tail);
        file.own && tail && file.first_to_come.is_none() && file.last.is_none()
    }

    /// The number of the file to begin, where none can be gone on with.
    pub(crate) fn next_ordinal(&self) -> u64 {
        let after = |file: &ScannedFile| file.ordinal + u64::from(!Self::is_unfinished(file));
        self.files.last().map_or(1, after)
    }

    /// The files before that one, each with the last group that it may hold.
    pub(crate) fn closed(&self) -> Vec<(PathBuf, u64)> {
        let last = self.last().unwrap_or(0);
        let unfinished = self.files.last().filter(|file| Self::is_unfinished(file)).map(|file| file.ordinal);
        let files = self.files.iter().filter(|file| Some(file.ordinal) != unfinished);
        files.map(|file| (file.path.clone(), file.last.unwrap_or(last))).collect()
    }

    /// The file to go on with, and those before it with the last group of each. None where the last one has no sound
    /// header.
    pub(crate) fn resumed(&self) -> Option<(LastFile, Vec<(PathBuf, u64)>)> {
        let (last, before) = self.files.split_last()?;
        (last.own && last.first_to_come.is_some()).then_some(())?;
        let last =
            LastFile { path: last.path.clone(), ordinal: last.ordinal, length: last.sound, last: last.last };
        let before = before.iter().map(|file| (file.path.clone(), file.last.unwrap_or(0))).collect();
        Some((last, before))
    }

    /// Every file.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// Hands every group after `group` to `each`, in order; stops at its first error.
    pub(crate) fn each_after<E: From<IndexError>>(
        &self,
        group: u64,
        mut each: impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut open: Option<(usize, Vec<u8>)> = None;
        let Some(generation) = self.generation else { return Ok(()) };
        for (place, offset) in self.groups.range(group.saturating_add(1)..).map(|(_, at)| *at) {
            if open.as_ref().is_none_or(|(there, _)| *there != place) {
                let Some(file) = self.files.get(place) else { continue };
                open = Some((place, read(&file.path)?));
            }
            let Some((_, bytes)) = &open else { continue };
            if let Decoded::Frame(frame) = frame::decode(bytes, offset, generation) {
                each(frame)?;
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IndexError> {
    let failed = |error| IndexError::io(path, "read", error);
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > MAX_FILE {
        return Err(failed(io::Error::other(format!(
            "{length} bytes are more than a file of the log has; move it away"
        ))));
    }
    std::fs::read(path).map_err(failed)
}

/// The log's files in order; other names are left alone.
fn files_in(dir: &Path) -> Result<Vec<(u64, PathBuf)>, IndexError> {
    let failed = |error| IndexError::io(dir, "read", error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let ordinal = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".log"))
            .filter(|digits| digits.len() == 10)
            .and_then(|digits| digits.parse::<u64>().ok());
        if let Some(ordinal) = ordinal {
            files.push((ordinal, path));
        }
    }
    files.sort_unstable();
    Ok(files)
}
