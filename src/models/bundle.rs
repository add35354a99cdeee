//! A bundle: a folder with `bundle.toml`, which says for each model its files and their SHA-256, precision and budget.
//!
//! Owns the validated description, its [`lock`] and where its files lie; reads no weights. What a file's role is called, and
//! which precisions a model can run in, is in [`roles`] and [`precision`]; [`verify`] compares a folder with its description,
//! [`held`] with its lock.
//!
//! [cli]: crate::cli
//! [hub]: crate::hub
//! [weights]: crate::models::weights
//!
#![doc = include_str!("bundle/README.md")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::contract::ModelError;
use crate::types::{Bytes, ModelId, Resolution};

pub mod held;
pub mod lock;
pub(crate) mod precision;
mod read;
pub(crate) mod receipt;
pub(crate) mod roles;
pub mod shipped;
pub mod verify;
mod write;

pub use lock::Lock;
pub use precision::Precision;
pub use read::{BundleError, Problem};

pub use crate::types::Sha256;

#[cfg(test)]
mod tests;

/// The name of the description in a bundle's folder.
pub const FILE_NAME: &str = "bundle.toml";

/// A validated bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// The folder that all paths count from.
    pub folder: PathBuf,
    /// What people call it.
    pub name: String,
    /// What it is for, in a sentence.
    pub summary: Option<String>,
    /// How verification judges with these models.
    pub verification: Verification,
    /// What its image model was made for.
    pub image: Image,
    /// What is described of each model; a bundle may hold fewer than all five.
    pub models: BTreeMap<ModelId, ModelEntry>,
    /// Which bytes its files were when they were fetched, where that was kept.
    pub lock: Option<Lock>,
}

/// The thresholds of the semantic check (Hessel et al. 2021, CLIPScore = 2.5·max(cos, 0)).
///
/// The defaults are the origin's. Real L/14 cosines run lower than B/32's, so `clip_l` wants calibration with the
/// weights that a bundle really holds; that is why the thresholds live here and not in the node's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verification {
    /// The least score of ViT-B/32 that passes.
    pub clip_b: f64,
    /// The least score of ViT-L/14 that passes.
    pub clip_l: f64,
    /// The share of ViT-B/32 in the ensemble.
    pub weight_b: f64,
    /// The share of ViT-L/14; both shares add up to 1.
    pub weight_l: f64,
    /// Scores further apart than this flag an outlier.
    pub outlier: f64,
}

impl Default for Verification {
    fn default() -> Self {
        Self { clip_b: 0.70, clip_l: 0.72, weight_b: 0.4, weight_l: 0.6, outlier: 0.15 }
    }
}

/// What a bundle's image model was made for, where it was made for less than everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The size at which it paints; `None` where it paints at the recipe's.
    pub resolution: Option<Resolution>,
    /// The words that it knows; `None` where it knows all.
    pub vocabulary: Option<VocabularyFile>,
}

/// A file of words, as [`Vocabulary`](super::vocabulary::Vocabulary) reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VocabularyFile {
    /// Where it lies, relative to the bundle's folder, without `..`.
    pub path: String,
    /// What it must hash to.
    pub sha256: Sha256,
    /// What can be asked for, in a sentence, for people whose prompt has other words.
    pub about: Option<String>,
    /// Prompts that it paints well, for people who begin.
    pub prompts: Vec<String>,
}

/// One model of a bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelEntry {
    /// What its weights become in memory.
    pub precision: Precision,
    /// Parts that differ from that, by the role of their weights.
    pub parts: BTreeMap<String, Precision>,
    /// What it may hold resident.
    pub budget: Bytes,
    /// What its makers say of it.
    pub card: Card,
    /// Where its files can be fetched from.
    pub hub: Option<Hub>,
    /// Its files by role, in the order they are written.
    pub files: BTreeMap<String, Vec<FileEntry>>,
}

/// From the model's card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// The licence, by its SPDX name where it has one.
    pub licence: Option<String>,
    /// Who made it.
    pub authors: Option<String>,
    /// Where to read more.
    pub url: Option<String>,
}

/// A repository on a model hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    /// `owner/name`.
    pub repo: String,
    /// A commit, tag or branch; only a commit is sure to stay what it is.
    pub revision: String,
}

/// Another place of a published file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The repository.
    pub hub: Hub,
    /// Its path there, where that differs.
    pub path: Option<String>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it lies, relative to the bundle's folder, without `..`.
    pub path: String,
    /// What it must hash to, as it lies here; absent where the lock alone says it.
    pub sha256: Option<Sha256>,
    /// How many bytes the published file has.
    pub bytes: Option<Bytes>,
    /// Whether its licence has to be accepted at the hub's page first.
    pub gated: bool,
    /// How the hub knows it, where that is not the last part of `path` below the model's folder.
    pub remote: Option<Remote>,
    /// The repository it is in, where that is not the model's.
    pub hub: Option<Hub>,
    /// Where the same bytes can be had, too, in the order in which they are asked.
    pub also: Vec<Mirror>,
}

