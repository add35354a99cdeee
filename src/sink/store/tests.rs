//! What is put into a store and what is not; the uploader over a table instead of a journal; a real store.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::failing::Failing;
use super::*;
use crate::clock;
use crate::types::{Sha256, SlotId, WorkId};

mod fetching;
mod journal;
mod renewing;
mod s3;
mod sharing;
mod sweeping;
mod uploading;

/// Parts of tests' stores.
const PART: usize = 1000;

fn slot(number: u128) -> SlotId {
    SlotId::new(uuid::Uuid::from_u128(number))
}

/// A rendering of it.
fn work(number: u128, epoch: u32, replica: u32) -> WorkId {
    let part = |number| std::num::NonZeroU32::new(number).unwrap();
    WorkId { slot: slot(number), epoch: part(epoch), replica: part(replica) }
}

/// A store to which all that it holds is old.
fn impatient(mut store: Store) -> Store {
    store.renew = Duration::ZERO;
    store
}

/// A store in a folder, with parts of a size that tests can fill.
fn in_folder(path: &Path) -> Store {
    let mut store = Store::open(&StoreSettings::at(StoreAddress::Folder(path.to_owned()))).unwrap();
    store.part = PART;
    store
}

/// A slot's folder with files of these sizes, no two alike, and a result.
fn parcel(root: &Path, number: u128, sizes: &[usize]) -> Parcel {
    let folder = root.join(number.to_string());
    std::fs::create_dir_all(folder.join("keyframes")).unwrap();
    let file = |name: String, bytes: &[u8]| {
        std::fs::write(folder.join(&name), bytes).unwrap();
        ParcelFile { name, sha256: Sha256::of(bytes), bytes: bytes.len() as u64 }
    };
    let content = |at: usize, size: usize| {
        (0..size).map(|it| (it * 31 + at * 7 + number as usize) as u8).collect::<Vec<_>>()
    };
    let files = sizes.iter().enumerate();
    let files = files.map(|(at, size)| file(format!("keyframes/{at}.png"), &content(at, *size))).collect();
    let result = file("result.json".to_owned(), format!("{{\"recipe_id\":\"{}\"}}", slot(number)).as_bytes());
    Parcel { slot: slot(number), folder, files, result: Some(result), stored: BTreeMap::new(), attempts: 0 }
}

fn content_key(file: &ParcelFile) -> Key {
    let hex = file.sha256.to_string();
    Key::from(format!("p/sha256/{}/{}", &hex[..2], &hex[2..]))
}

async fn read(store: &Failing, key: &Key) -> Option<Vec<u8>> {
    Some(store.memory.get(key).await.ok()?.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn content_lies_under_its_hash_whole_or_in_parts_and_is_not_sent_twice() {
    let folder = tempfile::tempdir().unwrap();
    let failing = Failing::default();
    let store = Store::over(Arc::new(failing.clone()), PART);
    let parcel = parcel(folder.path(), 1, &[0, 1, PART, PART + 1, 3 * PART, 3 * PART + 7]);
    for file in &parcel.files {
        let address = store.put_content(&parcel.folder, file).await.unwrap();
        let key = content_key(file);
        assert_eq!(address, format!("s3://test/{key}"));
        assert_eq!(
            read(&failing, &key).await.unwrap(),
            std::fs::read(parcel.folder.join(&file.name)).unwrap()
        );
    }
    assert_eq!((failing.count("put"), failing.count("complete"), failing.count("part")), (3, 3, 2 + 3 + 4));
    for file in &parcel.files {
        store.put_content(&parcel.folder, file).await.unwrap();
    }
    assert_eq!((failing.count("put"), failing.count("complete")), (3, 3));
    // It was compared by its bytes, not taken by its name and size.
    assert_eq!(failing.count("get"), 6);
}

#[tokio::test]
async fn other_content_under_a_key_is_told_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let failing = Failing::default();
    let store = Store::over(Arc::new(failing.clone()), PART);
    let parcel = parcel(folder.path(), 1, &[5, PART * 2]);
    for (file, foreign) in parcel.files.iter().flat_map(|file| [(file, file.bytes as usize), (file, 3)]) {
        let key = content_key(file);
        failing.memory.put(&key, PutPayload::from(vec![0xee; foreign])).await.unwrap();
        let error = store.put_content(&parcel.folder, file).await.unwrap_err();
        assert!(
            matches!(&error, PutError::Conflict { key: told, .. } if *told == key.to_string()),
            "{error}"
        );
        assert!(error.is_final() && !error.is_of_the_store());
        assert_eq!(read(&failing, &key).await.unwrap(), vec![0xee; foreign]);
    }
}

#[tokio::test]
async fn of_two_writers_between_look_and_write_equal_ones_both_succeed_and_others_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let parcel = parcel(folder.path(), 1, &[10]);
    let file = parcel.result.clone().unwrap();
    let mine = std::fs::read(parcel.folder.join(&file.name)).unwrap();
    let key = Key::from(format!("p/slots/{}/result.json", parcel.slot));
    for (theirs, equal) in [(mine.clone(), true), (vec![b'x'; mine.len()], false), (b"{}".to_vec(), false)] {
        let failing = Failing::default();
        let store = Store::over(Arc::new(failing.clone()), PART);
        let (memory, at, content) = (failing.memory.clone(), key.clone(), theirs.clone());
        failing.after_head(move || {
            let (put, payload) = (memory, PutPayload::from(content));
            futures_now(async move { put.put(&at, payload).await.unwrap() });
        });
        let put = store.put_result(parcel.slot, &parcel.folder, &file).await;
        assert_eq!(put.is_ok(), equal, "{put:?}");
        assert!(equal || matches!(put, Err(PutError::Conflict { .. })));
        assert_eq!(failing.count("put"), 1);
        assert_eq!(read(&failing, &key).await.unwrap(), theirs);
    }
}

