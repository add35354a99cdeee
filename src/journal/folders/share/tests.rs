//! Stages that go from one folder to another, whole, damaged and made by somebody who means harm.

use std::fs;
use std::io::Read;
use std::sync::Arc;

use tar::EntryType;
use tempfile::TempDir;

use super::*;
use crate::contract::{Speech, Warning};
use crate::journal::folder::tests::{accepted_of, files, output, patiently, terminal_of, walk_of};
use crate::journal::{Ending, Journal, Recorded, StageOutput};
use crate::types::Sha256;

const SHARED: [Stage; 4] = [Stage::Audio, Stage::Image, Stage::Video, Stage::Verify];

type Archives = Vec<(Stage, Vec<u8>)>;

fn slot() -> SlotId {
    SlotId::new(uuid::Uuid::from_u128(7))
}

fn key() -> Key {
    Key { recipe: Sha256::of(b"recipe"), bundle: Sha256::of(b"bundle") }
}

fn store() -> (TempDir, SlotFolders) {
    let root = tempfile::tempdir().unwrap();
    let store = SlotFolders::under(&root.path().join("slots"));
    (root, store)
}

fn packed(store: &SlotFolders) -> Archives {
    let packed = |stage| store.packed(slot(), stage).unwrap().map(|archive| (stage, archive));
    SHARED.into_iter().filter_map(packed).collect()
}

/// A store in which the slot is finished up to its check.
async fn rendered() -> (TempDir, SlotFolders) {
    let (root, store) = store();
    let (folder, _) = patiently(|| store.prepare(slot(), key())).unwrap();
    walk_of(&store, slot(), folder.dir(), Stage::Verify).await.unwrap();
    (root, store)
}

fn take_in(store: &SlotFolders, key: Key, archives: &Archives) -> TakenIn {
    patiently(|| store.take_in(accepted_of(slot()), key, archives)).unwrap()
}

fn done(outputs: &Outputs) -> Vec<Stage> {
    Stage::ALL.into_iter().filter(|stage| outputs.has(*stage)).collect()
}

fn entries(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(archive);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (String::from_utf8(entry.path_bytes().into_owned()).unwrap(), bytes)
    };
    tar.entries().unwrap().map(read).collect()
}

/// With names as they are given, which writers of archives would refuse.
fn made(entries: &[(String, Vec<u8>)], kind: impl Fn(&str) -> EntryType) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        let kind = kind(name);
        header.set_entry_type(kind);
        header.set_size(if kind == EntryType::Regular { bytes.len() as u64 } else { 0 });
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        if kind != EntryType::Regular {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, if kind == EntryType::Regular { bytes.as_slice() } else { &[] }).unwrap();
    }
    tar.into_inner().unwrap()
}

#[tokio::test]
async fn what_is_finished_in_one_folder_is_finished_in_the_next_to_the_last_byte() {
    let (_first, first) = rendered().await;
    let archives = packed(&first);
    assert_eq!(archives.iter().map(|(stage, _)| *stage).collect::<Vec<_>>(), SHARED);
    let (_next, next) = store();
    assert!(!next.is_there(slot()));
    let taken = take_in(&next, key(), &archives);
    assert_eq!((done(&taken.outputs), taken.left_out), (SHARED.to_vec(), vec![]));
    let (here, there) = (next.dir_of(slot()).unwrap(), first.dir_of(slot()).unwrap());
    assert!(files(&here) == files(&there));
    // It is shared on as well, and it goes on to its end.
    assert!(packed(&next) == archives);
    walk_of(&next, slot(), &here, Stage::Package).await.unwrap();
    let end = terminal_of(slot(), Ending::Completed { deadline_met: true });
    assert_eq!(next.terminal(&end).await.unwrap(), Recorded::Ended);
    assert_eq!(next.packed(slot(), Stage::Package).unwrap(), None);
}

#[tokio::test]
async fn whatever_bit_is_flipped_a_stage_is_what_it_was_or_done_again() {
    let (_first, first) = rendered().await;
    let (whole, expected) = (packed(&first), files(&first.dir_of(slot()).unwrap()));
    let mut left_out = 0;
    for number in 0..whole.len() {
        let length = whole[number].1.len();
        for place in (0..length).step_by(length / 12) {
            let mut archives = whole.clone();
            archives[number].1[place] ^= 0x10;
            let (_next, next) = store();
            let taken = take_in(&next, key(), &archives);
            let found = files(&next.dir_of(slot()).unwrap());
            assert!(found.iter().all(|file| expected.contains(file)), "stage {number}, byte {place}");
            if !taken.outputs.has(archives[number].0) {
                left_out += 1;
                assert!(taken.left_out.iter().any(|(stage, _)| *stage == archives[number].0));
            }
            walk_of(&next, slot(), &next.dir_of(slot()).unwrap(), Stage::Package).await.unwrap();
        }
    }
    assert!(left_out > whole.len(), "only {left_out} were found");
}

