//! Checks a result: its signature, every file that it names, and that it does not contradict itself.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::{FILE_NAME, Manifest, Outcome, PublicKey, VERSION, signature};
use crate::journal::{Artifact, Failure};
use crate::recipe::{Recipe, document};
use crate::types::Sha256;
use crate::verify::Verdict;

/// The recipe's name in a slot's folder.
const RECIPE: &str = "recipe.json";
/// The node's own records, which are no part of the result.
const JOURNAL: &str = "journal";
/// How far the ensemble may be from its parts, and an embedding from length one: rounding.
const ROUNDING: f64 = 1e-9;
const UNIT: f64 = 1e-5;
/// Deadline and time of writing are whole seconds, and writing takes a moment.
const CLOCK: u64 = 2;
/// Seconds between two looks at the clock for what happens at once.
const MOMENT: f64 = 0.01;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verification {
    /// What the result says, as far as it can be read.
    pub manifest: Option<Manifest>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is not, but may surprise.
    pub warnings: Vec<Problem>,
}

/// Something that is wrong, and in which file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, counted from the folder.
    pub file: String,
    /// What it is.
    pub what: String,
}

/// A folder without a result.
#[derive(Debug, thiserror::Error)]
pub enum NoResult {
    /// No folder, or nothing in it.
    #[error("{} holds no {FILE_NAME}; give the folder that a slot was rendered into", .0.display())]
    Missing(PathBuf),
    /// It is there and cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, file: &str, what: impl fmt::Display) {
        self.problems.push(Problem { file: file.to_owned(), what: what.to_string() });
    }

    fn warning(&mut self, file: &str, what: impl fmt::Display) {
        self.warnings.push(Problem { file: file.to_owned(), what: what.to_string() });
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// Everything in which `manifest` contradicts itself; its files are not looked at.
pub fn contradictions(manifest: &Manifest) -> Vec<Problem> {
    let mut found = Verification { manifest: None, problems: Vec::new(), warnings: Vec::new() };
    keyframes(manifest, &mut found);
    consistent(manifest, &mut found);
    found.problems
}

/// Reads the result in `dir`, unchecked.
pub fn read(dir: &Path) -> Result<Manifest, NoResult> {
    let unreadable = |source| NoResult::Unreadable { path: dir.join(FILE_NAME), source };
    let document = document::exact(&text(dir)?).map_err(|error| unreadable(error.into()))?;
    manifest(document).map_err(|what| unreadable(io::Error::new(io::ErrorKind::InvalidData, what)))
}

/// Checks everything about the result in `dir`; signed by `expected`, where given, else by the node it names.
pub fn verify(dir: &Path, expected: Option<PublicKey>) -> Result<Verification, NoResult> {
    let text = text(dir)?;
    let mut found = Verification { manifest: None, problems: Vec::new(), warnings: Vec::new() };
    let mut document = match document::exact(&text) {
        Ok(document) => document,
        Err(error) => {
            found.problem(FILE_NAME, format_args!("it is no JSON document: {error}"));
            return Ok(found);
        }
    };
    if signature::text(&document) != text {
        found.problem(FILE_NAME, "its layout is not the one that it was written in");
    }
    check_signature(&mut document, expected, &mut found);
    let manifest = match manifest(document) {
        Ok(manifest) => manifest,
        Err(error) => {
            found.problem(FILE_NAME, error);
            return Ok(found);
        }
    };
    for artifact in &manifest.artifacts {
        if let Err(what) = sound(dir, artifact) {
            found.problem(&artifact.name, what);
        }
    }
    recipe(dir, &manifest, &mut found);
    keyframes(&manifest, &mut found);
    unlisted(dir, &manifest, &mut found);
    consistent(&manifest, &mut found);
    found.manifest = Some(manifest);
    Ok(found)
}

fn text(dir: &Path) -> Result<String, NoResult> {
    let path = dir.join(FILE_NAME);
    match fs::read(&path) {
        // What is no text is no result that a node wrote; how it differs is for the check to say.
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(NoResult::Missing(dir.to_owned()))
        }
        Err(source) => Err(NoResult::Unreadable { path, source }),
    }
}

pub(super) fn manifest(mut document: Value) -> Result<Manifest, String> {
    let version = document.get("version").and_then(Value::as_u64);
    if version != Some(u64::from(VERSION)) {
        let found = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        return Err(format!("format version {found}, this node knows {VERSION}"));
    }
    if let Some(fields) = document.as_object_mut() {
        fields.remove("signature");
    }
    serde_json::from_value(document).map_err(|error| error.to_string())
}

