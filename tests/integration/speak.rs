//! `vortex-node speak` and the length that `recipe check` tells, with the demo weights.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;
use vortex_node::media::wav;
use vortex_node::recipe::{document, example};

/// A folder with a recipe, in which commands run with the checkout's configuration.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn recipe(&self, script: &str, seconds: f64) {
        let mut recipe = document::parse(example::text().as_bytes()).unwrap();
        recipe["slot_params"]["duration_sec"] = json!(seconds);
        recipe["audio_track"] = json!({ "script": script, "voice_id": "am_adam" });
        fs::write(self.path("talk.json"), recipe.to_string()).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_vortex-node"))
            .args(arguments)
            .args(["--config-dir", concat!(env!("CARGO_MANIFEST_DIR"), "/config"), "--data-dir"])
            .arg(self.path("data"))
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn answer(&self, arguments: &[&str]) -> Value {
        let run = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
        serde_json::from_slice(&run.stdout).unwrap()
    }

    /// What is told of a command that ends with `code`.
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let run = self.run(arguments);
        assert_eq!(run.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&run.stdout));
        String::from_utf8(run.stderr).unwrap()
    }
}

fn seconds(file: &Path) -> f64 {
    let pcm = wav::decode(&fs::read(file).unwrap()).unwrap();
    pcm.samples.len() as f64 / f64::from(pcm.sample_rate)
}

fn codes(answer: &Value) -> Vec<&str> {
    answer["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect()
}

/// The demo's description alone, changed: all its files are said to be there, and none of them is.
fn description(place: &Place, change: impl Fn(String) -> String) -> String {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/bundles/demo");
    let folder = place.path("described");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("bundle.toml"), change(fs::read_to_string(demo.join("bundle.toml")).unwrap()))
        .unwrap();
    folder.to_str().unwrap().to_owned()
}

#[test]
fn a_text_is_spoken_as_long_as_it_lasts_and_no_file_is_overwritten_unasked() {
    let place = Place::new();
    let told = place.answer(&["speak", "The zorblat hums. We wait.", "--voice", "am_onyx"]);
    let file = place.path("speech.wav");
    assert_eq!((&told["file"], &told["voice"]), (&json!("speech.wav"), &json!("am_onyx")));
    let length = seconds(&file);
    assert!((told["seconds"].as_f64().unwrap() - length).abs() < 1e-3, "{told:#}");
    let predicted = told["script_seconds"].as_f64().unwrap();
    assert!(length > 1.0 && (predicted - length).abs() < 0.15 * length, "{predicted} for {length}");
    let sentences = told["sentences"].as_array().unwrap();
    assert_eq!(sentences.len(), 2);
    assert_eq!(sentences[1]["text"], "We wait.");
    assert_eq!(sentences[1]["phonemes"], "wˌi wˈAt.");
    assert_eq!((&told["guessed"], &told["spelled"]), (&json!(["zorblat"]), &json!([])));
    assert_eq!(codes(&told), ["word_guessed"]);

    let before = fs::read(&file).unwrap();
    let refused = place.refused(&["speak", "Other words."], 2);
    assert!(refused.contains("speech.wav is there") && refused.contains("--force"), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), before);
    let run = place.run(&["speak", "Hi.", "--force"]);
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success() && text.starts_with("speech.wav: ") && text.contains("hˈI."), "{text}");
    assert!(fs::read(&file).unwrap() != before && seconds(&file) < length);
}

#[test]
fn a_recipe_is_spoken_into_its_slot_with_its_voice_and_speed() {
    let place = Place::new();
    place.recipe("Good morning to all of you. Here is far more than fits into a second.", 1.0);
    let told = place.answer(&["speak", "talk.json"]);
    assert_eq!((&told["file"], &told["voice"]), (&json!("talk.wav"), &json!("am_adam")));
    assert_eq!((&told["seconds"], &told["slot_seconds"]), (&json!(1.0), &json!(1.0)));
    assert_eq!(seconds(&place.path("talk.wav")), 1.0);
    assert!(told["script_seconds"].as_f64().unwrap() > 3.0, "{told:#}");
    assert_eq!(codes(&told), ["script_cut"]);
    let flags =
        ["speak", "talk.json", "-o", "other.wav", "--voice", "am_puck", "--emotion", "sad", "--speed", "0.8"];
    let slower = place.answer(&flags);
    assert_eq!((&slower["voice"], &slower["emotion"]), (&json!("am_puck"), &json!("sad")));
    assert!(slower["script_seconds"].as_f64() > told["script_seconds"].as_f64(), "{slower:#}");
}

