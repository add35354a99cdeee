//! Recent slots: the records and results in their folders, and an outline of their recipes. No sound, picture or video.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::archive::Archive;
use super::machine::beginning_of;
use super::recipes::{Texts, outline, record};
use super::step::within;
use crate::recipe::document;
use crate::types::SlotId;

/// So many slots, the newest.
const SLOTS: usize = 50;
/// For all of their small files, on a slow disk.
const READING: Duration = Duration::from_secs(20);
/// A record beyond this is none of ours.
const LARGEST: u64 = 2 << 20;

const RECIPE: &str = "recipe.json";
/// What is told of a slot's folder beside the recipe.
const RECORDS: [&str; 8] = [
    "result.json",
    "journal/accepted.json",
    "journal/audio.json",
    "journal/image.json",
    "journal/video.json",
    "journal/verify.json",
    "journal/package.json",
    "journal/end.json",
];

/// The files of one slot that could be read, or why not.
struct Files {
    slot: SlotId,
    files: Vec<(&'static str, Result<String, String>)>,
}

/// Recent slots, read before they are put into an archive: what their recipes say must be known before anything is told.
pub(super) struct Slots {
    read: Vec<Files>,
    failed: Option<String>,
}

impl Slots {
    /// Reads those that the journal names as `accepted` last, the newest first, and those whose folders below `folders`
    /// were changed last: a damaged journal does not name them all.
    pub(super) fn read(folders: &Path, accepted: Vec<SlotId>) -> Self {
        let folders = folders.to_owned();
        match within(READING, move || read(&folders, accepted)) {
            Ok(read) => Self { read, failed: None },
            Err(why) => Self { read: Vec::new(), failed: Some(why) },
        }
    }

    /// What their recipes say, and those of all slots that are told of elsewhere.
    pub(super) fn texts(&self, folders: &Path, told_of: BTreeSet<SlotId>) -> Texts {
        let mut texts = Texts::default();
        for Files { slot, files } in &self.read {
            files.iter().for_each(|(name, text)| {
                let Ok(text) = text else { return };
                know(&mut texts, *slot, name, text);
            });
        }
        let folders = folders.to_owned();
        let others: Vec<SlotId> = told_of.into_iter().filter(|slot| !texts.knows(*slot)).collect();
        let read = within(READING, move || {
            let recipe = |slot: SlotId| {
                Some((slot, beginning_of(&folders.join(slot.to_string()).join(RECIPE), LARGEST).ok()?))
            };
            others.into_iter().filter_map(recipe).collect::<Vec<_>>()
        });
        // Of those that are not known in time, nothing is told that may quote them.
        read.unwrap_or_default().iter().for_each(|(slot, text)| know(&mut texts, *slot, RECIPE, text));
        texts
    }

