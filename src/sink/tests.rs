//! Results that hold, and everything that keeps one from holding.

use std::fs;
use std::path::Path;

use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::contract::{UnitEmbedding, Warning};
use crate::journal::{Artifact, Failure};
use crate::recipe::{Recipe, document, example};
use crate::types::{Bytes, DeviceId, ModelId, Resolution, Sha256, Stage};
use crate::verify::{Reason, Thresholds, Verdict};

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("recipe.json", example::text().into()),
        ("audio.wav", b"sound".to_vec()),
        ("actor.png", b"picture".to_vec()),
        ("keyframes/00000.png", b"first".to_vec()),
        ("keyframes/00119.png", b"last".to_vec()),
        ("video.mp4", b"frames".to_vec()),
    ]
}

fn verdict() -> Verdict {
    let thresholds = Thresholds::default();
    let (clip_b, clip_l) = (0.1 + 0.65, 2.5 / 3.0);
    Verdict {
        passed: true,
        clip_b,
        clip_l,
        ensemble: thresholds.weight_b * clip_b + thresholds.weight_l * clip_l,
        outlier: false,
        concepts: vec![],
        reasons: vec![],
        warnings: vec![],
        thresholds,
        embedding: UnitEmbedding::normalise(vec![0.1, -0.7, 1e-7, 0.333]).unwrap(),
    }
}

fn manifest() -> Manifest {
    let recipe = Recipe::read(example::text().as_bytes()).unwrap();
    let artifact = |(name, bytes): (&str, Vec<u8>)| Artifact {
        name: name.to_owned(),
        sha256: Sha256::of(&bytes),
        bytes: Bytes::new(bytes.len() as u64),
    };
    let stage = |stage, began, ended| {
        let memory = Memory { before: Bytes::mb(1), peak: Bytes::mb(3), after: Bytes::mb(2) };
        StageReport { stage, resumed: false, began, ended, attempts: 1, memory: Some(memory) }
    };
    Manifest {
        version: VERSION,
        trace_id: None,
        recipe_id: recipe.slot(),
        outcome: Outcome::Completed,
        recipe: RecipeRef { sha256: Sha256::of(&document::canonical(recipe.document())) },
        bundle: BundleRef { name: "demo".into(), sha256: Sha256::of(b"bundle"), lock_sha256: None },
        artifacts: files().into_iter().map(artifact).collect(),
        verification: Some(verdict()),
        stages: vec![stage(Stage::Audio, 0.0, 1.25), stage(Stage::Video, 1.25, 9.0)],
        elapsed: 9.5,
        deadline: Some(1_800_000_100),
        deadline_met: true,
        models: vec![ModelReport { model: ModelId::Flux, attempts: 1, restarts: 0 }],
        frames: Some(Frames {
            resolution: Resolution::new(512, 512).unwrap(),
            fps: 24,
            total: 120,
            rendered: 80,
            reused: 20,
            blended: 20,
            batch: 4,
            keyframes: vec![0, 119],
            plan_sha256: Sha256::of(b"plan"),
        }),
        warnings: vec![Warning::new("odd", "something")],
        node: NodeReport {
            id: PublicKey([0; 32]),
            version: "0.1.0".into(),
            device: DeviceId::Cpu,
            profile: "cpu".into(),
            threads: 2,
            frame_batch: 4,
        },
        rendered_at: 1_800_000_000,
    }
}

fn folder(manifest: &Manifest) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("keyframes")).unwrap();
    for (name, bytes) in files() {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    write(dir.path(), manifest, &key()).unwrap();
    dir
}

