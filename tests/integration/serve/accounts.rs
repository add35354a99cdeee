//! What became of every slot of a service, by each of its three witnesses: the index (API and events), the slots' folders,
//! and the artifacts' bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use vortex_node::sink;
use vortex_node::types::Sha256;

use super::{frames_until, id_of};
use crate::support::served::Served;

/// The kinds of events that end a slot.
const ENDS: [&str; 3] = ["generation_complete", "slot_failed", "slot_cancelled"];
/// The kinds that say that a stage's output is durable.
const STAGES: [&str; 4] = ["audio_complete", "image_complete", "video_complete", "clip_complete"];

/// Every slot that `service` knows, newest first.
pub async fn listed(service: &Served) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = service.get(&format!("/v1/slots?limit=500{after}")).await;
        all.extend(page["slots"].as_array().unwrap().iter().cloned());
        match page["after"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

/// Every event that is kept.
pub async fn kept(service: &Served) -> Vec<Value> {
    let newest = service.get("/v1/node").await["journal"]["sequence"].as_u64().unwrap();
    if newest == 0 {
        return Vec::new();
    }
    let answer = service.ask(Method::GET, "/v1/events?after=oldest").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let sequence = |id: &str| id.rsplit('-').next().and_then(|number| number.parse::<u64>().ok());
    let is_last = |frame: &super::Frame| frame.id.as_deref().and_then(sequence) >= Some(newest);
    let frames = frames_until(answer, is_last).await;
    frames.into_iter().filter(|frame| frame.id.is_some()).map(|frame| frame.data).collect()
}

/// Waits until every slot has ended, and fails unless each ended exactly once, by all witnesses, among them all of
/// `accepted`; the slots by their ids.
pub async fn settled(service: &Served, data: &Path, accepted: &BTreeSet<String>) -> BTreeMap<String, Value> {
    for slot in listed(service).await {
        if slot["ended_at"].is_null() {
            service.ended(slot["id"].as_str().unwrap()).await;
        }
    }
    let slots: BTreeMap<String, Value> = listed(service)
        .await
        .into_iter()
        .map(|slot| (slot["id"].as_str().unwrap().to_owned(), slot))
        .collect();
    let lost: Vec<&String> = accepted.iter().filter(|id| !slots.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} accepted slots are unknown: {lost:?}", lost.len(), accepted.len());
    ends_by_events(&kept(service).await, &slots);
    slots.values().for_each(|slot| end_by_folder(slot, data));
    // Nothing but these has a folder.
    for entry in std::fs::read_dir(data.join("slots")).into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(slots.contains_key(&name), "a folder of an unknown slot: {name}");
    }
    slots
}

fn ends_by_events(events: &[Value], slots: &BTreeMap<String, Value>) {
    let mut told: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for event in events {
        let kind = event["event"].as_str().unwrap();
        let what = if ENDS.contains(&kind) { "end" } else { kind };
        if let Some(slot) = event["slot"].as_str() {
            *told.entry((slot, what)).or_default() += 1;
        }
    }
    for id in slots.keys() {
        assert_eq!(told.get(&(id.as_str(), "end")), Some(&1), "ends that were told of {id}");
    }
}

/// Fails unless each stage of each completed slot was told once: true of one process, not of one that is killed between
/// telling and keeping.
pub fn stages_told_once(events: &[Value], slots: &BTreeMap<String, Value>) {
    for (id, slot) in slots {
        let of_slot = events.iter().filter(|event| event["slot"] == id.as_str());
        let kinds: Vec<&str> = of_slot.map(|event| event["event"].as_str().unwrap()).collect();
        for stage in STAGES {
            let count = kinds.iter().filter(|kind| **kind == stage).count();
            assert!(count <= 1 && (count == 1 || slot["state"] != "completed"), "{id}: {kinds:?}");
        }
    }
}

/// Records of finished stages as a process left them that was killed: no later process may make them again.
#[derive(Default)]
pub struct Records {
    /// Of each file which it was, and when it was written.
    seen: BTreeMap<PathBuf, (u64, i64, i64)>,
    /// Folders that can change no more.
    ended: BTreeSet<PathBuf>,
}

impl Records {
    /// Takes in what is there, while no process runs.
    pub fn look(&mut self, data: &Path) {
        for slot in std::fs::read_dir(data.join("slots")).into_iter().flatten() {
            let folder = slot.unwrap().path().join("journal");
            if self.ended.contains(&folder) {
                continue;
            }
            for stage in ["audio", "image", "video", "verify"] {
                let record = folder.join(format!("{stage}.json"));
                if let Ok(file) = record.metadata() {
                    self.seen.entry(record).or_insert((file.ino(), file.mtime(), file.mtime_nsec()));
                }
            }
            if folder.join("end.json").exists() {
                self.ended.insert(folder);
            }
        }
    }

    /// Fails unless each is still the same file; how many there are.
    pub fn are_kept(&self) -> usize {
        for (record, seen) in &self.seen {
            let file = record.metadata().unwrap_or_else(|error| panic!("{}: {error}", record.display()));
            let now = (file.ino(), file.mtime(), file.mtime_nsec());
            assert_eq!(now, *seen, "{} was made again", record.display());
        }
        self.seen.len()
    }
}

fn end_by_folder(slot: &Value, data: &Path) {
    let dir = data.join("slots").join(id_of(slot));
    let artifacts = slot["artifacts"].as_array().unwrap();
    if slot["state"] == "completed" {
        for name in ["recipe.json", "result.json", "video.mp4"] {
            assert!(artifacts.iter().any(|it| it["name"] == name), "no {name} of {slot:#}");
        }
    }
    for artifact in artifacts {
        let path = dir.join(artifact["name"].as_str().unwrap());
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(bytes.len() as u64, artifact["bytes"].as_u64().unwrap(), "{}", path.display());
        assert_eq!(
            Sha256::of(&bytes).to_string(),
            artifact["sha256"].as_str().unwrap(),
            "{}",
            path.display()
        );
    }
    if !dir.exists() {
        // Cancelled before its first stage.
        assert!(artifacts.is_empty(), "files without a folder: {slot:#}");
        return;
    }
    let end = std::fs::read(dir.join("journal/end.json"));
    let end: Value =
        serde_json::from_slice(&end.unwrap_or_else(|error| panic!("{error}: {slot:#}"))).unwrap();
    assert_eq!(end["record"]["ending"], slot["state"], "{end:#} in the folder of {slot:#}");
    if slot["state"] != "completed" {
        return;
    }
    let result: Value = serde_json::from_slice(&std::fs::read(dir.join("result.json")).unwrap()).unwrap();
    // What a rehearsal hands over is not signed.
    if result["scripted"] == true {
        assert_eq!(result["recipe_id"], slot["id"]);
        assert_eq!(result["outcome"]["ending"], slot["state"]);
    } else {
        let found = sink::verify(&dir, None).unwrap();
        assert!(found.is_good(), "{}: {:?}", dir.display(), found.problems);
    }
}