    /// Puts all of it into the archive; without what the recipes say, where their `texts` are given.
    pub(super) fn gather(self, texts: Option<&Texts>, archive: &mut Archive) {
        if let Some(why) = self.failed {
            archive.miss("slots", why);
        }
        for Files { slot, files } in self.read {
            for (name, text) in files {
                let to = format!("slots/{slot}/{}", name.replace('/', "-"));
                let text = match text {
                    Ok(text) => text,
                    Err(why) => {
                        archive.miss(to, why);
                        continue;
                    }
                };
                if name == RECIPE {
                    match (document::parse(text.as_bytes()), texts) {
                        (_, None) => archive.text(to, "", &text),
                        (Ok(recipe), Some(_)) => archive.json(to, "", outline(recipe)),
                        // What is wrong with it would quote it.
                        (Err(_), Some(_)) => archive.miss(to, "it is no recipe"),
                    }
                    continue;
                }
                match (serde_json::from_str::<Value>(&text), texts) {
                    (Ok(whole), None) => archive.json(to, "", whole),
                    (Ok(whole), Some(texts)) => archive.json(to, "", texts.hidden(Some(slot), record(whole))),
                    // What is damaged may hold the recipe's texts anywhere.
                    (Err(error), _) => archive.miss(to, format!("it is no JSON: {error}")),
                }
            }
        }
    }
}

/// Remembers the recipe in a file of a slot's folder. Its acceptance repeats it, whose own file may be damaged.
fn know(texts: &mut Texts, slot: SlotId, name: &str, text: &str) {
    let accepted: Value = match name {
        "journal/accepted.json" => serde_json::from_str(text).unwrap_or_default(),
        _ => Value::Null,
    };
    let recipe = if name == RECIPE { Some(text) } else { accepted["record"]["text"].as_str() };
    if let Some(Ok(recipe)) = recipe.map(|text| document::parse(text.as_bytes())) {
        texts.know(slot, &recipe);
    }
}

fn read(folders: &Path, accepted: Vec<SlotId>) -> Vec<Files> {
    let mut slots: Vec<SlotId> = accepted;
    for slot in newest(folders) {
        if !slots.contains(&slot) {
            slots.push(slot);
        }
    }
    // Half of them may be known to the folders only.
    slots.truncate(2 * SLOTS);
    let files_of = |slot: SlotId| {
        let folder = folders.join(slot.to_string());
        let file = |name: &'static str| match beginning_of(&folder.join(name), LARGEST) {
            Ok(text) => Some((name, Ok(text))),
            // A slot has its records when it comes to them, and a queued one no folder.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => Some((name, Err(error.to_string()))),
        };
        Files { slot, files: std::iter::once(RECIPE).chain(RECORDS).filter_map(file).collect() }
    };
    slots.into_iter().map(files_of).filter(|found| !found.files.is_empty()).collect()
}

/// The slots whose folders were changed last.
fn newest(folders: &Path) -> Vec<SlotId> {
    let Ok(entries) = std::fs::read_dir(folders) else { return Vec::new() };
    let mut found: Vec<(SystemTime, SlotId)> = entries
        .flatten()
        .filter_map(|entry| {
            let slot = PathBuf::from(entry.file_name()).to_str()?.parse().ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, slot))
        })
        .collect();
    found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    found.into_iter().take(SLOTS).map(|(_, slot)| slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::diagnose::scrub::Scrub;

    #[test]
    fn slots_come_from_the_journal_and_from_folders_and_a_damaged_record_is_only_named() {
        let folder = tempfile::tempdir().unwrap();
        let slot = |number: u128| SlotId::new(uuid::Uuid::from_u128(number));
        for number in [1, 2] {
            let dir = folder.path().join(slot(number).to_string());
            std::fs::create_dir_all(dir.join("journal")).unwrap();
            std::fs::write(dir.join(RECIPE), crate::recipe::example::text()).unwrap();
            std::fs::write(dir.join("journal/accepted.json"), "damaged: I have come a long way").unwrap();
            std::fs::write(dir.join("video.mp4"), "a video").unwrap();
        }
        std::fs::create_dir(folder.path().join("no-slot")).unwrap();
        // The third is queued and has no folder.
        let slots = Slots::read(folder.path(), vec![slot(3), slot(2)]);
        let mut archive = Archive::new("d".to_owned(), Duration::ZERO, Scrub::default());
        let texts = slots.texts(folder.path(), BTreeSet::from([slot(1), slot(4)]));
        assert!(texts.knows(slot(1)) && !texts.knows(slot(4)));
        slots.gather(Some(&texts), &mut archive);
        let names: Vec<String> = archive.entries().map(|entry| entry.name.clone()).collect();
        assert_eq!(names, [2, 1].map(|number| format!("slots/{}/recipe.json", slot(number))));
        let missing: Vec<&str> = archive.missing().iter().map(|it| it.part.as_str()).collect();
        assert_eq!(missing, [2, 1].map(|number| format!("slots/{}/journal-accepted.json", slot(number))));
        assert!(archive.missing().iter().all(|it| !it.why.contains("long way")));
    }
}