#[tokio::test]
async fn an_archive_with_names_links_or_files_that_the_stage_does_not_have_is_left_out() {
    let (_first, first) = rendered().await;
    let whole = packed(&first);
    let regular = |_: &str| EntryType::Regular;
    let audio = entries(&whole[0].1);
    let with = |name: &str, bytes: &[u8]| {
        let mut more = audio.clone();
        more.insert(1, (name.to_owned(), bytes.to_vec()));
        made(&more, regular)
    };
    let linked = |kind| made(&audio, move |name| if name == "audio.wav" { kind } else { EntryType::Regular });
    let mut strange_frame = entries(&whole[2].1);
    strange_frame.push(("keyframes/00099.png".to_owned(), b"none of its".to_vec()));
    let mut bad: Vec<(Stage, Vec<u8>)> = [
        "../x",
        "/x",
        "keyframes/../../x",
        "./audio.wav",
        "video.mp4",
        "recipe.json",
        "journal/lock",
        "journal/accepted.json",
        "audio.wav",
    ]
    .map(|name| (Stage::Audio, with(name, b"x")))
    .into();
    bad.extend(
        [EntryType::Symlink, EntryType::Link, EntryType::Directory].map(|kind| (Stage::Audio, linked(kind))),
    );
    bad.extend((0..audio.len()).map(|missing| {
        let mut fewer = audio.clone();
        fewer.remove(missing);
        (Stage::Audio, made(&fewer, regular))
    }));
    bad.push((Stage::Audio, whole[0].1[..whole[0].1.len() / 3].to_vec()));
    bad.push((Stage::Audio, whole[1].1.clone()));
    bad.push((Stage::Video, made(&strange_frame, regular)));
    assert_eq!(entries(&made(&audio, regular)), audio);
    for (number, (stage, archive)) in bad.into_iter().enumerate() {
        let mut archives = whole.clone();
        archives.iter_mut().find(|(other, _)| *other == stage).unwrap().1 = archive;
        let (root, next) = store();
        let taken = take_in(&next, key(), &archives);
        assert!(taken.left_out.iter().any(|(other, _)| *other == stage), "{number}: {:?}", taken.left_out);
        assert!(!taken.outputs.has(stage) && taken.outputs.has(Stage::Image), "{number}");
        let beside: Vec<_> = fs::read_dir(root.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(beside, ["slots"], "{number}");
        assert_eq!(fs::read_dir(root.path().join("slots")).unwrap().count(), 1, "{number}");
    }
}

#[tokio::test]
async fn stages_of_another_bundle_or_recipe_or_of_another_sound_are_left_out() {
    let (_first, first) = rendered().await;
    let whole = packed(&first);
    for other in
        [Key { bundle: Sha256::of(b"another"), ..key() }, Key { recipe: Sha256::of(b"another"), ..key() }]
    {
        let (_next, next) = store();
        let taken = take_in(&next, other, &whole);
        assert_eq!((done(&taken.outputs), taken.left_out.len()), (vec![], whole.len()));
    }
    let (_third, third) = store();
    patiently(|| third.prepare(slot(), key())).unwrap();
    third.accept(&accepted_of(slot())).await.unwrap();
    let StageOutput::Speech(speech) = output(Stage::Audio) else { panic!("it is a speech") };
    let speech = Speech { warnings: vec![Warning::new("odd", "another")], ..(*speech).clone() };
    third.stage_done(slot(), &StageOutput::Speech(Arc::new(speech))).await.unwrap();
    let mut mixed = whole.clone();
    mixed[0] = packed(&third).remove(0);
    let (_next, next) = store();
    let taken = take_in(&next, key(), &mixed);
    assert_eq!(done(&taken.outputs), [Stage::Audio, Stage::Image]);
    assert_eq!(
        taken.left_out.iter().map(|(stage, _)| *stage).collect::<Vec<_>>(),
        [Stage::Video, Stage::Verify]
    );
}

#[tokio::test]
async fn what_is_finished_here_stays_and_what_nobody_took_goes() {
    let (_first, first) = rendered().await;
    let whole = packed(&first);
    let (_next, next) = store();
    take_in(&next, key(), &whole[..1].to_vec());
    let taken = take_in(&next, key(), &whole);
    assert_eq!(done(&taken.outputs), [Stage::Audio]);
    assert!(next.is_there(slot()));
    next.discard(slot()).unwrap();
    assert!(!next.is_there(slot()) && next.get(slot()).is_none());
    next.discard(slot()).unwrap();
    assert_eq!(done(&take_in(&next, key(), &whole).outputs), SHARED);
}
