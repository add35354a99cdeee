//! Every command with `--json` in a folder whose name is no UTF-8: an answer in JSON, the path flagged, no panic.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use serde_json::{Value, json};
use tempfile::TempDir;
use vortex_node::cli::Cli;
use vortex_node::recipe::{document, example};

/// Every command that has `--json`, by its words.
fn with_json(command: &clap::Command, words: &[&str], found: &mut BTreeSet<String>) {
    if command.get_arguments().any(|argument| argument.get_long() == Some("json")) {
        found.insert(words.join(" "));
    }
    for inner in command.get_subcommands() {
        with_json(inner, &[words, &[inner.get_name()]].concat(), found);
    }
}

/// A folder of an unspeakable name, with a recipe, a bundle and a configuration in it.
struct Place {
    folder: PathBuf,
    _around: TempDir,
}

impl Place {
    fn new() -> Self {
        let around = TempDir::new().unwrap();
        let folder = around.path().join(OsStr::from_bytes(b"caf\xe9"));
        fs::create_dir_all(folder.join("config")).unwrap();
        let mut recipe = document::parse(example::text().as_bytes()).unwrap();
        recipe["slot_params"] =
            json!({"slot_number": 1, "duration_sec": 0.5, "resolution": "64x64", "fps": 2});
        recipe["audio_track"]["script"] = json!("Hi.");
        fs::write(folder.join("recipe.json"), recipe.to_string()).unwrap();
        fs::write(folder.join("config/node.toml"), "[slots]\nqueue = 5\n").unwrap();
        fs::write(folder.join("model.pth"), "no checkpoint").unwrap();
        fs::create_dir_all(folder.join("fixtures/something")).unwrap();
        fs::write(folder.join("fixtures/something/meta.json"), "{}").unwrap();
        Self { folder, _around: around }
    }

    fn path(&self, name: &str) -> OsString {
        if name.is_empty() { self.folder.clone().into() } else { self.folder.join(name).into() }
    }

    /// Runs the words of `command`, in which `@name` is a path in the folder; the answer's last document.
    fn answer(&self, command: &str) -> Value {
        let arguments = command.split(' ').map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name),
            None => word.into(),
        });
        let run = Command::new(env!("CARGO_BIN_EXE_vortex-node"))
            .args(arguments)
            .env("VORTEX_DATA_DIR", self._around.path().join("data"))
            .env("VORTEX_HTTP__LISTEN", "127.0.0.1:0")
            .current_dir(self._around.path())
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8(run.stdout).unwrap(), String::from_utf8_lossy(&run.stderr));
        assert!(!err.contains("panicked"), "{command}: {err}");
        let code = run.status.code().unwrap();
        assert!([0, 1, 2].contains(&code), "{command}: {code}: {err}");
        // One indented document, or one on each line.
        let last = || serde_json::from_str(out.lines().last().unwrap_or_default());
        serde_json::from_str(&out).or_else(|_| last()).unwrap_or_else(|_| panic!("{command}: {out}\n{err}"))
    }
}

fn has(value: &Value, key: &str, expected: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            fields.get(key) == Some(expected) || fields.values().any(|inner| has(inner, key, expected))
        }
        Value::Array(items) => items.iter().any(|item| has(item, key, expected)),
        _ => false,
    }
}

#[test]
fn every_answer_in_json_flags_paths_that_are_no_text() {
    let place = Place::new();
    let made = Command::new(env!("CARGO_BIN_EXE_vortex-node"))
        .args(["weights", "synth", "--profile", "tiny", "--seed", "1", "--out"])
        .arg(place.path("bundle"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // What is asked, and what must be flagged in the answer; nothing where no path is part of it.
    let asked = [
        ("render", "render @recipe.json -o @out --bundle @bundle --json", "folder"),
        ("result verify", "result verify @out --json", "dir"),
        ("result show", "result show @out --json", ""),
        ("agree", "agree @out --json", "path"),
        ("nats permissions", "nats permissions --role watcher --json", ""),
        ("recipe check", "recipe check @recipe.json --json", "path"),
        ("config show", "config show --config-dir @config --json", "config_dir"),
        ("config check", "config check @config @recipe.json --json", "path"),
        ("check", "check --bundle @bundle --config-dir @config --quick --json", ""),
        ("diagnose", "diagnose --out @bug.tar.gz --config-dir @config --json", "path"),
        ("weights verify", "weights verify @bundle --json", "folder"),
        ("weights info", "weights info @bundle --plan --json", "folder"),
        ("weights list", "weights list --json", ""),
        ("weights load", "weights load @bundle --json", ""),
        ("weights convert", "weights convert @model.pth --json", "from"),
        ("weights adopt", "weights adopt @bundle --into @adopted --json", "folder"),
        // A wrong recipe is told before any node is looked for.
        ("submit", "submit @model.pth --json", "path"),
        ("token list", "token list --json", ""),
        ("speak", "speak Hi. -o @speech.wav --bundle @bundle --json", "file"),
        ("storyboard strip", "storyboard strip -o @strip.png --json", "file"),
        ("storyboard presets", "storyboard presets -o @presets.png --json", "file"),
        ("rehearse", "rehearse @steady.toml --json", ""),
        (
            "gpu-check",
            // So little memory that it ends before anything is loaded.
            "gpu-check --device cpu --bundle @bundle --fixtures @fixtures --slots 1 --limit 100kB --json",
            "folder",
        ),
    ];
    // They answer beside a node only, and are asked there: in `serve.rs`, and against a played node beside their code.
    let beside_a_node = [
        "cancel",
        "fetch",
        "node acknowledge",
        "node drain",
        "node reload",
        "node undrain",
        "probe",
        "serve",
        "slots",
        "top",
        "webhooks list",
        "webhooks replay",
    ];
    // They answer in a network only, and are asked there: in `network_cli.rs`.
    let in_a_network = [
        "dead-letters drop",
        "dead-letters list",
        "dead-letters replay",
        "dead-letters show",
        "nats directors list",
        "nats gc",
        "nats setup",
        "nodes",
    ];
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rehearsals/steady.toml");
    fs::copy(scenario, place.folder.join("steady.toml")).unwrap();
    let mut known = BTreeSet::new();
    with_json(&Cli::command(), &[], &mut known);
    let covered: BTreeSet<String> = asked.iter().map(|(name, ..)| (*name).to_owned()).collect();
    known.retain(|name| !beside_a_node.iter().chain(&in_a_network).any(|other| other == name));
    assert_eq!(known, covered, "every command with --json has a line here");
    for (_, command, flagged) in asked {
        let answer = place.answer(command);
        if !flagged.is_empty() {
            let flag = format!("{flagged}_lossy");
            assert!(has(&answer, &flag, &json!(true)), "{command}: no {flag} in {answer:#}");
        }
    }
}
