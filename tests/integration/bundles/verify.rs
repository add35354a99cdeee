//! Synthetic bundles and the fixtures as bundles, checked: sound ones pass, and every kind of damage has its name.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use vortex_node::models::bundle::verify::{self, Standing};
use vortex_node::models::bundle::{Bundle, Card, FileEntry, Image, ModelEntry, Precision, Verification};
use vortex_node::models::catalog;
use vortex_node::models::synth::{self, Profile};
use vortex_node::types::{Bytes, ModelId};

use super::{printed, text, weights};
use crate::support::{fixture_sets, fixtures_root};

fn tiny(folder: &Path, seed: u64) -> Bundle {
    synth::write(folder, &ModelId::ALL, Profile::Tiny, seed, |_| {}).unwrap()
}

fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// What `weights verify --json` answers, and its exit code.
fn verified(folder: &Path, more: &[&str]) -> (Value, Option<i32>) {
    let output = weights(&[&["verify", "--json", text(folder)], more].concat());
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
    (answer, output.status.code())
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_a_sound_bundle() {
    let folders = [0, 1, 2].map(|_| tempfile::tempdir().unwrap());
    let bundle = tiny(folders[0].path(), 7);
    tiny(folders[1].path(), 7);
    tiny(folders[2].path(), 8);
    let [a, b, c] = [0, 1, 2].map(|place| tree(folders[place].path()));
    assert_eq!(a, b);
    assert_ne!(a["kokoro/kokoro-v1_0.safetensors"], c["kokoro/kokoro-v1_0.safetensors"]);
    assert_eq!(Bundle::open(folders[0].path()).unwrap(), bundle);

    let (answer, code) = verified(folders[0].path(), &["--finite"]);
    assert_eq!((code, &answer["ok"]), (Some(0), &Value::Bool(true)), "{answer:#}");
    for network in answer["networks"].as_array().unwrap() {
        assert!(network["asked"].as_u64().unwrap() > 0, "{network:#}");
        assert_eq!(network["surplus"], Value::Array(Vec::new()), "{network:#}");
    }
    let models: std::collections::BTreeSet<&str> =
        answer["networks"].as_array().unwrap().iter().map(|n| n["model"].as_str().unwrap()).collect();
    assert_eq!(models.len(), ModelId::ALL.len(), "{models:?}");
}

#[test]
fn every_kind_of_damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    synth::write(folder.path(), &[ModelId::Kokoro], Profile::Tiny, 1, |_| {}).unwrap();
    let path = folder.path().join("kokoro/kokoro-v1_0.safetensors");
    let sound = std::fs::read(&path).unwrap();
    let header = usize::try_from(u64::from_le_bytes(sound[..8].try_into().unwrap())).unwrap();
    let text = String::from_utf8(sound[8..8 + header].to_vec()).unwrap();
    let entries: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    let (name, _) = entries.iter().next().unwrap();

    let after = |bytes: &[u8], more: &[&str]| {
        std::fs::write(&path, bytes).unwrap();
        let (answer, code) = verified(folder.path(), more);
        assert_eq!(code, Some(1), "{answer:#}");
        answer
    };
    // A value: NaN at the very end.
    let mut damaged = sound.clone();
    let end = damaged.len();
    damaged[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let answer = after(&damaged, &["--finite"]);
    let file = answer["files"].as_array().unwrap().iter().find(|file| file["role"] == "weights").unwrap();
    assert_eq!(file["standing"], "wrong_hash");
    let not_finite = answer["networks"][0]["not_finite"][0].as_str().unwrap();
    assert!(not_finite.contains("is NaN, expected finite numbers"), "{not_finite}");

    // A name: one tensor missing, another surplus.
    let other = format!("{}x", &name[..name.len() - 1]);
    let renamed = text.replacen(&format!("{name:?}"), &format!("{other:?}"), 1);
    let mut damaged = sound.clone();
    damaged[8..8 + header].copy_from_slice(renamed.as_bytes());
    let answer = after(&damaged, &["--no-hash"]);
    let missing = answer["networks"][0]["missing"][0].as_str().unwrap();
    assert!(missing.contains(&format!("tensor {name:?} is missing")), "{missing}");
    assert_eq!(answer["networks"][0]["surplus"][0].as_str(), Some(other.as_str()));

    // The end: cut.
    let answer = after(&sound[..sound.len() - 1], &["--no-hash"]);
    assert!(answer["networks"][0]["error"].as_str().unwrap().contains("truncated"), "{answer:#}");

    // The file: gone.
    std::fs::remove_file(&path).unwrap();
    let (answer, code) = verified(folder.path(), &[]);
    assert_eq!(code, Some(1));
    assert!(
        answer["files"].as_array().unwrap().iter().any(|file| file["standing"] == "unreadable"),
        "{answer:#}"
    );
}

/// Files by role, each hashed as it lies.
fn described(root: &Path, folder: &Path, files: &[(&str, &str)]) -> BTreeMap<String, Vec<FileEntry>> {
    let mut entries = BTreeMap::<String, Vec<FileEntry>>::new();
    for (role, file) in files {
        let path = root.join(folder).join(file);
        let (sha256, _) =
            verify::hash(&path, |_| {}).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = format!("root/{}", Path::new(folder).join(file).display());
        entries.entry((*role).to_owned()).or_default().push(FileEntry::local(path, sha256));
    }
    entries
}

fn entry(precision: Precision, files: BTreeMap<String, Vec<FileEntry>>) -> ModelEntry {
    let (parts, card) = (BTreeMap::new(), Card::default());
    ModelEntry { precision, parts, budget: Bytes::mb(64), card, hub: None, files }
}

#[test]
#[cfg(unix)]
fn every_fixture_can_be_described_as_a_bundle_and_is_sound() {
    let root = std::fs::canonicalize(fixtures_root()).unwrap();
    let inside = |set: &Path| std::fs::canonicalize(set).unwrap().strip_prefix(&root).unwrap().to_owned();
    let has = |name: &'static str| move |set: &Path| set.join(name).exists();
    let mut bundles: Vec<(ModelId, ModelEntry)> = Vec::new();
    for set in fixture_sets("Kokoro", has("kokoro-v1_0.safetensors")) {
        let files = [
            ("config", "config.json"),
            ("weights", "kokoro-v1_0.safetensors"),
            ("voices", "voice.safetensors"),
        ];
        bundles.push((ModelId::Kokoro, entry(Precision::F32, described(&root, &inside(&set), &files))));
    }
    for set in fixture_sets("LivePortrait", has("spade_generator.safetensors")) {
        let files = [
            ("config", "models.yaml"),
            ("appearance_feature_extractor", "appearance_feature_extractor.safetensors"),
            ("motion_extractor", "motion_extractor.safetensors"),
            ("warping_module", "warping_module.safetensors"),
            ("spade_generator", "spade_generator.safetensors"),
            ("stitching_retargeting_module", "stitching_retargeting_module.safetensors"),
        ];
        bundles.push((ModelId::LivePortrait, entry(Precision::F32, described(&root, &inside(&set), &files))));
    }
    let tokenizers = fixture_sets("tokenizers", has("tokenizer_2/tokenizer.json"));
    let tokenizer = |role: &str, file: &str| described(&root, &inside(&tokenizers[0]), &[(role, file)]);
    for set in fixture_sets("Flux", has("flux1-schnell.safetensors")) {
        let files = [
            ("config", "config.json"),
            ("scheduler", "scheduler/scheduler_config.json"),
            ("transformer", "flux1-schnell.safetensors"),
            ("vae", "ae.safetensors"),
            ("text_encoder", "text_encoder/model.safetensors"),
            ("text_encoder_config", "text_encoder/config.json"),
            ("text_encoder_2", "text_encoder_2/model.safetensors"),
            ("text_encoder_2_config", "text_encoder_2/config.json"),
        ];
        let mut files = described(&root, &inside(&set), &files);
        files.extend(tokenizer("tokenizer", "tokenizer/tokenizer.json"));
        files.extend(tokenizer("tokenizer_2", "tokenizer_2/tokenizer.json"));
        bundles.push((ModelId::Flux, entry(Precision::F32, files)));
    }
    let is_clip = |set: &Path| {
        let config = std::fs::read_to_string(set.join("config.json")).unwrap_or_default();
        set.join("model.safetensors").exists() && config.contains("\"CLIPModel\"")
    };
    let preprocess = fixture_sets("CLIP preprocessing", has("preprocessor_config.json"));
    for set in fixture_sets("CLIP", is_clip) {
        let files = [("config", "config.json"), ("model", "model.safetensors")];
        let mut files = described(&root, &inside(&set), &files);
        files.extend(tokenizer("tokenizer", "tokenizer/tokenizer.json"));
        files.extend(described(
            &root,
            &inside(&preprocess[0]),
            &[("preprocessor", "preprocessor_config.json")],
        ));
        bundles.push((ModelId::ClipB, entry(Precision::F32, files)));
    }
    assert!(!bundles.is_empty());
    for (model, entry) in bundles {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(&root, folder.path().join("root")).unwrap();
        let bundle = Bundle {
            folder: folder.path().to_owned(),
            name: "fixture".into(),
            summary: None,
            verification: Verification::default(),
            image: Image::default(),
            models: BTreeMap::from([(model, entry)]),
            lock: None,
        };
        std::fs::write(folder.path().join("bundle.toml"), bundle.to_toml()).unwrap();
        let bundle = Bundle::open(folder.path()).unwrap();
        for file in verify::files(&bundle, &[model], |_| {}) {
            assert!(matches!(file.standing, Standing::Sound), "{file:?}");
        }
        assert!(!catalog::networks(&bundle, model).unwrap().is_empty(), "{model} lists no network");
        for network in verify::networks(&bundle, &[model], true) {
            let misfits =
                network.outcome.unwrap_or_else(|error| panic!("{}: {}", network.role, error.chain()));
            assert!(misfits.is_usable(), "{model} {}: {misfits:#?}", network.role);
            assert!(network.not_finite.is_empty() && network.asked > 0);
        }
    }
}

#[test]
fn a_bundle_that_describes_nothing_is_bad_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.toml");
    std::fs::write(&path, "name = \"x\"\n[models.kokoro]\nprecision = \"f16\"\n").unwrap();
    for command in ["verify", "info", "pull"] {
        let output = weights(&[command, text(&path)]);
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(2), "{printed}");
        assert!(
            printed.contains("models.kokoro.precision: found \"f16\", expected a precision"),
            "{printed}"
        );
        assert!(printed.contains("models.kokoro.budget: found nothing"), "{printed}");
    }
}
