//! One network's files: opened in any layout, put under the names that it asks by, and compared with what it asks for.
//!
//! Whoever verifies a bundle and whoever loads from it goes through here, so what verifies loads, and what loads
//! verifies. Copies no tensor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::contract::ModelError;
use crate::models::flux::gguf::GgufFile;
use crate::models::flux::nf4;
use crate::models::flux::plan::InFile;
use crate::models::weights::check::Misfits;
use crate::models::weights::naming::{Aliases, Stored, no_aliases};
use crate::models::weights::spec::TensorSpec;
use crate::models::weights::{Weights, WeightsError};

/// One network of a model: the row of the table.
#[derive(Clone, Debug)]
pub struct Network {
    /// The role that its weights have in a bundle.
    pub role: &'static str,
    /// Every tensor it asks for.
    pub specs: Vec<TensorSpec>,
    /// How the names begin that a published file has besides, for uses that this node has not.
    pub beside: &'static [&'static str],
    /// What other programs call its tensors.
    aliases: Aliases,
    /// Whether its matrices may be packed: GGUF, bitsandbytes' NF4.
    packed: bool,
}

/// Files as they are stored.
#[derive(Debug)]
pub enum Files {
    /// Mapped safetensors.
    Dense(Weights),
    /// A GGUF file.
    Gguf(GgufFile),
}

/// Files under a network's names.
#[derive(Clone, Debug)]
pub enum Opened {
    /// Mapped safetensors.
    Dense(Arc<Weights>),
    /// A GGUF file.
    Gguf(Rc<GgufFile>),
}

impl Files {
    /// Maps safetensors, an index of them, or one GGUF file (by its suffix or its first bytes), and reads the headers.
    pub fn open(files: &[PathBuf]) -> Result<Self, ModelError> {
        match files {
            [file] if is_gguf(file) => Ok(Self::Gguf(GgufFile::open(file)?)),
            files => Ok(Self::Dense(Weights::open(files)?)),
        }
    }

    /// Their tensors, to be looked for by name.
    pub fn stored(&self) -> Stored<'_> {
        match self {
            Self::Dense(weights) => Stored::new(weights.shapes()),
            Self::Gguf(file) => Stored::new(file.shapes()),
        }
    }
}

fn is_gguf(file: &Path) -> bool {
    let begins = || {
        let mut first = [0; 4];
        File::open(file).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first == *b"GGUF"
    };
    file.extension().is_some_and(|extension| extension == "gguf") || begins()
}

impl Network {
    /// In safetensors of floats, under the names of `specs`.
    pub(super) fn new(role: &'static str, specs: Vec<TensorSpec>) -> Self {
        Self { role, specs, beside: &[], aliases: no_aliases, packed: false }
    }