impl FileEntry {
    /// A file that is published nowhere.
    pub fn local(path: impl Into<String>, sha256: Sha256) -> Self {
        Self {
            path: path.into(),
            sha256: Some(sha256),
            bytes: None,
            gated: false,
            remote: None,
            hub: None,
            also: Vec::new(),
        }
    }
}

/// How checkpoints are called that are not read as they are published, but converted first.
const PICKLES: [&str; 4] = ["pth", "pt", "bin", "ckpt"];

impl FileEntry {
    /// Whether what lies here is made from what is published: a pickle, rewritten as safetensors.
    pub fn is_converted(&self) -> bool {
        let suffix = |path: &str| Path::new(path).extension().map(|suffix| suffix.to_ascii_lowercase());
        let is_pickle =
            |path: &str| suffix(path).is_some_and(|suffix| PICKLES.iter().any(|it| suffix == *it));
        let is_safetensors = suffix(&self.path).is_some_and(|suffix| suffix == "safetensors");
        self.remote
            .as_ref()
            .is_some_and(|remote| remote.sha256.is_some() || (is_safetensors && is_pickle(&remote.path)))
    }

    /// Every place where it is published, with its path there: first its own repository, or `model`'s.
    pub fn places<'a>(&'a self, model: Option<&'a Hub>) -> Vec<(&'a Hub, &'a str)> {
        let Some(hub) = self.hub.as_ref().or(model) else { return Vec::new() };
        // How the hub knows a file that names no other path: a bundle keeps each model in a folder of its own.
        let below = || self.path.split_once('/').map_or(self.path.as_str(), |(_, rest)| rest);
        let path = self.remote.as_ref().map_or_else(below, |remote| &remote.path);
        let mirrors = self.also.iter().map(|mirror| (&mirror.hub, mirror.path.as_deref().unwrap_or(path)));
        std::iter::once((hub, path)).chain(mirrors).collect()
    }
}

/// A published file that [`FileEntry::path`] is, or is converted from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its path in the repository.
    pub path: String,
    /// Its own hash, where it is a pickle that is converted after the pull; absent where the lock alone says it.
    pub sha256: Option<Sha256>,
}

impl Bundle {
    /// Reads the description at `path`, a bundle's folder or its `bundle.toml`, and the lock beside it, which may not
    /// contradict it; no other file is touched.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let file = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
        let text = std::fs::read_to_string(&file)
            .map_err(|source| BundleError::Unreadable { file: file.clone(), source })?;
        let folder = file.parent().map_or_else(PathBuf::new, Path::to_owned);
        let mut bundle = read::parse(&text, &file, &folder)?;
        bundle.lock = Lock::read(&Lock::beside(&file))?;
        lock::agree::check(&bundle, &file)?;
        Ok(bundle)
    }

    /// What is described of `model`; an error that lists what there is.
    pub fn model(&self, model: ModelId) -> Result<&ModelEntry, ModelError> {
        self.models.get(&model).ok_or_else(|| {
            let there: Vec<&str> = self.models.keys().map(|model| model.name()).collect();
            let (name, there) = (&self.name, there.join(", "));
            ModelError::own(format!("bundle {name:?} has no model {model}; it has: {there}"))
        })
    }

    /// Where the files of a role lie; empty where the bundle leaves an optional role out.
    pub fn paths(&self, model: ModelId, role: &str) -> Vec<PathBuf> {
        let files = self.models.get(&model).and_then(|entry| entry.files.get(role));
        files.into_iter().flatten().map(|file| self.folder.join(&file.path)).collect()
    }

    /// Where the one file of a role lies; an error that names the role where it is not there.
    pub fn path(&self, model: ModelId, role: &str) -> Result<PathBuf, ModelError> {
        self.paths(model, role).into_iter().next().ok_or_else(|| {
            ModelError::own(format!("bundle {:?} has no file for models.{model}.files.{role}", self.name))
        })
    }

    /// Where the files of a role lie; an error that names the role where there are none.
    pub fn filled(&self, model: ModelId, role: &str) -> Result<Vec<PathBuf>, ModelError> {
        self.path(model, role)?;
        Ok(self.paths(model, role))
    }

    /// What [`Weights::open`](crate::models::weights::Weights::open) takes for a role: the index where there is one,
    /// else every file.
    pub fn weight_files(&self, model: ModelId, role: &str) -> Vec<PathBuf> {
        let all = self.paths(model, role);
        let index = all.iter().find(|path| path.to_string_lossy().ends_with(".index.json")).cloned();
        index.map_or(all, |index| vec![index])
    }
}

impl ModelEntry {
    /// The precision of the weights in `role`.
    pub fn precision_of(&self, role: &str) -> Precision {
        self.parts.get(role).copied().unwrap_or(self.precision)
    }

    /// Every file with its role, in order of role.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &FileEntry)> {
        self.files.iter().flat_map(|(role, files)| files.iter().map(move |file| (role.as_str(), file)))
    }
}