/// Runs what never waits.
fn futures_now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

#[tokio::test]
async fn damaged_files_are_told_and_never_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let failing = Failing::default();
    let store = Store::over(Arc::new(failing.clone()), PART);
    let parcel = parcel(folder.path(), 1, &[500, PART * 3]);
    for file in &parcel.files {
        let path = parcel.folder.join(&file.name);
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let longer = [&whole[..], b"x"].concat();
        for damaged in [&flipped[..], &whole[1..], &longer, b""] {
            std::fs::write(&path, damaged).unwrap();
            let error = store.put_content(&parcel.folder, file).await.unwrap_err();
            assert!(matches!(error, PutError::Damaged { .. }) && error.is_final(), "{error}");
            assert!(error.to_string().contains(&file.name), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(store.put_content(&parcel.folder, file).await, Err(PutError::Damaged { .. })));
        assert_eq!(read(&failing, &content_key(file)).await, None);
    }
    // Of the large one parts had gone up before its end was read; they are taken back.
    assert_eq!((failing.count("put"), failing.count("complete"), failing.aborted()), (0, 0, 1));
    for name in ["../1/result.json", "/etc/passwd", "", "a//b", "a/../b", "."] {
        let outside = ParcelFile { name: name.to_owned(), ..parcel.result.clone().unwrap() };
        assert!(
            matches!(store.put_content(&parcel.folder, &outside).await, Err(PutError::Damaged { .. })),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_folder_is_a_store_too() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out folder");
    let store = Store::open(&StoreSettings::at(StoreAddress::Folder(out.clone()))).unwrap();
    let parcel = parcel(folder.path(), 1, &[10, (8 << 20) + 5]);
    for file in &parcel.files {
        let address = store.put_content(&parcel.folder, file).await.unwrap();
        let path = reqwest::Url::parse(&address).unwrap().to_file_path().unwrap();
        assert!(path.starts_with(&out), "{address}");
        assert_eq!(std::fs::read(path).unwrap(), std::fs::read(parcel.folder.join(&file.name)).unwrap());
        assert_eq!(store.presigned(&address).await.unwrap(), None);
    }
    let result = parcel.result.clone().unwrap();
    store.put_result(parcel.slot, &parcel.folder, &result).await.unwrap();
    store.put_result(parcel.slot, &parcel.folder, &result).await.unwrap();
    std::fs::write(out.join(format!("slots/{}/result.json", parcel.slot)), "{}").unwrap();
    let other = store.put_result(parcel.slot, &parcel.folder, &result).await;
    assert!(matches!(other, Err(PutError::Conflict { .. })), "{other:?}");
}
