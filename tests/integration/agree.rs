//! `agree` through the real binary, on results that several nodes' keys have signed.

use std::fs;
use std::path::Path;
use std::process::Output;

use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use vortex_node::journal::Artifact;
use vortex_node::recipe::{Recipe, document, example};
use vortex_node::sink::{self, BundleRef, Frames, Manifest, NodeReport, Outcome, PublicKey, RecipeRef};
use vortex_node::types::{Bytes, DeviceId, Resolution, Sha256};

use crate::support::lone_binary;

/// Node `node` has rendered the example into `folder`, and its check saw the direction `degrees`.
fn render(folder: &Path, node: u8, degrees: f64, video: &[u8]) -> PublicKey {
    let recipe = Recipe::read(example::text().as_bytes()).unwrap();
    let artifact = |(name, bytes): (&str, &[u8])| Artifact {
        name: name.to_owned(),
        sha256: Sha256::of(bytes),
        bytes: Bytes::new(bytes.len() as u64),
    };
    let files: [(&str, &[u8]); 4] = [
        ("video.mp4", video),
        ("audio.wav", b"sound"),
        ("actor.png", b"picture"),
        ("keyframes/00000.png", b"one"),
    ];
    let verdict = json!({
        "passed": true, "clip_b": 0.8, "clip_l": 0.8, "ensemble": 0.8, "outlier": false,
        "concepts": [], "reasons": [], "warnings": [],
        "thresholds": { "clip_b": 0.7, "clip_l": 0.72, "weight_b": 0.5, "weight_l": 0.5, "outlier": 0.15 },
        "embedding": [degrees.to_radians().cos(), degrees.to_radians().sin()],
    });
    let key = SigningKey::from_bytes(&[node; 32]);
    let id = PublicKey(key.verifying_key().to_bytes());
    let manifest = Manifest {
        version: sink::VERSION,
        trace_id: None,
        recipe_id: recipe.slot(),
        outcome: Outcome::Completed,
        recipe: RecipeRef { sha256: Sha256::of(&document::canonical(recipe.document())) },
        bundle: BundleRef { name: "demo".into(), sha256: Sha256::of(b"bundle"), lock_sha256: None },
        artifacts: files.into_iter().map(artifact).collect(),
        verification: Some(serde_json::from_value(verdict).unwrap()),
        stages: vec![],
        elapsed: 9.5,
        deadline: None,
        deadline_met: true,
        models: vec![],
        frames: Some(Frames {
            resolution: Resolution::new(512, 512).unwrap(),
            fps: 24,
            total: 24,
            rendered: 24,
            reused: 0,
            blended: 0,
            batch: 4,
            keyframes: vec![0],
            plan_sha256: Sha256::of(b"plan"),
        }),
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
    fs::create_dir_all(folder).unwrap();
    sink::write(folder, &manifest, &key).unwrap();
    id
}

fn agree(folder: &Path, arguments: &[&str]) -> Output {
    lone_binary().current_dir(folder).arg("agree").args(arguments).output().unwrap()
}

fn told(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn three_of_five_nodes_agree_and_a_forged_result_counts_for_nobody() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let render = |name: &str, node, degrees, video: &[u8]| render(&folder.join(name), node, degrees, video);
    let ids = [
        render("a", 1, 0.0, b"frames"),
        render("b", 2, 1.0, b"frames"),
        render("c", 3, 2.0, b"frames."),
        render("d", 4, 90.0, b"noise"),
        render("e", 5, 60.0, b"noise"),
    ];
    let all = ["a", "b", "c/result.json", "d", "e"];
    let good = agree(folder, &all);
    let text = String::from_utf8(good.stdout).unwrap();
    assert_eq!(good.status.code(), Some(0), "{text}");
    assert!(
        text.contains("agreement: 3 of 5 results agree, 3 are needed; 2 of them are the same, 2 have"),
        "{text}"
    );
    let lines = |label: &str| text.lines().filter(|line| line.starts_with(label)).count();
    assert_eq!((lines("agrees "), lines("apart "), lines("refused ")), (3, 2, 0), "{text}");
    assert!(text.contains("0.99985") && !text.contains('\u{1b}'), "{text}");

    let known = ids.map(|id| id.to_string()).join(",");
    let good = agree(folder, &[&all[..], &["--json", "--known", &known]].concat());
    assert_eq!(good.status.code(), Some(0));
    let answer = told(&good);
    assert_eq!(
        (&answer["ok"], &answer["in_group"], &answer["identical_videos"]),
        (&json!(true), &json!(3), &json!(2))
    );
    assert_eq!(
        (answer["results"].as_array().unwrap().len(), answer["pairs"].as_array().unwrap().len()),
        (5, 10)
    );
    let group = answer["results"].as_array().unwrap().iter().filter(|it| it["in_group"] == true);
    let mut paths: Vec<&str> = group.map(|it| it["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["a", "b", "c/result.json"]);

    let path = folder.join("b/result.json");
    let mut forged = fs::read_to_string(&path).unwrap();
    let at = forged.find("\"elapsed\": 9.5").unwrap() + "\"elapsed\": ".len();
    forged.replace_range(at..=at, "8");
    fs::write(&path, forged).unwrap();
    let bad = agree(folder, &[&all[..], &["--json"]].concat());
    assert_eq!(bad.status.code(), Some(1));
    let answer = told(&bad);
    assert_eq!((&answer["ok"], &answer["in_group"]), (&json!(false), &json!(2)));
    assert_eq!(
        (&answer["refused"][0]["path"], &answer["refused"][0]["reason"]),
        (&json!("b"), &json!("unsigned"))
    );
    let text = String::from_utf8(agree(folder, &all).stdout).unwrap();
    assert!(text.contains("refused  b: its signature is not node"), "{text}");
    assert!(text.contains("no agreement: 2 of 5"), "{text}");
    assert_eq!(agree(folder, &[&all[..], &["--needs", "2"]].concat()).status.code(), Some(0));
}

#[test]
fn what_is_no_question_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    render(&folder.join("a"), 1, 0.0, b"frames");
    fs::create_dir(folder.join("empty")).unwrap();
    for (arguments, part) in [
        (&["a", "nowhere"][..], "nowhere cannot be read"),
        (&["empty"], "result.json cannot be read"),
        (&[], "RESULT"),
        (&["a", "--cosine", "1"], "such as 0.95"),
        (&["a", "--cosine", "NaN"], "such as 0.95"),
        (&["a", "--needs", "0"], "--needs"),
        (&["a", "--needs", "33"], "at most 32"),
        (&["a", "--known", "ab"], "64 hexadecimal digits"),
    ] {
        let refused = agree(folder, arguments);
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(part) && refused.stdout.is_empty(), "{arguments:?}: {error}");
    }
    fs::write(folder.join("text"), "no result").unwrap();
    let alone = agree(folder, &["a", "text", "--needs", "1"]);
    assert_eq!(
        alone.status.code(),
        Some(0),
        "what is no result counts for nobody, and the others are judged"
    );
}