#[test]
fn phonemes_need_no_weights() {
    let place = Place::new();
    let bundle = description(&place, |text| text);
    let told = place.answer(&["speak", "Dr. Smith paid $5.\nXyzzy!", "--phonemes", "--bundle", &bundle]);
    let sentences = told["sentences"].as_array().unwrap();
    assert_eq!(sentences.len(), 2, "{told:#}");
    assert!(sentences[0]["text"].as_str().unwrap().contains("paid 5 dollars"), "{told:#}");
    assert_eq!(told.get("file"), None);
    let british = place.run(&["speak", "Bath.", "--phonemes", "--voice", "default", "--bundle", &bundle]);
    let text = String::from_utf8(british.stdout).unwrap();
    assert!(text.starts_with("about ") && text.contains("bˈæθ."), "{text}");
    assert!(fs::read_dir(place.0.path()).unwrap().count() == 1, "nothing was written beside the bundle");
    let unread = place.refused(&["speak", "Hi.", "--bundle", &bundle], 2);
    assert!(unread.contains("kokoro"), "{unread}");
}

#[test]
fn what_cannot_be_spoken_is_told_before_anything_is_loaded() {
    let place = Place::new();
    for (arguments, expected) in [
        (&["speak", "…"][..], "nothing in the text"),
        (&["speak", "Hi.", "--voice", "am_adm"], "did you mean \"am_adam\""),
        (&["speak", "Hi.", "--speed", "2"], "0.8 to 1.2"),
        (&["speak", "Hi.", "--emotion", "hungry"], "neutral"),
        (&["speak", "absent.json"], "the recipe absent.json cannot be read"),
        (&["speak", "Hi.", "--phonemes", "-o", "x.wav"], "cannot be used with"),
    ] {
        let told = place.refused(arguments, 2);
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
    fs::write(place.path("talk.json"), "{}").unwrap();
    assert!(place.refused(&["speak", "talk.json"], 2).contains("talk.json is not a recipe"));
    let bundle = description(&place, |text| text.replace("\"24MB\"", "\"1kB\""));
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/config/bundles/demo/kokoro");
    std::os::unix::fs::symlink(demo, Path::new(&bundle).join("kokoro")).unwrap();
    let told = place.refused(&["speak", "Hi.", "--bundle", &bundle], 2);
    assert!(told.contains("kokoro will hold") && told.contains("in bundle.toml is 1.0 kB"), "{told}");
    let told = place.refused(&["speak", "Hi.", "-o", "no/such/folder/x.wav"], 1);
    assert!(told.contains("cannot be written"), "{told}");
}

#[test]
fn a_script_that_does_not_fit_is_a_warning_of_the_check() {
    let place = Place::new();
    let script = "Good morning to all of you. Here is far more than fits into two seconds of a video.";
    place.recipe(script, 2.0);
    let told = place.answer(&["recipe", "check", "talk.json"]);
    let recipe = &told["recipes"][0];
    assert_eq!((&told["ok"], &recipe["problems"]), (&json!(true), &json!([])));
    assert_eq!(
        (&recipe["speech"]["by"], &recipe["speech"]["slot_seconds"]),
        (&json!("weights"), &json!(2.0))
    );
    let length = recipe["speech"]["seconds"].as_f64().unwrap();
    let warning = recipe["warnings"][0].as_str().unwrap();
    assert!(warning.contains(&format!("about {length:.1} s of speech, 2 s of slot")), "{warning}");
    let run = place.run(&["recipe", "check", "talk.json"]);
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(
        run.status.success() && text.starts_with("ok") && text.contains("warning: audio_track.script"),
        "{text}"
    );

    // Without the weights a table tells it, to a fifth of it.
    let bundle = description(&place, |text| text);
    let table = place.answer(&["recipe", "check", "talk.json", "--bundle", &bundle]);
    let speech = &table["recipes"][0]["speech"];
    assert_eq!(speech["by"], "table");
    let by_table = speech["seconds"].as_f64().unwrap();
    assert!((by_table - length).abs() < 0.25 * length, "{by_table} for {length}");

    place.recipe(script, 30.0);
    let fits = place.answer(&["recipe", "check", "talk.json"]);
    assert_eq!(fits["recipes"][0]["warnings"], json!([]));
    place.recipe("", 30.0);
    let wrong = place.run(&["recipe", "check", "talk.json", "--json"]);
    let wrong: Value = serde_json::from_slice(&wrong.stdout).unwrap();
    assert_eq!(wrong["recipes"][0]["speech"], Value::Null, "what is wrong is not timed");
}
