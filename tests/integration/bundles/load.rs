//! Every model loaded from a bundle as the node would, its canary heard.

use serde_json::Value;
use vortex_node::models::synth::{self, Profile};
use vortex_node::types::ModelId;

use super::{printed, text, weights};

fn loaded(folder: &std::path::Path) -> (Value, Option<i32>) {
    let output = weights(&["load", "--json", text(folder)]);
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
    (answer, output.status.code())
}

#[test]
fn every_model_of_a_bundle_loads_and_passes_its_canary() {
    let folder = tempfile::tempdir().unwrap();
    synth::write(folder.path(), &ModelId::ALL, Profile::Tiny, 11, |_| {}).unwrap();
    let (answer, code) = loaded(folder.path());
    assert_eq!((code, &answer["ok"]), (Some(0), &Value::Bool(true)), "{answer:#}");
    for (model, found) in ModelId::ALL.iter().zip(answer["models"].as_array().unwrap()) {
        assert_eq!(found["model"], model.name());
        assert!(found["resident"].as_u64().unwrap() > 0, "{found:#}");
    }

    let output = weights(&["load", "--device", "cuda:63", "--models", "kokoro", text(folder.path())]);
    let said = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("kokoro") && said.contains("cuda:63 cannot be used: "), "{said}");

    // One model's file is cut short: it says so, the others load.
    let broken = folder.path().join("kokoro/kokoro-v1_0.safetensors");
    let bytes = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let (answer, code) = loaded(folder.path());
    assert_eq!(code, Some(1));
    for found in answer["models"].as_array().unwrap() {
        let is_broken = found["model"] == "kokoro";
        assert_eq!(found["ok"], Value::Bool(!is_broken), "{found:#}");
        assert!(
            !is_broken || found["error"].as_str().unwrap().contains("kokoro-v1_0.safetensors"),
            "{found:#}"
        );
    }
}
