//! Files that an earlier pull found whole are not read again, as long as nothing about them has changed.
#![cfg(unix)]

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

use super::{bundle, hub, pull};
use crate::bundles::{printed, text, weights};

const NAME: &str = "clip/tokenizer.json";

fn receipt(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(".pulled.json")).unwrap()).unwrap()
}

#[test]
fn a_file_that_changed_is_noticed_also_where_its_size_and_time_say_nothing() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    assert_eq!(pull(folder.path(), &hub, "0").status.code(), Some(0));
    let path = folder.path().join(NAME);
    let found = std::fs::metadata(&path).unwrap();
    let mut other = std::fs::read(&path).unwrap();
    other[1_000_000] ^= 1;
    std::fs::write(&path, other).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(found.modified().unwrap()).unwrap();
    let now = std::fs::metadata(&path).unwrap();
    assert_eq!((now.len(), now.modified().unwrap()), (found.len(), found.modified().unwrap()));
    let output = pull(folder.path(), &hub, "0");
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(printed(&output).contains("is there with another sha256"), "{}", printed(&output));
}

#[test]
fn what_has_not_changed_is_not_hashed_unless_that_is_asked_for() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    assert_eq!(pull(folder.path(), &hub, "0").status.code(), Some(0));
    // Whether it is read shows where its content is another, and the receipt is made to know it.
    let path = folder.path().join(NAME);
    std::fs::write(&path, "another").unwrap();
    let found = std::fs::metadata(&path).unwrap();
    let mut known = receipt(folder.path());
    assert_eq!(known.as_object().unwrap().len(), 4);
    known[NAME]["stamp"] = json!({
        "bytes": found.size(), "inode": found.ino(),
        "modified": [found.mtime(), found.mtime_nsec()], "changed": [found.ctime(), found.ctime_nsec()],
    });
    std::fs::write(folder.path().join(".pulled.json"), known.to_string()).unwrap();
    let output = pull(folder.path(), &hub, "0");
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let output = weights(&["pull", text(folder.path()), "--endpoint", &hub.address, "--rehash"]);
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(printed(&output).contains("is there with another sha256"), "{}", printed(&output));
}

#[test]
fn a_bundle_that_asks_for_another_hash_is_not_satisfied_by_what_is_remembered() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    assert_eq!(pull(folder.path(), &hub, "0").status.code(), Some(0));
    bundle(folder.path(), Some(b"what it is now"));
    // What was locked would be refused before anything is looked at.
    std::fs::remove_file(folder.path().join("bundle.lock.toml")).unwrap();
    let output = pull(folder.path(), &hub, "0");
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(printed(&output).contains("is there with another sha256"), "{}", printed(&output));
}

#[test]
fn a_bundle_without_a_receipt_gets_one_from_what_is_there() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    assert_eq!(pull(folder.path(), &hub, "0").status.code(), Some(0));
    let known = receipt(folder.path());
    std::fs::remove_file(folder.path().join(".pulled.json")).unwrap();
    let output = weights(&["pull", text(folder.path()), "--endpoint", &hub.address, "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert!(!folder.path().join(".pulled.json").exists(), "a dry run writes nothing");
    assert_eq!(pull(folder.path(), &hub, "0").status.code(), Some(0));
    assert_eq!(receipt(folder.path()), known);
}
