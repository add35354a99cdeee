//! Real folders and a real index; only the time is played.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::SystemTime;

use tempfile::TempDir;

use super::*;
use crate::journal::index::{
    Acceptance, ArtifactRow, EndRecord, EndRow, IndexSettings, NewSlot, NoFolders, State,
};
use crate::types::Sha256;

const HOUR: Duration = Duration::from_secs(3600);

/// A data folder with ended slots.
struct Place {
    folder: TempDir,
    index: Index,
    table: SlotTable,
    settings: Journal,
}

fn id(number: u128) -> SlotId {
    SlotId::new(uuid::Uuid::from_u128(number))
}

impl Place {
    /// Slots that ended at these hours, each with a folder of a thousand bytes. They are kept for 2 to 10 hours.
    fn new(ended: &[u32]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (index, _) =
            Index::open(&folder.path().join("journal"), IndexSettings::default(), &NoFolders).unwrap();
        let settings = Journal {
            backup_every: HOUR * 1000,
            events: NonZeroUsize::new(1000).unwrap(),
            events_for: HOUR * 1000,
            keep: HOUR * 2,
            keep_at_most: HOUR * 10,
            keep_bytes: Bytes::gb(1),
            keep_free: Bytes::ZERO,
            tombstones: HOUR * 20,
        };
        let place = Self { folder, index, table: SlotTable::default(), settings };
        for (number, hour) in (1..).zip(ended) {
            place.end(id(number), HOUR * *hour);
        }
        place
    }

    fn end(&self, slot: SlotId, at: Duration) {
        let new = NewSlot {
            slot,
            recipe: Arc::from(&b"{}"[..]),
            recipe_sha256: Sha256::of(b"{}"),
            bundle_sha256: Sha256::of(b"bundle"),
            accepted_at: at,
            deadline: None,
            traceparent: None,
            webhook: None,
            origin: "test".to_owned(),
            work: None,
            event: None,
        };
        assert!(matches!(self.index.accept(new).wait().unwrap(), Acceptance::Accepted { .. }));
        let video = ArtifactRow { name: "video.mp4".to_owned(), sha256: Sha256::of(b""), bytes: 1000 };
        let end = EndRow {
            at,
            deadline_met: Some(true),
            cause: None,
            stage: None,
            message: None,
            elapsed: HOUR,
            stage_seconds: Default::default(),
            artifacts: vec![video],
        };
        let end = EndRecord { slot, state: State::Completed, end, upload: false, event: None };
        self.index.end(end).wait().unwrap();
        self.make(&slot.to_string());
    }

    fn make(&self, name: &str) {
        let folder = slots(self.folder.path()).join(name);
        std::fs::create_dir_all(folder.join("journal")).unwrap();
        std::fs::write(folder.join("video.mp4"), "").unwrap();
    }

    /// A round at this hour, with so much of the disk free.
    fn round(&self, hour: u32, free: Option<Bytes>) -> usize {
        let kept = Kept {
            index: &self.index,
            table: &self.table,
            data: self.folder.path(),
            settings: &self.settings,
        };
        round(&kept, &Ages::at(HOUR * hour), free).unwrap()
    }

    fn folders(&self) -> Vec<String> {
        let entries = std::fs::read_dir(slots(self.folder.path())).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn is_expired(&self, number: u128) -> bool {
        match self.index.slot(id(number)).unwrap() {
            Some(Found::Expired(_)) => true,
            Some(Found::Slot(_)) => false,
            None => panic!("slot {number} is not even remembered"),
        }
    }
}

#[test]
fn what_is_too_old_goes_with_its_folder_and_is_remembered_for_its_time() {
    let place = Place::new(&[100, 105]);
    assert_eq!((place.round(109, None), place.folders().len()), (0, 2));
    assert_eq!(place.round(110, None), 1);
    assert_eq!((place.is_expired(1), place.is_expired(2)), (true, false));
    assert_eq!(place.folders(), [id(2).to_string()]);
    assert_eq!(place.round(129, None), 1);
    assert!(place.is_expired(1), "its time as a tombstone is not over");
    assert_eq!((place.round(131, None), place.folders().len()), (0, 0));
    assert_eq!(place.index.slot(id(1)).unwrap(), None);
    assert!(place.is_expired(2));
}

#[test]
fn room_is_made_by_the_oldest_and_never_before_its_time() {
    let place = Place::new(&[100, 101, 102]);
    // The disk wants a thousand bytes more than it has.
    let settings = Journal { keep_free: Bytes::new(5000), ..place.settings };
    let place = Place { settings, ..place };
    assert_eq!(place.round(101, Some(Bytes::new(4000))), 0);
    assert_eq!(place.round(104, Some(Bytes::new(4000))), 1);
    assert!(place.is_expired(1) && !place.is_expired(2));
    assert_eq!(place.round(104, None), 0, "a disk that tells nothing wants nothing");
    let settings = Journal { keep_bytes: Bytes::new(1000), ..place.settings };
    let place = Place { settings, ..place };
    assert_eq!(place.round(104, Some(Bytes::gb(1))), 1);
    assert!(place.is_expired(2) && !place.is_expired(3));
}

#[test]
fn a_slot_that_was_shown_is_shown_no_more() {
    let place = Place::new(&[100]);
    let Some(Found::Slot(row)) = place.index.slot(id(1)).unwrap() else { panic!("it is there") };
    place.table.ended(id(1), crate::app::service::views::of_row(&row, HOUR));
    assert!(place.table.get(id(1)).is_some());
    assert_eq!(place.round(110, None), 1);
    assert!(place.table.get(id(1)).is_none());
}

#[test]
fn a_folder_that_an_earlier_process_left_is_swept_away_and_no_other() {
    let place = Place::new(&[100, 101]);
    place.index.expire(id(1), HOUR * 110).wait().unwrap();
    for name in ["a-friend", &id(3).to_string()] {
        place.make(name);
    }
    sweep(&place.index, place.folder.path());
    let mut left = vec!["a-friend".to_owned(), id(2).to_string(), id(3).to_string()];
    left.sort();
    assert_eq!(place.folders(), left);
}

#[test]
fn damaged_folders_go_after_the_longest_time_that_slots_are_kept() {
    let place = Place::new(&[100]);
    let old = format!("{}.damaged-1", id(7));
    let young = format!("{}.damaged-2", id(7));
    for (name, hour) in [(old.as_str(), 90), (&young, 91), ("other.damaged-1", 1)] {
        place.make(name);
        let folder = std::fs::File::open(slots(place.folder.path()).join(name)).unwrap();
        folder.set_modified(SystemTime::UNIX_EPOCH + HOUR * hour).unwrap();
    }
    place.round(100, None);
    let mut left = vec![id(1).to_string(), young, "other.damaged-1".to_owned()];
    left.sort();
    assert_eq!(place.folders(), left);
}
