//! `result verify` and `result show` through the real binary, on a folder that the library wrote.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use vortex_node::journal::{Artifact, Failure};
use vortex_node::recipe::{Recipe, document, example};
use vortex_node::sink::{self, BundleRef, Manifest, NodeReport, Outcome, PublicKey, RecipeRef};
use vortex_node::types::{Bytes, DeviceId, Sha256, Stage};

fn node(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vortex-node")).args(arguments).output().unwrap()
}

/// A slot that failed after its picture.
fn write(dir: &Path) -> PublicKey {
    let text = example::text();
    let recipe = Recipe::read(text.as_bytes()).unwrap();
    let mut artifacts = Vec::new();
    for (name, bytes) in [("recipe.json", text.as_bytes()), ("actor.png", b"picture")] {
        fs::write(dir.join(name), bytes).unwrap();
        let (sha256, bytes) = (Sha256::of(bytes), Bytes::new(bytes.len() as u64));
        artifacts.push(Artifact { name: name.into(), sha256, bytes });
    }
    let key = sink::node_key(&dir.join("data/node.key")).unwrap();
    let id = PublicKey(key.verifying_key().to_bytes());
    let manifest = Manifest {
        version: sink::VERSION,
        trace_id: None,
        recipe_id: recipe.slot(),
        outcome: Outcome::Failed {
            cause: Failure::Timeout,
            stage: Some(Stage::Video),
            message: "the video stage took longer than 10.0s".into(),
            reasons: vec![],
        },
        recipe: RecipeRef { sha256: Sha256::of(&document::canonical(recipe.document())) },
        bundle: BundleRef { name: "demo".into(), sha256: Sha256::of(b"bundle"), lock_sha256: None },
        artifacts,
        verification: None,
        stages: vec![],
        elapsed: 12.5,
        deadline: Some(1_800_000_000),
        deadline_met: false,
        models: vec![],
        frames: None,
        warnings: vec![],
        node: NodeReport {
            id,
            version: "0.1.0".into(),
            device: DeviceId::Cpu,
            profile: "cpu".into(),
            threads: 2,
            frame_batch: 4,
        },
        rendered_at: 1_800_000_000,
    };
    sink::write(dir, &manifest, &key).unwrap();
    id
}

#[test]
fn a_result_is_verified_and_shown_and_a_changed_byte_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let key = write(folder.path()).to_string();
    let good = node(&["result", "verify", dir, "--key", &key]);
    let text = String::from_utf8(good.stdout).unwrap();
    assert_eq!(good.status.code(), Some(0), "{text}");
    assert!(text.contains("holds") && text.contains(&key), "{text}");

    let shown = String::from_utf8(node(&["result", "show", dir]).stdout).unwrap();
    assert!(shown.contains("failed in 12.5 s") && shown.contains("timeout in the video stage"), "{shown}");
    let json: Value = serde_json::from_slice(&node(&["result", "show", dir, "--json"]).stdout).unwrap();
    assert_eq!(json["outcome"]["status"], "failed");

    let stranger = node(&["result", "verify", dir, "--key", &"ab".repeat(32)]);
    assert_eq!(stranger.status.code(), Some(1));
    assert_eq!(node(&["result", "verify", dir, "--key", "ab"]).status.code(), Some(2));

    fs::write(folder.path().join("actor.png"), b"Picture").unwrap();
    let bad = node(&["result", "verify", dir, "--json"]);
    assert_eq!(bad.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!((&json["ok"], &json["problems"][0]["file"]), (&Value::from(false), &Value::from("actor.png")));

    let empty = tempfile::tempdir().unwrap();
    let none = node(&["result", "verify", empty.path().to_str().unwrap()]);
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8(none.stderr).unwrap().contains("holds no result.json"));
}
