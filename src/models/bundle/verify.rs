//! A bundle's folder against its description: every file there, with its hash, and every tensor as the networks ask.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use candle_core::DType;
use sha2::Digest;

use super::{Bundle, Sha256};
use crate::contract::ModelError;
use crate::models::catalog::{self, Network, Opened};
use crate::models::weights::WeightsError;
use crate::models::weights::check::Misfits;
use crate::types::{Bytes, ModelId};

/// What became of one file.
#[derive(Debug)]
pub enum Standing {
    /// There, with the hash it should have.
    Sound,
    /// There, with another.
    WrongHash {
        /// What it should hash to.
        expected: Sha256,
        /// What it hashes to.
        found: Sha256,
    },
    /// There, and neither the description nor the lock says what it should hash to.
    Unknown {
        /// What it hashes to.
        found: Sha256,
    },
    /// Not there, or not readable.
    Unreadable(io::Error),
}

/// One file of a bundle, looked at.
#[derive(Debug)]
pub struct CheckedFile {
    /// Whose it is.
    pub model: ModelId,
    /// What it is for.
    pub role: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What it should hash to, where somebody says so.
    pub expected: Option<Sha256>,
    /// Its length; zero where it cannot be read.
    pub size: Bytes,
    /// What became of it.
    pub standing: Standing,
}

/// The tensors of one network, compared.
#[derive(Debug)]
pub struct CheckedNetwork {
    /// Whose it is.
    pub model: ModelId,
    /// The role of its weights.
    pub role: String,
    /// How many weights the network asks for.
    pub asked: usize,
    /// What does not fit, or why nothing could be compared.
    pub outcome: Result<Misfits, ModelError>,
    /// The first value in each tensor that is not finite, where that was looked for.
    pub not_finite: Vec<WeightsError>,
}

/// Hashes what stands under every role of `models`; `seen` is told of every piece read.
pub fn files(bundle: &Bundle, models: &[ModelId], mut seen: impl FnMut(Bytes)) -> Vec<CheckedFile> {
    let mut known: HashMap<PathBuf, (Sha256, Bytes)> = HashMap::new();
    let mut checked = Vec::new();
    for (model, entry) in bundle.models.iter().filter(|(model, _)| models.contains(model)) {
        let files = entry.entries().map(|(role, file)| (role, &file.path, bundle.hash_of(file)));
        // The words are those of the model that paints.
        let words = bundle.image.vocabulary.iter().filter(|_| *model == ModelId::Flux);
        let words = words.map(|file| ("vocabulary", &file.path, Some(file.sha256)));
        for (role, path, expected) in files.chain(words) {
            let path = bundle.folder.join(path);
            let hashed = match known.get(&path) {
                Some(known) => Ok(*known),
                None => hash(&path, &mut seen),
            };
            let (size, standing) = match hashed {
                Ok((found, size)) => {
                    known.insert(path.clone(), (found, size));
                    let standing = match expected {
                        None => Standing::Unknown { found },
                        Some(expected) if expected == found => Standing::Sound,
                        Some(expected) => Standing::WrongHash { expected, found },
                    };
                    (size, standing)
                }
                Err(error) => (Bytes::ZERO, Standing::Unreadable(error)),
            };
            checked.push(CheckedFile {
                model: *model,
                role: role.to_owned(),
                path,
                expected,
                size,
                standing,
            });
        }
    }
    checked
}

/// Compares the tensors of every network of `models` with its files; `finite` looks at every value too.
pub fn networks(bundle: &Bundle, models: &[ModelId], finite: bool) -> Vec<CheckedNetwork> {
    let mut checked = Vec::new();
    for model in bundle.models.keys().copied().filter(|model| models.contains(model)) {
        match catalog::networks(bundle, model) {
            Ok(networks) => {
                checked.extend(networks.iter().map(|network| self::network(bundle, model, network, finite)));
            }
            Err(error) => checked.push(CheckedNetwork {
                model,
                role: "config".to_owned(),
                asked: 0,
                outcome: Err(error),
                not_finite: Vec::new(),
            }),
        }
    }
    checked
}

/// What a load reads besides tensors: a tokenizer, a preparation, voices.
#[derive(Debug)]
pub struct CheckedPart {
    /// Whose it is.
    pub model: ModelId,
    /// Its role.
    pub role: &'static str,
    /// What a load would say of it.
    pub outcome: Result<(), ModelError>,
}

/// Reads what a load of `models` reads besides tensors.
pub fn parts(bundle: &Bundle, models: &[ModelId]) -> Vec<CheckedPart> {
    let mut checked = Vec::new();
    for model in bundle.models.keys().copied().filter(|model| models.contains(model)) {
        let parts = catalog::parts(bundle, model);
        checked.extend(parts.into_iter().map(|(role, outcome)| CheckedPart { model, role, outcome }));
    }
    checked
}

fn network(bundle: &Bundle, model: ModelId, network: &Network, finite: bool) -> CheckedNetwork {
    let mut not_finite = Vec::new();
    let outcome = network.open(&bundle.weight_files(model, network.role)).map(|opened| {
        // GGUF's numbers are decoded by their own reader.
        if let (true, Opened::Dense(weights)) = (finite, &opened) {
            let found = weights.weight_names().filter_map(|name| weights.find(name));
            not_finite.extend(found.filter_map(|found| found.expect_finite(DType::F32).err()));
        }
        network.misfits(&opened)
    });
    CheckedNetwork { model, role: network.role.to_owned(), asked: network.specs.len(), outcome, not_finite }
}

/// Hash and length of a file, read in pieces; `seen` is told of each.
pub fn hash(path: &Path, mut seen: impl FnMut(Bytes)) -> io::Result<(Sha256, Bytes)> {
    // Large enough that the hash, not the calls, is what takes time.
    const PIECE: usize = 1 << 20;
    let mut file = std::fs::File::open(path)?;
    let (mut hash, mut size, mut piece) = (sha2::Sha256::new(), Bytes::ZERO, vec![0; PIECE]);
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            return Ok((Sha256::from_digest(hash.finalize().into()), size));
        }
        hash.update(&piece[..count]);
        let count = Bytes::new(count as u64);
        size = size.saturating_add(count);
        seen(count);
    }
}
