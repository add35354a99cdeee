//! The published schema against a validator that nobody here wrote, and the commands through the real binary.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use vortex_node::recipe::{Recipe, document, example, schema};

use crate::support::skip;

/// For every document given on standard input, in a list after the schema: is it valid?
const VALIDATOR: &str = r#"
import json, sys
from jsonschema import Draft202012Validator
schema, documents = json.load(sys.stdin)
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
print(json.dumps([validator.is_valid(document) for document in documents]))
"#;

/// The example with the value at `pointer` replaced, or removed.
fn with(pointer: &str, value: Option<Value>) -> Value {
    let mut document = document::parse(example::text().as_bytes()).unwrap();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    document
}

fn validate(documents: &[Value]) -> Option<Vec<bool>> {
    use std::io::Write;
    let python = std::env::var_os("VORTEX_PYTHON").unwrap_or_else(|| "python3".into());
    let has_validator =
        Command::new(&python).args(["-c", "import jsonschema"]).stderr(Stdio::null()).status();
    if !has_validator.is_ok_and(|status| status.success()) {
        skip("python3 with jsonschema");
        return None;
    }
    let mut child = Command::new(python)
        .args(["-c", VALIDATOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(json!([schema::schema(), documents]).to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_published_schema_accepts_and_refuses_what_the_checks_do() {
    let long = |length: usize| Some(Value::from("x".repeat(length)));
    let documents = [
        document::parse(example::text().as_bytes()).unwrap(),
        with("/seed", Some(json!(7))),
        with("/audio_track/speed", None),
        with("/semantic_constraints", None),
        with("/recipe_id", Some(json!("slot-1"))),
        with("/version", Some(json!("1.0.0"))),
        with("/slot_params", None),
        with("/slot_params/slot_number", Some(json!(1.5))),
        with("/slot_params/duration_sec", Some(json!(0))),
        with("/slot_params/duration_sec", Some(json!(45.01))),
        with("/slot_params/resolution", Some(json!("512"))),
        with("/slot_params/fps", Some(json!(61))),
        with("/slot_params/frames", Some(json!(61))),
        with("/audio_track/script", Some(json!(" \n "))),
        with("/audio_track/script", long(20_001)),
        with("/audio_track/speed", Some(json!(0.5))),
        with("/audio_track/emotion", Some(json!("exited"))),
        with("/visual_track/prompt", None),
        with("/visual_track/promt", Some(json!("x"))),
        with("/visual_track/motion_preset", Some(json!("nodding"))),
        with("/visual_track/expression_sequence", Some(json!([]))),
        with("/visual_track/expression_sequence", Some(json!(["happy"]))),
        with("/semantic_constraints/min_clip_score", Some(json!(3))),
        with("/semantic_constraints/banned_concepts", Some(json!("cat"))),
        with("/security", Some(json!({}))),
        with("/seed", Some(json!(1u64 << 53))),
        with("/deadline", Some(json!(-1))),
        with("/seed", Some(json!(null))),
        with("/deadline", Some(json!(null))),
        with("/security", Some(json!(null))),
        with("/semantic_constraints", Some(json!(null))),
        with("/semantic_constraints/banned_concepts", Some(json!(null))),
        with("/audio_track/speed", Some(json!(null))),
        with("/visual_track/negative_prompt", Some(json!(null))),
        with("/visual_track/expression_sequence", Some(json!(null))),
        with("/audio_track/script", Some(json!(null))),
        with("/slot_params/fps", Some(json!(null))),
    ];
    let ours: Vec<bool> = documents.iter().map(|d| Recipe::read(d.to_string().as_bytes()).is_ok()).collect();
    assert_eq!(ours.iter().filter(|valid| **valid).count(), 12);
    if let Some(theirs) = validate(&documents) {
        for ((document, ours), theirs) in documents.iter().zip(ours).zip(theirs) {
            assert_eq!(ours, theirs, "{document}");
        }
    }
}

fn node(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_vortex-node")).args(arguments).output().unwrap()
}

#[test]
fn a_new_recipe_is_signed_checked_and_verified_by_commands() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (recipe, key) = (path("slot.json"), path("director.key"));
    assert_eq!(node(&["recipe", "new", &recipe]).status.code(), Some(0));
    assert_eq!(
        node(&["recipe", "new", &recipe]).status.code(),
        Some(1),
        "an existing recipe was overwritten"
    );
    assert_eq!(node(&["recipe", "check", &recipe]).status.code(), Some(0));
    assert_eq!(node(&["recipe", "verify", &recipe]).status.code(), Some(1), "an unsigned recipe passed");
    assert_eq!(node(&["recipe", "keygen", &key]).status.code(), Some(0));
    assert_eq!(node(&["recipe", "sign", &recipe, "--key", &key, "-o", &recipe]).status.code(), Some(0));
    assert_eq!(node(&["recipe", "verify", &recipe]).status.code(), Some(0));

    let signed = std::fs::read_to_string(&recipe).unwrap();
    std::fs::write(&recipe, signed.replace("\"fps\": 24", "\"fps\": 25")).unwrap();
    let changed = node(&["recipe", "verify", &recipe]);
    assert_eq!(changed.status.code(), Some(1));
    assert!(String::from_utf8(changed.stderr).unwrap().contains("changed after signing"));

    std::fs::write(&recipe, signed.replace("\"fps\": 24", "\"fps\": 99")).unwrap();
    let checked = node(&["recipe", "check", &recipe]);
    assert_eq!(checked.status.code(), Some(2));
    assert!(
        String::from_utf8(checked.stdout)
            .unwrap()
            .contains("slot_params.fps: 99 is not accepted; accepted: an integer from 1 to 60")
    );
}

#[test]
fn a_check_refuses_what_no_node_would_render() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, pointer: &str, value: Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, with(pointer, Some(value)).to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let bundle = folder.path().join("bundle").to_str().unwrap().to_owned();
    assert!(node(&["weights", "synth", "--profile", "tiny", "--out", &bundle]).status.success());
    for (name, pointer, value, part) in [
        ("case.json", "/audio_track/voice_id", json!("AF_SARAH"), "did you mean \"af_sarah\"?"),
        ("british.json", "/audio_track/voice_id", json!("bf_lily"), "the bundle has no voice \"bf_lily\""),
        ("emoji.json", "/audio_track/script", json!("\u{1f60a}"), "audio_track.script: nothing in the text"),
        ("late.json", "/deadline", json!(1_000_000_000), "deadline: 1000000000 has passed"),
    ] {
        let checked = node(&["recipe", "check", "--bundle", &bundle, &write(name, pointer, value)]);
        let told = String::from_utf8(checked.stdout).unwrap();
        assert!(checked.status.code() == Some(2) && told.contains(part), "{name}: {told}");
    }
    let settings = folder.path().join("config");
    std::fs::create_dir(&settings).unwrap();
    std::fs::write(
        settings.join("voices.toml"),
        "\u{feff}default = \"am_adam\"\n[stand_ins]\nbf_lily = \"af_sarah\"\n",
    )
    .unwrap();
    let recipe = write("british.json", "/audio_track/voice_id", json!("bf_lily"));
    let with_stand_in =
        ["recipe", "check", "--bundle", &bundle, "--config-dir", settings.to_str().unwrap(), &recipe];
    let checked = node(&with_stand_in);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn a_new_recipe_takes_a_prompt_and_refuses_none() {
    let fresh = node(&["recipe", "new", "--prompt", "a blue robot with \"three\" eyes"]);
    assert_eq!(fresh.status.code(), Some(0));
    assert_eq!(Recipe::read(&fresh.stdout).unwrap().visual.prompt, "a blue robot with \"three\" eyes");
    let empty = node(&["recipe", "new", "--prompt", " "]);
    assert_eq!(empty.status.code(), Some(2));
    assert!(String::from_utf8(empty.stderr).unwrap().contains("visual_track.prompt"));
}

#[test]
fn the_schema_command_prints_the_schema() {
    let printed: Value = serde_json::from_slice(&node(&["recipe", "schema"]).stdout).unwrap();
    assert_eq!(printed, schema::schema());
}

#[test]
fn storyboards_are_pictures_of_the_size_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sheet.png");
    let arguments = ["storyboard", "presets", "-o", file.to_str().unwrap(), "--side", "16", "--json"];
    let answer: Value = serde_json::from_slice(&node(&arguments).stdout).unwrap();
    let reader =
        png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&file).unwrap())).read_info().unwrap();
    assert_eq!(
        (json!(reader.info().width), json!(reader.info().height)),
        (answer["width"].clone(), answer["height"].clone())
    );
    let motions = vortex_node::direction::motion::Motion::NAMES;
    assert!(motions.iter().all(|name| answer["rows"].as_array().unwrap().contains(&json!(name))));
    let wrong = node(&["storyboard", "strip", "-o", "x.png", "--motion", "excited_noding"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("excited_nodding"));
    assert_eq!(node(&["storyboard", "strip", "-o", "x.png", "--seconds", "0"]).status.code(), Some(2));
}
