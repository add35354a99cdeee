//! The records of a slot folder: what the artifacts themselves do not say.
//!
//! Each is one JSON file with the format's version and its own hash, so that a damaged one is seen and a newer node's is
//! left alone.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::disk::Disk;
use crate::contract::Warning;
use crate::journal::{Artifact, JournalError, Judgement, Parcel};
use crate::recipe::document;
use crate::types::{Sha256, SlotId, Timeline, TraceParent};

/// Of the format, raised when older nodes could misread it.
pub(in crate::journal) const VERSION: u64 = 1;

/// A slot as it came in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptedRecord {
    pub slot: SlotId,
    /// Of the recipe's canonical document.
    pub recipe_sha256: Sha256,
    pub bundle_sha256: Sha256,
    /// Microseconds since the Unix epoch: within what JSON numbers hold exactly for two centuries.
    pub at: u64,
    pub deadline: u64,
    /// The trace that the slot belongs to; records of older nodes have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
    /// The recipe's file, and its text: what came in can be put back where the file was damaged.
    pub file: Artifact,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AudioRecord {
    pub sound: Artifact,
    pub timeline: Timeline,
    pub warnings: Vec<Warning>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageRecord {
    pub picture: Artifact,
    pub warnings: Vec<Warning>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VideoRecord {
    pub video: Artifact,
    pub frames: u32,
    pub rendered: u32,
    pub batch: u32,
    pub keyframes: Vec<KeyframeRecord>,
    pub warnings: Vec<Warning>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyframeRecord {
    pub index: u32,
    pub picture: Artifact,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyRecord {
    pub judgement: Judgement,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PackageRecord {
    pub parcel: Parcel,
    /// The signed result, where the folder holds it.
    pub result: Option<Artifact>,
}

/// What stands under a record's name.
#[derive(Debug)]
pub(super) enum Found<T> {
    Nothing,
    Damaged(String),
    /// Of this version, which this node does not know.
    Newer(u64),
    Record(T),
}

/// Puts a record under `name`.
pub(super) fn write(disk: &Disk, name: &str, record: &impl Serialize) -> Result<(), JournalError> {
    let failed = |error: serde_json::Error| JournalError::io(disk.path(name), "written", error.into());
    let record = serde_json::to_value(record).map_err(failed)?;
    let sha256 = Sha256::of(&document::canonical(&record));
    let whole = json!({ "version": VERSION, "sha256": sha256, "record": record });
    disk.write(name, format!("{whole:#}\n").as_bytes()).map(drop)
}

/// Reads the record under `name`.
pub(super) fn read<T: DeserializeOwned>(disk: &Disk, name: &str) -> Result<Found<T>, JournalError> {
    Ok(disk.read(name)?.map_or(Found::Nothing, |bytes| parse(name, &bytes)))
}

/// The record that a file of this name holds.
pub(super) fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Found<T> {
    let damaged = |why: &dyn std::fmt::Display| Found::Damaged(format!("{name} is damaged: {why}"));
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return damaged(&error),
    };
    let mut whole = match document::exact(text) {
        Ok(whole) => whole,
        Err(error) => return damaged(&error),
    };
    match whole.get("version").and_then(Value::as_u64) {
        Some(VERSION) => {}
        Some(newer) if newer > VERSION => return Found::Newer(newer),
        _ => return damaged(&"it names no version of its format"),
    }
    let Some(record) = whole.get_mut("record").map(Value::take) else {
        return damaged(&"it holds no record");
    };
    let stated = whole.get("sha256").and_then(Value::as_str).and_then(|text| text.parse::<Sha256>().ok());
    if stated != Some(Sha256::of(&document::canonical(&record))) {
        return damaged(&"its hash is another");
    }
    match serde_json::from_value(record) {
        Ok(record) => Found::Record(record),
        Err(error) => damaged(&error),
    }
}
