//! Settings that are read again while `vortex-node serve` runs with the demo weights: limits of memory and of slots.

use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::served::{Place, Served, recipe};

/// A configuration of its own, whose profile can be written again.
struct Configured {
    folder: tempfile::TempDir,
}

impl Configured {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        std::fs::create_dir(folder.path().join("profiles")).unwrap();
        for name in ["voices.toml", "bundles"] {
            std::os::unix::fs::symlink(shipped.join(name), folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("node.toml"), "profile = \"test\"\ndevice = \"cpu\"\n").unwrap();
        Self { folder }
    }

    fn says(&self, memory: &str, slots: &str) {
        let text = format!("[memory]\n{memory}\nsample_every = \"50ms\"\n\n[slots]\n{slots}\n");
        std::fs::write(self.folder.path().join("profiles/test.toml"), text).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

async fn reload(service: &Served) -> (StatusCode, Value) {
    let answer = service.ask(Method::POST, "/v1/node/reload").send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Soft and hard limit of the device, and how many slots may wait.
async fn limits(service: &Served) -> [u64; 3] {
    let node = service.get("/v1/node").await;
    let device = &node["devices"][0];
    [&device["soft_limit"], &device["hard_limit"], &node["queue"]["capacity"]].map(|it| it.as_u64().unwrap())
}

/// Reads events until one has `text`.
async fn heard(events: &mut reqwest::Response, text: &str) {
    let mut told = String::new();
    while !told.contains(text) {
        told.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
    }
}

#[tokio::test]
async fn limits_of_memory_and_slots_are_changed_while_the_node_runs() {
    let config = Configured::new();
    let wide = "soft_limit = \"50GB\"\nhard_limit = \"60GB\"\ndwell = \"0s\"";
    config.says(wide, "queue = 5\nlookahead = 1");
    let place = Place::demo();
    let service = place.serve_with(&["--config-dir", config.path().to_str().unwrap()]);
    service.ready().await;
    assert_eq!(limits(&service).await, [50_000_000_000, 60_000_000_000, 5]);
    let mut events = service.ask(Method::GET, "/v1/events").send().await.unwrap();

    // Below what the models already take: pressure at the next look, whose reason is told, and over when it is raised again.
    config.says(
        "soft_limit = \"50MB\"\nhard_limit = \"60GB\"\ndwell = \"0s\"\nhysteresis = \"1MB\"",
        "queue = 5\nlookahead = 1",
    );
    let (status, said) = reload(&service).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    assert_eq!(said["changed"], json!(["memory.hysteresis", "memory.soft_limit"]), "{said}");
    assert_eq!(said["needs_restart"], json!([]), "{said}");
    heard(&mut events, "\"closed\":\"pressure\"").await;
    let refused = service.put(&recipe(1)).await;
    let (status, said) = (refused.status(), refused.text().await.unwrap());
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{said}");
    config.says(wide, "queue = 1\nlookahead = 1");
    let (_, said) = reload(&service).await;
    assert_eq!(said["changed"], json!(["memory.hysteresis", "memory.soft_limit", "slots.queue"]), "{said}");
    heard(&mut events, "\"closed\":null").await;
    assert_eq!(limits(&service).await, [50_000_000_000, 60_000_000_000, 1]);

    // One runs and one waits; the third comes in once more may wait.
    for number in [2, 3] {
        assert_eq!(service.put(&recipe(number)).await.status(), StatusCode::ACCEPTED);
    }
    let full = service.put(&recipe(4)).await;
    assert_eq!(full.status(), StatusCode::TOO_MANY_REQUESTS);
    config.says(wide, "queue = 2\nlookahead = 1");
    reload(&service).await;
    assert_eq!(service.put(&recipe(4)).await.status(), StatusCode::ACCEPTED);

    // What does not fit, or contradicts itself, changes nothing.
    let before = limits(&service).await;
    for (memory, what) in [
        ("soft_limit = \"200MB\"\nhard_limit = \"300MB\"\nhysteresis = \"1MB\"", "300"),
        ("soft_limit = \"61GB\"\nhard_limit = \"60GB\"", "memory.soft_limit"),
    ] {
        config.says(memory, "queue = 9\nlookahead = 1");
        let (status, said) = reload(&service).await;
        assert!(status.is_client_error() && said.to_string().contains(what), "{status} {said}");
        assert_eq!(limits(&service).await, before);
    }
}

#[test]
fn a_node_that_would_be_killed_before_it_has_ended_does_not_start() {
    let run = Command::new(env!("CARGO_BIN_EXE_vortex-node"))
        .args(["serve", "--set", "http.killed_after=30s", "--data-dir", "/nonexistent"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.code() == Some(2) && said.contains("slots.drain") && said.contains("at least 78s"),
        "{said}"
    );
}
