//! A node that is killed in its video, and another that goes on from the sound and the picture, or makes them itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use vortex_node::clock::now;
use vortex_node::types::WorkId;

use super::net::{Net, artifacts_hold};
use crate::support::served::{LIMIT, scenario};

const GOES_ON: &str = "goes on from stages that another node finished";

/// The scenario of a node that never ends a video within a test.
fn slow_in_video() -> String {
    let usual = scenario("10ms", "");
    let model = "[models.liveportrait]\nload = \"10ms\"\ncanary = \"1ms\"\nrun = ";
    let slow = usual.replace(&format!("{model}\"10ms\""), &format!("{model}\"10min\""));
    assert_ne!(slow, usual);
    slow
}

/// The shared stages of a rendering, by name.
fn shared(store: &Path, work: WorkId) -> BTreeMap<String, PathBuf> {
    let Ok(entries) = std::fs::read_dir(store.join("stages").join(work.to_string())) else {
        return BTreeMap::new();
    };
    let stage = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".tar")?.split_once('.')?.1.to_owned();
        Some((name, path))
    };
    entries.filter_map(|entry| stage(entry.unwrap().path())).collect()
}

/// The first node makes sound and picture and is killed; the second takes over what `meanwhile` leaves in the store. How
/// often it began each stage, and what it logged; none where there is no server to be had.
async fn taken_over(
    meanwhile: impl Fn(&BTreeMap<String, PathBuf>),
) -> Option<(BTreeMap<String, u64>, String)> {
    let mut net = Net::new(2, &scenario("10ms", ""), &[("VORTEX_NETWORK__SHARE_STAGES", "true")])?;
    std::fs::write(net.nodes.place(0).scenario_file(), slow_in_video()).unwrap();
    net.nodes.start_one(0);
    net.node(0).ready().await;
    let session = net.session().await;
    let work = net.hand_in(&session, 1).await;
    let began = now();
    let stages = loop {
        let stages = shared(net.store(), work);
        if ["audio", "image"].iter().all(|stage| stages.contains_key(*stage)) {
            break stages;
        }
        assert!(now() - began < LIMIT, "{stages:?}: {}", net.standing().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    net.nodes.kill(0);
    meanwhile(&stages);
    net.nodes.start_one(1);
    artifacts_hold(&net.results(&[work], Duration::from_secs(60)).await);
    net.is_done(Duration::from_secs(30)).await;
    let slot = net.node(1).ended(&work.slot.to_string()).await;
    let begun =
        |stage: &Value| (stage["stage"].as_str().unwrap().to_owned(), stage["attempt"].as_u64().unwrap());
    let begun = slot["stages"].as_array().unwrap().iter().map(begun).collect();
    Some((begun, net.stop(1)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_goes_on_from_what_a_killed_one_has_finished() {
    let Some((begun, logs)) = taken_over(|_| {}).await else { return };
    let of = |stage: &str| begun[stage];
    assert_eq!(["audio", "image", "video", "verify", "package"].map(of), [0, 0, 1, 1, 1], "{logs}");
    let line = logs.lines().find(|line| line.contains(GOES_ON)).unwrap();
    assert!(line.contains("audio, image"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_is_damaged_in_the_store_is_done_again() {
    let damaged = |stages: &BTreeMap<String, PathBuf>| {
        let path = &stages["audio"];
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let Some((begun, logs)) = taken_over(damaged).await else { return };
    let of = |stage: &str| begun[stage];
    assert_eq!(["audio", "image", "video", "verify", "package"].map(of), [1, 0, 1, 1, 1], "{logs}");
    assert!(logs.contains("a stage that another node finished is left out"), "{logs}");
}
