//! The kinds of configuration file, how each is recognised, and who checks it.
//!
//! A new kind is one row in [`KINDS`]; the test that checks every file under `config/` then covers its files as well.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::config::{Problems, check_node, check_profile, check_voices};
use crate::models::bundle::{Bundle, FILE_NAME, lock, receipt};
use crate::rehearse::Scenario;
use crate::types::{PathField, Sha256};

/// One kind of file.
pub struct Kind {
    /// What it is called in answers.
    pub name: &'static str,
    /// Whether a file is one, by its path.
    is: fn(&Path) -> bool,
    /// What is wrong with one; empty where nothing is.
    check: fn(&Path) -> Vec<String>,
}

/// Every kind there is.
pub const KINDS: &[Kind] = &[
    Kind { name: "node", is: |path| is_named(path, "node.toml"), check: |path| lines(check_node(path)) },
    Kind {
        name: "voices",
        is: |path| is_named(path, "voices.toml"),
        check: |path| lines(check_voices(path)),
    },
    Kind {
        name: "bundle",
        is: |path| is_named(path, FILE_NAME),
        check: |path| Bundle::open(path).err().map(|error| error.to_string()).into_iter().collect(),
    },
    Kind {
        name: "bundle's lock",
        is: |path| is_named(path, lock::FILE_NAME),
        check: |path| {
            let opened = Bundle::open(&path.with_file_name(FILE_NAME));
            opened.err().map(|error| error.to_string()).into_iter().collect()
        },
    },
    Kind { name: "bundle's file", is: |path| bundle_around(path).is_some(), check: file_of_bundle },
    Kind { name: "profile", is: |path| lies_in(path, "profiles"), check: |path| lines(check_profile(path)) },
    Kind {
        name: "rehearsal",
        is: |path| lies_in(path, "rehearsals"),
        check: |path| match std::fs::read_to_string(path) {
            Err(error) => vec![format!("cannot be read: {error}")],
            Ok(text) => text.parse::<Scenario>().err().map(|error| error.to_string()).into_iter().collect(),
        },
    },
    Kind {
        name: "recipe",
        is: |path| has_extension(path, "json") && lies_directly_in(path, "recipes"),
        check: crate::cli::recipe::problems_of,
    },
];

/// The description of the bundle that `path` lies in.
fn bundle_around(path: &Path) -> Option<PathBuf> {
    path.ancestors().skip(1).map(|folder| folder.join(FILE_NAME)).find(|file| file.is_file())
}

/// Where a bundle's folder keeps what its weights were made by. No part of the bundle: its description need not name it.
const TRAINING: &str = "training";

/// Whether the bundle names the file, with the hash that it has. Texts for people and the training are not named.
fn file_of_bundle(path: &Path) -> Vec<String> {
    let wrong = || -> Result<Option<String>, String> {
        let description = bundle_around(path).ok_or("no bundle is around it")?;
        let bundle = Bundle::open(&description).map_err(|error| error.to_string())?;
        let files = bundle.models.values().flat_map(|model| model.entries());
        let named = files.map(|(_, file)| (file.path.as_str(), bundle.hash_of(file)));
        let words = bundle.image.vocabulary.iter().map(|file| (file.path.as_str(), Some(file.sha256)));
        let Some((_, sha256)) = named.chain(words).find(|(name, _)| bundle.folder.join(name) == path) else {
            let is_beside = has_extension(path, "md")
                || is_named(path, receipt::NAME)
                || path.starts_with(bundle.folder.join(TRAINING));
            return Ok((!is_beside).then(|| format!("{} does not name it", description.display())));
        };
        let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
        let (found, description) = (Sha256::of(&bytes), description.display());
        Ok(match sha256 {
            None => Some(format!("neither {description} nor a lock says what it must hash to")),
            Some(sha256) => {
                (found != sha256).then(|| format!("its SHA-256 is {found}, {description} says {sha256}"))
            }
        })
    };
    wrong().unwrap_or_else(Some).into_iter().collect()
}

/// What came of one file.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// The file.
    #[serde(flatten, serialize_with = "as_path")]
    pub path: PathBuf,
    /// Its kind; none where it is of no kind known here.
    pub kind: Option<&'static str>,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

fn as_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    PathField::new("path", path).serialize(serializer)
}

/// Checks the file at `path`, or every file at any depth under the folder at `path`, in order of name.
pub fn check(path: &Path) -> Vec<Checked> {
    if !path.is_dir() {
        return vec![check_file(path)];
    }
    match std::fs::read_dir(path) {
        Err(error) => vec![Checked {
            path: path.to_owned(),
            kind: None,
            problems: vec![format!("cannot be read: {error}")],
        }],
        Ok(entries) => {
            let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            paths.iter().flat_map(|path| check(path)).collect()
        }
    }
}

fn check_file(path: &Path) -> Checked {
    let kind = KINDS.iter().find(|kind| (kind.is)(path));
    let problems = kind.map_or_else(
        || {
            let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            vec![format!("is of no kind that can be checked; known by name or folder: {}", names.join(", "))]
        },
        |kind| (kind.check)(path),
    );
    Checked { path: path.to_owned(), kind: kind.map(|kind| kind.name), problems }
}

fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|found| found == name)
}

/// A TOML file directly in a folder called `folder`.
fn lies_in(path: &Path, folder: &str) -> bool {
    has_extension(path, "toml") && lies_directly_in(path, folder)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn lies_directly_in(path: &Path, folder: &str) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|found| found == folder)
}

fn lines(result: Result<(), Problems>) -> Vec<String> {
    result.err().map(|problems| problems.0.iter().map(ToString::to_string).collect()).unwrap_or_default()
}
