//! What has to hold of any bytes that are found under the name of a slot folder's record.
// Panicking is how a target says that something does not hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use serde_json::json;

use super::disk::{Disk, PARTIAL};
use super::record::{
    self, AcceptedRecord, AudioRecord, Found, ImageRecord, KeyframeRecord, PackageRecord, VerifyRecord,
    VideoRecord,
};
use crate::journal::{Artifact, Judgement, Parcel};
use crate::recipe::document;
use crate::types::{Bytes, Sha256, SlotId, Timeline};

/// Each kind of record: one that is read can be written again as it was, anything else is told in words. The bytes are
/// taken for a record's file, and for what stands in one whose hash is right.
pub(crate) fn folder_record(bytes: &[u8], scratch: &Path) {
    std::fs::create_dir_all(scratch.join(PARTIAL)).expect("the scratch folder can be written");
    let disk = Disk::new(scratch);
    each(&disk, bytes);
    if let Some(record) = std::str::from_utf8(bytes).ok().and_then(|text| document::exact(text).ok()) {
        let sha256 = Sha256::of(&document::canonical(&record));
        let whole = json!({ "version": record::VERSION, "sha256": sha256, "record": record });
        each(&disk, whole.to_string().as_bytes());
    }
}

fn each(disk: &Disk, bytes: &[u8]) {
    std::fs::write(disk.path("record.json"), bytes).expect("the scratch folder can be written");
    one::<AcceptedRecord>(disk);
    one::<AudioRecord>(disk);
    one::<ImageRecord>(disk);
    one::<VideoRecord>(disk);
    one::<VerifyRecord>(disk);
    one::<PackageRecord>(disk);
}

fn one<T: Serialize + DeserializeOwned>(disk: &Disk) {
    match record::read::<T>(disk, "record.json").expect("bytes are read, whatever they are") {
        Found::Record(found) => {
            record::write(disk, "again.json", &found).expect("what was read can be written");
            let again = record::read::<T>(disk, "again.json").expect("what was written can be read");
            let Found::Record(again) = again else { panic!("what was written is no record") };
            let text = |record: &T| serde_json::to_string(record).expect("a record has a text");
            assert_eq!(text(&again), text(&found));
        }
        Found::Damaged(why) => assert!(why.starts_with("record.json is damaged: ")),
        Found::Newer(version) => assert!(version > record::VERSION),
        Found::Nothing => panic!("there is a file"),
    }
}

/// A record of each kind, for a fuzzer to begin with.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let file =
        |name: &str| Artifact { name: name.to_owned(), sha256: Sha256::of(b"bytes"), bytes: Bytes::new(5) };
    let accepted = AcceptedRecord {
        slot: SlotId::new(uuid::Uuid::from_u128(1)),
        recipe_sha256: Sha256::of(b"recipe"),
        bundle_sha256: Sha256::of(b"bundle"),
        at: 1_800_000_000_000_000,
        deadline: 1_800_000_045_000_000,
        traceparent: None,
        file: file("recipe.json"),
        text: "{}".to_owned(),
    };
    let timeline = Timeline::new(24_000, 24_000, Vec::new()).expect("a second of silence");
    let audio = AudioRecord { sound: file("audio.wav"), timeline, warnings: Vec::new() };
    let image = ImageRecord { picture: file("actor.png"), warnings: Vec::new() };
    let keyframes = vec![KeyframeRecord { index: 3, picture: file("keyframes/00003.png") }];
    let video = VideoRecord {
        video: file("video.mp4"),
        frames: 24,
        rendered: 24,
        batch: 4,
        keyframes,
        warnings: Vec::new(),
    };
    let judgement = Judgement { summary: "passed".to_owned(), report: json!({ "score": 0.8 }) };
    let parcel = Parcel { artifacts: vec!["video.mp4".to_owned()] };
    let package = PackageRecord { parcel, result: Some(file("result.json")) };
    [
        json!(accepted),
        json!(audio),
        json!(image),
        json!(video),
        json!(VerifyRecord { judgement }),
        json!(package),
    ]
    .map(|record| record.to_string().into_bytes())
    .to_vec()
}