/// The node that `document` says it is of.
pub(super) fn named_node(document: &Value) -> Result<PublicKey, String> {
    let id = document.pointer("/node/id").and_then(Value::as_str).ok_or("it names no node.id")?;
    id.parse().map_err(|error| format!("node.id: {error}"))
}

fn check_signature(document: &mut Value, expected: Option<PublicKey>, found: &mut Verification) {
    match named_node(document) {
        Ok(node) => {
            if let Some(expected) = expected.filter(|expected| *expected != node) {
                found.problem(FILE_NAME, format_args!("it is node {node}'s, not node {expected}'s"));
            }
            if let Err(error) = signature::check(document, node) {
                found.problem(FILE_NAME, error);
            }
        }
        Err(error) => found.problem(FILE_NAME, error),
    }
}

fn sound(dir: &Path, artifact: &Artifact) -> Result<(), String> {
    let path = Path::new(&artifact.name);
    // A result may come from anywhere: it does not get to say what is read outside its folder.
    if path.components().count() == 0 || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err("its name leads out of the folder".to_owned());
    }
    let path = dir.join(path);
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "it is missing".to_owned(),
        _ => format!("it cannot be read: {error}"),
    };
    // A pipe or a device would never end.
    let metadata = fs::symlink_metadata(&path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let (sha256, bytes) = File::open(&path).and_then(Sha256::of_reader).map_err(unreadable)?;
    if bytes != artifact.bytes {
        return Err(format!("it has {} bytes, the result says {}", bytes.get(), artifact.bytes.get()));
    }
    if sha256 != artifact.sha256 {
        return Err(format!("its SHA-256 is {sha256}, the result says {}", artifact.sha256));
    }
    Ok(())
}

fn recipe(dir: &Path, manifest: &Manifest, found: &mut Verification) {
    let recipe = match fs::read(dir.join(RECIPE)) {
        Ok(bytes) => Recipe::read(&bytes),
        Err(error) => {
            if !manifest.artifacts.iter().any(|artifact| artifact.name == RECIPE) {
                found.problem(RECIPE, format_args!("it cannot be read: {error}"));
            }
            return;
        }
    };
    match recipe {
        Ok(recipe) => {
            let sha256 = Sha256::of(&document::canonical(recipe.document()));
            if sha256 != manifest.recipe.sha256 {
                let said = manifest.recipe.sha256;
                found
                    .problem(RECIPE, format_args!("it is another recipe: {sha256}, the result is of {said}"));
            }
            if recipe.slot() != manifest.recipe_id {
                let (id, said) = (recipe.slot(), manifest.recipe_id);
                found.problem(RECIPE, format_args!("its recipe_id is {id}, the result's {said}"));
            }
        }
        Err(problems) => found.problem(RECIPE, format_args!("it is no recipe: {problems}")),
    }
}

fn keyframes(manifest: &Manifest, found: &mut Verification) {
    let is_keyframe = |name: &&str| name.starts_with("keyframes/");
    let listed: BTreeSet<&str> =
        manifest.artifacts.iter().map(|artifact| artifact.name.as_str()).filter(is_keyframe).collect();
    let indices = manifest.frames.iter().flat_map(|frames| &frames.keyframes);
    let named: Vec<String> = indices.map(|index| format!("keyframes/{index:05}.png")).collect();
    let named: BTreeSet<&str> = named.iter().map(String::as_str).collect();
    for name in named.symmetric_difference(&listed) {
        let what = if named.contains(name) {
            "it is no artifact of"
        } else {
            "it is not named among the keyframes of"
        };
        found.problem(name, format_args!("{what} {FILE_NAME}"));
    }
    let total = manifest.frames.as_ref().map_or(0, |frames| frames.total);
    if manifest.frames.iter().flat_map(|frames| &frames.keyframes).any(|index| *index >= total) {
        found.problem(FILE_NAME, format_args!("a keyframe lies beyond the video's {total} frames"));
    }
}

/// Files beside the result's own: no fault, but nothing that the signature speaks for.
fn unlisted(dir: &Path, manifest: &Manifest, found: &mut Verification) {
    let listed: BTreeSet<&str> = manifest.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
    let names = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let keyframes = names(&dir.join("keyframes")).into_iter().map(|name| format!("keyframes/{name}"));
    let mut there: Vec<String> = names(dir).into_iter().chain(keyframes).collect();
    there.sort_unstable();
    for name in there {
        let is_folder = name == JOURNAL || name == "keyframes";
        if name == FILE_NAME || name == RECIPE || is_folder || listed.contains(name.as_str()) {
            continue;
        }
        found.warning(&name, "the result does not speak of it");
    }
}

