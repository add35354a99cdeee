//! A bundle that no restart mends, through the built binary: the cause and the code at once, and no second try.

use std::path::Path;
use std::process::{Command, Output};

use vortex_node::models::bundle::Bundle;
use vortex_node::models::synth::{self, Profile};
use vortex_node::recipe::example;
use vortex_node::types::ModelId;

use super::{printed, text, weights};

fn render(bundle: &Path, place: &Path) -> Output {
    let recipe = place.join("recipe.json");
    std::fs::write(&recipe, example::text()).unwrap();
    Command::new(env!("CARGO_BIN_EXE_vortex-node"))
        .arg("render")
        .arg(&recipe)
        .args(["--profile", "cpu", "--bundle", text(bundle), "-o", text(&place.join("out"))])
        .args(["--data-dir", text(&place.join("data"))])
        .env_clear()
        .output()
        .unwrap()
}

/// Replaces a file of a fresh bundle and shows what `weights verify`, `weights load` and `render` say of it.
fn assert_refused(model: ModelId, role: &str, name: &str, content: &[u8], told: &str) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("bundle");
    let mut bundle = synth::write(&folder, &ModelId::ALL, Profile::Tiny, 1, |_| {}).unwrap();
    let file = &mut bundle.models.get_mut(&model).unwrap().files.get_mut(role).unwrap()[0];
    let path = Path::new(&file.path).with_file_name(name);
    std::fs::write(folder.join(&path), content).unwrap();
    file.path = path.to_str().unwrap().to_owned();
    file.sha256 = Some(vortex_node::types::Sha256::of(content));
    std::fs::write(folder.join("bundle.toml"), bundle.to_toml()).unwrap();
    Bundle::open(&folder).unwrap();

    for command in ["verify", "load"] {
        let answer = weights(&[command, text(&folder), "--models", model.name()]);
        assert_eq!(answer.status.code(), Some(1), "{command}: {}", printed(&answer));
        assert!(printed(&answer).contains(told), "{command}: {}", printed(&answer));
    }
    let rendered = render(&folder, place.path());
    let said = printed(&rendered);
    assert_eq!(rendered.status.code(), Some(2), "{said}");
    assert!(said.contains(told), "{said}");
    assert!(!said.contains("started again") && !said.contains("start the process again"), "{said}");
    assert!(!place.path().join("out/result.json").exists());
}

#[test]
fn a_tokenizer_that_cannot_be_read_ends_the_node_at_once() {
    assert_refused(ModelId::ClipB, "tokenizer", "vocab.json", br#"{"a": 0}"#, "merges.txt");
    let damaged = b"\n\x0e\n\x05<pad>\x15\0\0\0\0\x18\x03".repeat(5);
    assert_refused(ModelId::Flux, "tokenizer_2", "spiece.model", &damaged, "twice");
}

#[test]
fn a_tokenizer_of_another_encoder_ends_the_node_at_once() {
    let place = tempfile::tempdir().unwrap();
    let bundle = synth::write(place.path(), &[ModelId::Flux], Profile::Tiny, 1, |_| {}).unwrap();
    let own = std::fs::read(&bundle.paths(ModelId::Flux, "tokenizer_2")[0]).unwrap();
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&own).unwrap();
    let vocabulary = &mut tokenizer["model"]["vocab"];
    match vocabulary {
        serde_json::Value::Array(pieces) => {
            (pieces.len()..=60_000).for_each(|id| pieces.push(serde_json::json!([format!("<{id}>"), 0.0])));
        }
        serde_json::Value::Object(words) => drop(words.insert("<far>".to_owned(), serde_json::json!(60_000))),
        other => panic!("{other}"),
    }
    let content = tokenizer.to_string();
    assert_refused(ModelId::Flux, "tokenizer_2", "tokenizer.json", content.as_bytes(), "T5's vocab_size");
}

#[test]
fn weights_that_are_no_weights_end_the_node_at_once() {
    assert_refused(ModelId::LivePortrait, "motion_extractor", "m.safetensors", b"\0", "at least 10");
    assert_refused(ModelId::Flux, "transformer", "flux.gguf", b"GGUF", "no usable GGUF file");
}