    pub(super) fn beside(self, beside: &'static [&'static str]) -> Self {
        Self { beside, ..self }
    }

    pub(super) fn known_as(self, aliases: Aliases) -> Self {
        Self { aliases, ..self }
    }

    pub(super) fn or_packed(self) -> Self {
        Self { packed: true, ..self }
    }

    /// How many numbers it asks for.
    pub fn parameters(&self) -> u64 {
        self.specs.iter().map(|spec| spec.shape.elem_count() as u64).sum()
    }

    /// Opens `files` under the network's names.
    pub fn open(&self, files: &[PathBuf]) -> Result<Opened, ModelError> {
        self.name(if self.packed { Files::open(files)? } else { Files::Dense(Weights::open(files)?) })
    }

    /// The same of files that are open already.
    pub fn name(&self, files: Files) -> Result<Opened, ModelError> {
        Ok(match files {
            Files::Dense(weights) => Opened::Dense(Arc::new(weights.named_for(&self.specs, self.aliases)?)),
            Files::Gguf(file) => Opened::Gguf(Rc::new(file.named_for(&self.specs, self.aliases)?)),
        })
    }

    /// What does not fit between what it asks for and what `opened` has.
    pub fn misfits(&self, opened: &Opened) -> Misfits {
        match opened {
            Opened::Dense(weights) => self.of_dense(weights),
            Opened::Gguf(file) => {
                let mut misfits = Misfits::of_gguf(file.path(), file.shapes(), &self.specs, self.beside);
                for spec in &self.specs {
                    if let [_, cols] = spec.shape.dims()
                        && let Some(why) = file.unfit(&spec.name, *cols)
                    {
                        misfits.wrong.push(malformed(file.path(), &spec.name, why));
                    }
                }
                misfits
            }
        }
    }

    fn of_dense(&self, weights: &Weights) -> Misfits {
        let is_packed = |spec: &&TensorSpec| self.packed && nf4::is_stored(weights, &spec.name);
        let (packed, plain): (Vec<&TensorSpec>, Vec<&TensorSpec>) = self.specs.iter().partition(is_packed);
        let plain: Vec<TensorSpec> = plain.into_iter().cloned().collect();
        let mut misfits = Misfits::between(weights, &plain, self.beside);
        for spec in packed {
            // Its own tensor and what describes it are no surplus.
            let parts = format!("{}.", spec.name);
            misfits.surplus.retain(|name| *name != spec.name && !name.starts_with(&parts));
            if let Err(error) = nf4::fits(weights, &spec.name, spec.shape.dims())
                && let Some(found) = weights.find(&spec.name)
            {
                misfits.wrong.push(malformed(found.file, &spec.name, error.to_string()));
            }
        }
        misfits
    }

    /// What it asks for and tensors of these names and shapes do not have, or have in another shape: for files that
    /// have to be converted before they can be opened. The first of them, and how many there are.
    pub(in crate::models) fn lacking<'a>(
        &self,
        tensors: impl Iterator<Item = (&'a str, &'a [usize])>,
    ) -> Option<(String, usize)> {
        let shapes: BTreeMap<&str, &[usize]> = tensors.collect();
        let names = Stored::new(shapes.iter().map(|(name, shape)| (*name, *shape)));
        let names = names.named_for(&self.specs, self.aliases);
        let found: BTreeMap<&str, &[usize]> = names
            .iter()
            .filter_map(|(stored, name)| Some((name.as_str(), *shapes.get(stored.as_str())?)))
            .collect();
        let wrong = |spec: &TensorSpec| {
            let (name, dims) = (&spec.name, spec.shape.dims());
            match found.get(name.as_str()) {
                None => Some(format!("tensor {name:?} of shape {dims:?} is missing")),
                Some(shape) if *shape != dims => {
                    Some(format!("tensor {name:?}: expected shape {dims:?}, found {shape:?}"))
                }
                Some(_) => None,
            }
        };
        let mut all = self.specs.iter().filter_map(wrong);
        let first = all.next()?;
        Some((first, 1 + all.count()))
    }

    /// Fails, with what is first, where the network cannot be built from `opened`.
    pub fn fit(&self, opened: &Opened) -> Result<(), ModelError> {
        let misfits = self.misfits(opened);
        let mut all = misfits.wrong.iter().chain(&misfits.missing);
        let Some(first) = all.next() else { return Ok(()) };
        let more = match all.count() {
            0 => String::new(),
            more => format!(" (and {more} more that are missing or do not fit; `weights verify` names each)"),
        };
        Err(ModelError::own(format!("{first}{more}")))
    }

    /// `weights` under the network's names; fails, with what is first, where it cannot be built from them.
    pub fn sound_weights(&self, weights: Weights) -> Result<Arc<Weights>, ModelError> {
        let weights = Arc::new(weights.named_for(&self.specs, self.aliases)?);
        self.fit(&Opened::Dense(Arc::clone(&weights)))?;
        Ok(weights)
    }
}

fn malformed(file: &Path, tensor: &str, why: String) -> WeightsError {
    WeightsError::Malformed { file: file.to_owned(), place: format!("tensor {tensor:?}"), why }
}

impl Opened {
    /// Whether it has a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Dense(weights) => weights.find(name).is_some(),
            Self::Gguf(file) => file.has(name),
        }
    }

    /// What the file holds of a tensor and what belongs to it.
    pub fn look(&self, name: &str) -> Option<InFile> {
        match self {
            Self::Gguf(file) => {
                let (bytes, packed) = file.look(name)?;
                Some(InFile { bytes, stays: true, packed })
            }
            Self::Dense(weights) => {
                let found = weights.find(name)?;
                if !nf4::is_stored(weights, name) {
                    return Some(InFile { bytes: found.size(), stays: false, packed: false });
                }
                let parts = [".absmax", ".nested_absmax", ".nested_quant_map"];
                let more = parts.iter().filter_map(|part| weights.find(&format!("{name}{part}")));
                let bytes = found.size() + more.map(|found| found.size()).sum::<usize>();
                Some(InFile { bytes, stays: true, packed: true })
            }
        }
    }
}