fn problems(dir: &Path) -> Vec<String> {
    verify(dir, None).unwrap().problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_result_holds_and_says_who_signed_it() {
    let dir = folder(&manifest());
    let found = verify(dir.path(), None).unwrap();
    assert!(found.is_good() && found.warnings.is_empty(), "{found:#?}");
    let node = PublicKey(key().verifying_key().to_bytes());
    let mut expected = manifest();
    expected.node.id = node;
    assert_eq!(found.manifest.as_ref(), Some(&expected));
    assert_eq!(read(dir.path()).unwrap(), expected);
    assert!(verify(dir.path(), Some(node)).unwrap().is_good());
    let other = verify(dir.path(), Some(PublicKey([9; 32]))).unwrap();
    assert!(other.problems[0].what.contains("not node 0909"), "{other:?}");
}

#[test]
fn a_changed_byte_anywhere_is_found_and_its_file_named() {
    let dir = folder(&manifest());
    let names = files().into_iter().map(|(name, _)| name).chain([FILE_NAME]);
    for name in names {
        let path = dir.path().join(name);
        let good = fs::read(&path).unwrap();
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1 << (place % 7);
            fs::write(&path, &bad).unwrap();
            let found = verify(dir.path(), None).unwrap();
            assert!(
                found.problems.iter().any(|problem| problem.file == name),
                "{name}, byte {place}: {found:?}"
            );
        }
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(problems(dir.path()).iter().any(|problem| problem.starts_with(name)), "{name}, cut");
        fs::write(&path, good).unwrap();
    }
    assert_eq!(problems(dir.path()), [""; 0]);
}

#[test]
fn a_result_without_its_files_holds_by_its_signature_alone() {
    let text = text(&sign(&manifest(), &key()).unwrap());
    let mut expected = manifest();
    expected.node.id = PublicKey(key().verifying_key().to_bytes());
    assert_eq!(signed(&text), Ok(expected.clone()));
    assert_eq!(contradictions(&expected), []);
    for place in 0..text.len() {
        let mut bad = text.clone().into_bytes();
        bad[place] ^= 1 << (place % 7);
        let bad = String::from_utf8_lossy(&bad);
        assert!(signed(&bad).is_err(), "byte {place}: {bad}");
    }
    assert!(matches!(signed(""), Err(Unsigned::NoDocument(_))));
    assert!(matches!(signed("{}\n"), Err(Unsigned::NoNode(_))));
    assert_eq!(signed(&format!("{text} ")), Err(Unsigned::Layout));
    let contradictory = Manifest { verification: None, ..expected };
    assert!(contradictions(&contradictory)[0].what.contains("was not passed"));
}

#[test]
fn a_missing_file_a_foreign_one_and_a_missing_result_are_told_apart() {
    let dir = folder(&manifest());
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    fs::write(dir.path().join("keyframes/00003.png"), "older").unwrap();
    fs::create_dir(dir.path().join("journal")).unwrap();
    let found = verify(dir.path(), None).unwrap();
    let beside: Vec<&str> = found.warnings.iter().map(|problem| problem.file.as_str()).collect();
    assert!(found.is_good());
    assert_eq!(beside, ["keyframes/00003.png", "notes.txt"]);
    fs::remove_file(dir.path().join("video.mp4")).unwrap();
    assert_eq!(problems(dir.path()), ["video.mp4: it is missing"]);
    fs::create_dir(dir.path().join("video.mp4")).unwrap();
    assert_eq!(problems(dir.path()), ["video.mp4: it is no regular file"]);
    fs::remove_file(dir.path().join(FILE_NAME)).unwrap();
    assert!(matches!(verify(dir.path(), None), Err(NoResult::Missing(_))));
    assert!(matches!(read(&dir.path().join("nowhere")), Err(NoResult::Missing(_))));
    fs::write(dir.path().join(FILE_NAME), "{}").unwrap();
    assert!(problems(dir.path()).iter().any(|problem| problem.contains("format version none")));
    assert!(read(dir.path()).is_err());
}

