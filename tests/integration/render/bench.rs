//! A place to render in: a synthetic bundle made once, recipes, and the binary's runs with what they told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;
use vortex_node::recipe::{document, example};
use vortex_node::types::Sha256;

const BINARY: &str = env!("CARGO_BIN_EXE_vortex-node");

/// The bundle that all renderings share; the operating system's folder for temporary files is swept by others.
fn bundle() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let made = Command::new(BINARY)
            .args(["weights", "synth", "--profile", "tiny", "--seed", "1", "--out"])
            .arg(folder.path().join("bundle"))
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        folder
    })
    .path()
}

/// One test's own folder.
pub struct Bench(TempDir);

/// What a run of the binary came to.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// Stages that began, in order.
    pub began_list: Vec<String>,
}

impl Run {
    fn of(child: Child, stdout: String) -> Self {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let began = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == "stage_began").then(|| event["stage"].as_str().unwrap().to_owned())
        };
        let began_list = stdout.lines().filter_map(began).collect();
        Self { code: output.status.code().unwrap_or(-1), stdout, stderr, began_list }
    }

    pub fn began(&self) -> BTreeSet<String> {
        self.began_list.iter().cloned().collect()
    }

    /// When the span of `model`'s run was opened and closed, as log lines say.
    pub fn span_of(&self, model: &str) -> (String, String) {
        let lines = self.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_model: Vec<Value> =
            lines.filter(|line| line["span"]["name"] == "run" && line["span"]["model"] == model).collect();
        let at = |what: &str| {
            let line = of_model.iter().find(|line| line["message"] == what);
            line.unwrap_or_else(|| panic!("no {what} of {model}'s run in the log"))["timestamp"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        // RFC 3339 in UTC with equal digits: text order is time order.
        (at("new"), at("close"))
    }
}

impl Bench {
    pub fn new() -> Self {
        Self(TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn bundle(&self) -> PathBuf {
        let own = self.folder("bundle");
        if own.exists() { own } else { bundle().join("bundle") }
    }

    /// From now on renders with a copy of the bundle, which is this test's to change.
    pub fn own_bundle(&self) -> PathBuf {
        let own = self.folder("bundle");
        let copied = Command::new("cp").arg("-r").arg(bundle().join("bundle")).arg(&own).status();
        assert!(copied.unwrap().success());
        own
    }

    /// A short recipe with some values replaced or added.
    pub fn recipe(&self, changes: &[(&str, Value)]) -> PathBuf {
        let mut document = document::parse(example::text().as_bytes()).unwrap();
        let short = [
            ("/slot_params/duration_sec", json!(1.5)),
            ("/slot_params/fps", json!(12)),
            ("/slot_params/resolution", json!("128x96")),
            ("/audio_track/script", json!("Hello there.")),
            ("/recipe_id", json!("6f1c2f52-7f0e-4d3b-9a55-0c8f3f6f9b11")),
        ];
        for (path, value) in short.iter().chain(changes) {
            let (parent, name) = path.rsplit_once('/').unwrap();
            document
                .pointer_mut(parent)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .insert(name.to_owned(), value.clone());
        }
        let path = self.folder("recipe.json");
        std::fs::write(&path, document.to_string()).unwrap();
        path
    }

    fn command(&self, recipe: &Path, folder: &Path, more: &[&str]) -> Command {
        let mut command = self.command_of(recipe, folder, more);
        command.arg("--json");
        command
    }

    /// Without `--json`.
    fn command_of(&self, recipe: &Path, folder: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .arg("render")
            .arg(recipe)
            .arg("-o")
            .arg(folder)
            .arg("--bundle")
            .arg(self.bundle())
            .arg("--data-dir")
            .arg(self.folder("data"))
            .args(["--profile", "cpu", "--log-format", "json"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn render(&self, recipe: &Path, folder: &Path) -> Run {
        self.render_with(recipe, folder, &[])
    }

    pub fn render_with(&self, recipe: &Path, folder: &Path, more: &[&str]) -> Run {
        let output = self.command(recipe, folder, more);
        watch(output, |_, _| {})
    }

    /// Sends `signal` as soon as `stage` has begun.
    pub fn render_until(&self, recipe: &Path, folder: &Path, stage: &str, signal: &str) -> Run {
        let mut sent = false;
        watch(self.command(recipe, folder, &[]), |child, event| {
            if !sent && event["event"] == "stage_began" && event["stage"] == stage {
                sent = true;
                let id = child.id().to_string();
                assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
            }
        })
    }

    /// Renders; whoever reads the events on `stdout`, or without `--json` the lines on `stderr`, leaves after the first.
    pub fn render_and_leave(&self, recipe: &Path, folder: &Path, stream: &str) -> Run {
        let mut command = self.command(recipe, folder, &[]);
        if stream == "stderr" {
            command = self.command_of(recipe, folder, &[]);
        }
        let mut child = command.spawn().unwrap();
        let first = |mut stream: Box<dyn Read>| {
            // By the byte: what is read ahead would be taken from the pipe.
            let (mut byte, mut read) = ([0], 0);
            while byte != *b"\n" && stream.read(&mut byte).unwrap() == 1 {
                read += 1;
            }
            assert!(read > 0);
        };
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        match stream {
            "stdout" => {
                first(Box::new(stdout));
                let mut text = String::new();
                BufReader::new(stderr).read_to_string(&mut text).unwrap();
                Run { stderr: text, ..Run::of(child, String::new()) }
            }
            _ => {
                first(Box::new(stderr));
                let mut text = String::new();
                BufReader::new(stdout).read_to_string(&mut text).unwrap();
                Run::of(child, text)
            }
        }
    }

    /// Renders with the events written to `out`.
    pub fn render_into(&self, recipe: &Path, folder: &Path, out: &Path) -> Run {
        let out = std::fs::OpenOptions::new().write(true).open(out).unwrap();
        let child = self.command(recipe, folder, &[]).stdout(out).spawn().unwrap();
        Run::of(child, String::new())
    }

    pub fn verify(&self, folder: &Path) -> Run {
        let mut command = Command::new(BINARY);
        command.args(["result", "verify"]).arg(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        watch(command, |_, _| {})
    }
}

/// Runs `command`, handing every JSON line of its answer to `seen` as it comes.
fn watch(mut command: Command, mut seen: impl FnMut(&Child, &Value)) -> Run {
    let mut child = command.spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    // Read beside the answer: a full pipe would stop the command.
    let mut errors = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).unwrap();
        text
    });
    let mut answer = String::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.unwrap();
        if let Ok(event) = serde_json::from_str::<Value>(&line) {
            seen(&child, &event);
        }
        answer.push_str(&line);
        answer.push('\n');
    }
    let mut run = Run::of(child, answer);
    run.stderr = reader.join().unwrap();
    run
}

/// The stages whose records stand in a slot folder's journal; the package is made anew whenever the end is missing.
pub fn kept(folder: &Path) -> BTreeSet<String> {
    let stages = ["audio", "image", "video", "verify"];
    let has = |stage: &&str| folder.join(format!("journal/{stage}.json")).exists();
    stages.into_iter().filter(has).map(str::to_owned).collect()
}

pub fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

/// Of every artifact: what a result names and nothing that holds times.
pub fn hashes(folder: &Path) -> BTreeMap<String, String> {
    let mut hashes = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "journal" {
                    folders.push(path);
                }
            } else if name != "result.json" {
                hashes.insert(name, Sha256::of(&std::fs::read(&path).unwrap()).to_string());
            }
        }
    }
    assert!(hashes.len() > 4, "{hashes:?}");
    hashes
}
