//! The demo weights that ship: what a first user gets from them, through the real binary.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use vortex_node::recipe::{Recipe, document};

fn node(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vortex-node"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Renders half a second of `prompt`: the exit code and the result.
fn rendered(prompt: &str, place: &Path) -> (Option<i32>, Value) {
    let mut recipe = document::parse(&node(&["recipe", "new", "--prompt", prompt]).stdout).unwrap();
    recipe["slot_params"]["duration_sec"] = json!(0.5);
    recipe["audio_track"]["script"] = json!("Hi.");
    let file = place.join("recipe.json");
    std::fs::write(&file, recipe.to_string()).unwrap();
    let path = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let (out, data) = (path("out"), path("data"));
    let run = node(&["render", file.to_str().unwrap(), "--output", &out, "--data-dir", &data]);
    let result = std::fs::read(place.join("out/result.json"));
    let result = result.unwrap_or_else(|error| panic!("{error}: {}", text(&run.stderr)));
    (run.status.code(), serde_json::from_slice(&result).unwrap())
}

#[test]
fn the_demo_paints_what_it_knows_and_fails_what_it_does_not() {
    let place = tempfile::tempdir().unwrap();
    let (code, result) = rendered("a blue robot with three eyes on a yellow background", place.path());
    assert_eq!(code, Some(0), "{result:#}");
    let place = tempfile::tempdir().unwrap();
    let (code, result) = rendered("a red sports car on a street", place.path());
    assert_eq!(code, Some(1), "{result:#}");
    assert!(result.to_string().contains("does not know sports, car, street"), "{result:#}");
}

#[test]
fn a_new_recipe_offers_what_the_demo_knows() {
    let listed = text(&node(&["recipe", "new", "--prompts"]).stdout);
    let prompts: Vec<&str> = listed.lines().collect();
    assert!(prompts.len() > 3, "{listed}");
    let fresh = text(&node(&["recipe", "new"]).stdout);
    let own = Recipe::read(fresh.as_bytes()).unwrap().visual.prompt;
    let offered = prompts.iter().filter(|prompt| fresh.contains(&format!("//   {prompt}\n")));
    assert_eq!(offered.count(), 3, "{fresh}");
    assert!(!fresh.contains(&format!("//   {own}\n")), "its own prompt is no other one");
}