/// A node can sign nonsense; it is told all the same.
#[test]
fn what_contradicts_itself_does_not_hold_whoever_signed_it() {
    type Change = (&'static str, fn(&mut Manifest));
    let changes: Vec<Change> = vec![
        ("with 0 reasons", |m| m.verification.as_mut().unwrap().passed = false),
        ("with 1 reasons", |m| {
            let reason = Reason::EnsembleTooLow { score: 0.1, least: 0.2 };
            m.verification.as_mut().unwrap().reasons.push(reason);
        }),
        ("its parts make", |m| m.verification.as_mut().unwrap().ensemble += 1e-6),
        ("outlier flag", |m| m.verification.as_mut().unwrap().outlier = true),
        ("has length", |m| {
            m.verification.as_mut().unwrap().embedding = serde_json::from_str("[0.5, 0.5]").unwrap();
        }),
        ("was not passed", |m| m.verification = None),
        ("is rejected, but", |m| {
            let (cause, message) = (Failure::Rejected, "no".to_owned());
            m.outcome = Outcome::Failed { cause, stage: None, message, reasons: vec![] };
        }),
        ("reasons are not those", |m| {
            let (cause, message) = (Failure::Timeout, "no".to_owned());
            m.outcome = Outcome::Failed { cause, stage: None, message, reasons: vec!["ugly".into()] };
        }),
        ("said to be missed", |m| m.deadline_met = false),
        ("said to be met", |m| m.deadline = Some(m.rendered_at - 10)),
        ("no deadline is named", |m| (m.deadline, m.deadline_met) = (None, false)),
        ("does not lie within", |m| m.stages[1].ended = 10.0),
        ("does not lie within", |m| m.stages[1].began = 9.1),
        ("stands twice", |m| m.artifacts.push(m.artifacts[0].clone())),
        ("video.mp4 is no artifact", |m| m.artifacts.retain(|artifact| artifact.name != "video.mp4")),
        ("00000.png: it is no artifact", |m| drop(m.artifacts.remove(3))),
        ("00119.png: it is not named", |m| m.frames.as_mut().unwrap().keyframes.truncate(1)),
        ("beyond the video's 119", |m| m.frames.as_mut().unwrap().total = 119),
        ("it is another recipe", |m| m.recipe.sha256 = Sha256::of(b"other")),
        ("recipe_id is", |m| m.recipe_id = crate::types::SlotId::new(uuid::Uuid::nil())),
        ("leads out of", |m| m.artifacts[1].name = "../audio.wav".into()),
        ("leads out of", |m| m.artifacts[1].name = "/etc/passwd".into()),
        ("format version 2", |m| m.version = 2),
    ];
    for (expected, change) in changes {
        let mut wrong = manifest();
        change(&mut wrong);
        let found = problems(folder(&wrong).path());
        assert!(found.iter().any(|problem| problem.contains(expected)), "{expected}: {found:?}");
    }
}

#[test]
fn a_failed_slot_with_its_reasons_holds_too() {
    let mut failed = manifest();
    let verdict = failed.verification.as_mut().unwrap();
    let reason = Reason::EnsembleTooLow { score: verdict.ensemble, least: 0.9 };
    (verdict.passed, verdict.reasons) = (false, vec![reason.clone()]);
    let reasons = vec![reason.to_string()];
    let message = "the check was not passed".to_owned();
    failed.outcome =
        Outcome::Failed { cause: Failure::Rejected, stage: Some(Stage::Verify), message, reasons };
    failed.deadline_met = false;
    assert_eq!(problems(folder(&failed).path()), [""; 0]);
}

#[test]
fn the_nodes_key_is_made_once_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data/node.key");
    let made = node_key(&path).unwrap();
    assert_eq!(node_key(&path).unwrap().to_bytes(), made.to_bytes());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&path, "no key").unwrap();
    assert!(node_key(&path).is_err(), "a key is never made anew over what stands there");
}

proptest! {
    #[test]
    fn signatures_hold_over_any_numbers(
        values in prop::collection::vec(any::<f32>().prop_filter("finite", |value| value.is_finite()), 1..40),
        scores in prop::array::uniform3(any::<f64>().prop_filter("finite", |value| value.is_finite())),
    ) {
        let mut manifest = manifest();
        let verdict = manifest.verification.as_mut().unwrap();
        [verdict.clip_b, verdict.clip_l, verdict.ensemble] = scores;
        let Some(embedding) = UnitEmbedding::normalise(values) else { return Ok(()) };
        verdict.embedding = embedding;
        let text = text(&sign(&manifest, &key()).unwrap());
        let mut document = document::exact(&text).unwrap();
        prop_assert_eq!(signature::text(&document), text);
        let node = PublicKey(key().verifying_key().to_bytes());
        prop_assert_eq!(signature::check(&mut document, node), Ok(()));
        manifest.node.id = node;
        prop_assert_eq!(serde_json::from_value::<Manifest>(document).unwrap(), manifest);
    }
}