fn consistent(manifest: &Manifest, found: &mut Verification) {
    let mut names = BTreeSet::new();
    for artifact in manifest.artifacts.iter().filter(|artifact| !names.insert(&artifact.name)) {
        found.problem(FILE_NAME, format_args!("{} stands twice among the artifacts", artifact.name));
    }
    if let Some(verdict) = &manifest.verification {
        self::verdict(verdict, found);
    }
    let passed = manifest.verification.as_ref().map(|verdict| verdict.passed);
    match &manifest.outcome {
        Outcome::Completed => {
            if passed != Some(true) {
                found.problem(FILE_NAME, "it is completed, but its verification was not passed");
            }
            for name in ["video.mp4", "audio.wav", "actor.png"]
                .into_iter()
                .filter(|name| !manifest.artifacts.iter().any(|artifact| artifact.name == *name))
            {
                found.problem(FILE_NAME, format_args!("it is completed, but {name} is no artifact of it"));
            }
        }
        Outcome::Failed { cause: Failure::Rejected, .. } if passed == Some(true) => {
            found.problem(FILE_NAME, "it is rejected, but its verification was passed");
        }
        Outcome::Failed { reasons, .. } => {
            let verdict = manifest.verification.iter().flat_map(|verdict| &verdict.reasons);
            if !reasons.is_empty() && !verdict.map(ToString::to_string).eq(reasons.iter().cloned()) {
                found.problem(FILE_NAME, "its reasons are not those of its verification");
            }
        }
        // Whatever it had brought by then may stand in it.
        Outcome::Cancelled { .. } => {}
    }
    deadline(manifest, found);
    for stage in &manifest.stages {
        let in_order = 0.0 <= stage.began && stage.began <= stage.ended;
        if !in_order || stage.ended > manifest.elapsed + MOMENT {
            let (name, began, ended) = (stage.stage, stage.began, stage.ended);
            let elapsed = manifest.elapsed;
            let what =
                format!("the {name} stage from {began} s to {ended} s does not lie within {elapsed} s");
            found.problem(FILE_NAME, what);
        }
    }
}

fn verdict(verdict: &Verdict, found: &mut Verification) {
    if verdict.passed != verdict.reasons.is_empty() {
        let (passed, count) = (verdict.passed, verdict.reasons.len());
        found.problem(
            FILE_NAME,
            format_args!("its verification is passed: {passed}, with {count} reasons against it"),
        );
    }
    let by = &verdict.thresholds;
    let ensemble = by.weight_b * verdict.clip_b + by.weight_l * verdict.clip_l;
    let is_close = (ensemble - verdict.ensemble).abs() <= ROUNDING;
    if !is_close {
        let said = verdict.ensemble;
        found.problem(FILE_NAME, format_args!("its ensemble scores {said}, its parts make {ensemble}"));
    }
    if verdict.outlier != ((verdict.clip_b - verdict.clip_l).abs() > by.outlier) {
        found.problem(FILE_NAME, "its outlier flag is not what its scores say");
    }
    let length = verdict.embedding.cosine(&verdict.embedding).sqrt();
    let is_unit = (length - 1.0).abs() <= UNIT;
    if !is_unit {
        found.problem(FILE_NAME, format_args!("its embedding has length {length}, not 1"));
    }
}

fn deadline(manifest: &Manifest, found: &mut Verification) {
    let written = manifest.rendered_at;
    let wrong = match manifest.deadline {
        None => {
            (!manifest.deadline_met).then(|| "no deadline is named, and it is said to be missed".to_owned())
        }
        Some(deadline) => {
            let late = written > deadline.saturating_add(CLOCK);
            // A failure may come long before the deadline, and misses it all the same.
            let early = manifest.outcome == Outcome::Completed && written.saturating_add(CLOCK) < deadline;
            let contradicts = (manifest.deadline_met && late) || (!manifest.deadline_met && early);
            let met = if manifest.deadline_met { "met" } else { "missed" };
            contradicts.then(|| {
                format!("the deadline at {deadline} is said to be {met}, the result was written at {written}")
            })
        }
    };
    if let Some(wrong) = wrong {
        found.problem(FILE_NAME, wrong);
    }
}
