//! Puts the files of a model where its bundle names them: as they lie where they lie below the bundle's folder, as
//! links elsewhere, and rewritten or made up where they have to be.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use safetensors::Dtype;

use super::contents::{Format, Source};
use super::draft::{Entry, Piece};
use super::{AdoptedFile, Doing, Way, open_clip, speech};
use crate::contract::{ModelError, Run};
use crate::models::bundle::{FileEntry, Sha256, roles, verify};
use crate::models::weights::pickle::{self, Checkpoint};
use crate::models::weights::writer::{self, Replacement, write_safetensors};
use crate::models::weights::{Weights, WeightsError};
use crate::types::ModelId;

/// The folder in a bundle's that links and what is made here lie in: nothing of anybody else's does.
pub(super) const FOLDER: &str = "adopted";

/// Puts files into one bundle's folder.
pub(super) struct Placer<'a> {
    /// The bundle's folder, absolute.
    into: &'a Path,
    /// Whether what stands in the way is written over.
    replace: bool,
    /// Where weights that several roles share were put, by what they are.
    known: HashMap<PathBuf, String>,
    hashes: HashMap<PathBuf, Sha256>,
    /// What was made, by model.
    made: Vec<(ModelId, PathBuf)>,
}

/// A file as the bundle names it, and how it came there.
pub(super) struct Placed {
    pub entry: FileEntry,
    pub file: AdoptedFile,
}

impl<'a> Placer<'a> {
    pub(super) fn new(into: &'a Path, replace: bool) -> Self {
        Self { into, replace, known: HashMap::new(), hashes: HashMap::new(), made: Vec::new() }
    }

    /// Puts one file of `model`.
    pub(super) fn put(
        &mut self,
        model: ModelId,
        Entry { role, folder, piece }: &Entry,
        seen: &mut dyn FnMut(Doing<'_>),
    ) -> Result<Placed, ModelError> {
        let place = |name: &str| format!("{FOLDER}/{model}/{folder}/{name}");
        let (path, way, from, about) = match piece {
            Piece::File { path: from, suffix } => {
                let (path, way) = self.file(model, role, from, *suffix, &place)?;
                (path, way, Some(from.clone()), None)
            }
            Piece::Pickle { from, name } => {
                let path = place(&safe(name));
                let to = self.free(model, &path)?;
                seen(Doing::Convert(from));
                let converted = pickle::convert(from, &to, &Run::unobserved())?;
                self.hashes.insert(to, converted.written.sha256);
                (path, Way::Converted, Some(from.clone()), None)
            }
            Piece::OpenClip { source } => {
                let path = place("model.safetensors");
                let to = self.free(model, &path)?;
                seen(Doing::Convert(source.path()));
                let written = open_clip::convert(source, &to)?;
                self.hashes.insert(to, written.sha256);
                (path, Way::Converted, Some(source.path().to_owned()), None)
            }
            Piece::Voice { from, tensor, name, width } => {
                let path = place(&format!("{}.safetensors", safe(name)));
                let to = self.free(model, &path)?;
                let written = voice(from, *tensor, *width, &to)?;
                self.hashes.insert(to, written.sha256);
                (path, Way::Converted, Some(from.path().to_owned()), None)
            }
            Piece::Made { name, bytes, about } => {
                let path = place(name);
                let to = self.free(model, &path)?;
                let written = text(&to, bytes)?;
                self.hashes.insert(to, written.sha256);
                (path, Way::Supplied, None, Some(*about))
            }
        };
        let at = self.into.join(&path);
        let sha256 = self.hash(&at, seen)?;
        let size = std::fs::metadata(&at).map_or(0, |found| found.len());
        let file = AdoptedFile {
            model,
            role,
            path: path.clone(),
            from,
            way,
            about,
            size: crate::types::Bytes::new(size),
        };
        Ok(Placed { entry: FileEntry::local(path, sha256), file })
    }

    /// Takes away what was made for `model`, which is not to be in the bundle after all.
    pub(super) fn withdraw(&mut self, model: ModelId) {
        for (_, path) in self.made.extract_if(.., |(of, _)| *of == model) {
            // What stays is in nobody's way, and its folder says whose it is.
            let _ = std::fs::remove_file(path);
        }
        let place = format!("{FOLDER}/{model}/");
        self.known.retain(|_, path| !path.starts_with(&place));
    }

    fn file(
        &mut self,
        model: ModelId,
        role: &str,
        from: &Path,
        suffix: Option<&'static str>,
        place: &dyn Fn(&str) -> String,
    ) -> Result<(String, Way), ModelError> {
        if let Some(path) = inside(from, self.into).filter(|_| suits(from, suffix)) {
            return Ok((path, Way::There));
        }
        let real = from.canonicalize().map_err(|error| unwritable(from, error))?;
        let is_weights = roles::find(model, role).is_some_and(|role| role.kind == roles::Kind::Weights);
        if is_weights && let Some(path) = self.known.get(&real) {
            return Ok((path.clone(), Way::Linked));
        }
        let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = match suffix {
            Some(suffix) if !suits(from, Some(suffix)) || name.ends_with(".sft") => {
                format!("{}.{suffix}", name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem))
            }
            _ => name,
        };
        let path = place(&safe(&name));
        let to = self.free(model, &path)?;
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
        }
        if to.symlink_metadata().is_ok() {
            std::fs::remove_file(&to).map_err(|error| unwritable(&to, error))?;
        }
        link(&real, &to).map_err(|error| unwritable(&to, error))?;
        if is_weights {
            self.known.insert(real, path.clone());
        }
        Ok((path, Way::Linked))
    }

    /// Where `path` of the bundle is, which nothing may stand at that was not put there now, unless it is replaced.
    fn free(&mut self, model: ModelId, path: &str) -> Result<PathBuf, ModelError> {
        let to = self.into.join(path);
        if !self.replace && to.symlink_metadata().is_ok() {
            return Err(ModelError::own(format!(
                "{} is there already; take it away, or let it be replaced",
                to.display()
            )));
        }
        self.made.push((model, to.clone()));
        Ok(to)
    }

    fn hash(&mut self, at: &Path, seen: &mut dyn FnMut(Doing<'_>)) -> Result<Sha256, ModelError> {
        if let Some(known) = self.hashes.get(at) {
            return Ok(*known);
        }
        let failed =
            |error: io::Error| ModelError::own(format!("{} cannot be read", at.display())).because(error);
        let real = at.canonicalize().map_err(failed)?;
        if let Some(known) = self.hashes.get(&real) {
            return Ok(*known);
        }
        let size = crate::types::Bytes::new(std::fs::metadata(at).map_err(failed)?.len());
        seen(Doing::Hash(at, size));
        let (hash, _) = verify::hash(at, |piece| seen(Doing::Hashed(piece))).map_err(failed)?;
        self.hashes.insert(real, hash);
        Ok(hash)
    }
}

/// `path` as a bundle in `folder` names it, where it lies below and its name can stand there.
fn inside(path: &Path, folder: &Path) -> Option<String> {
    let below = path.strip_prefix(folder).ok()?;
    let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    let text = below.to_str()?;
    (is_plain && !text.contains(['\\', ':', '\0'])).then(|| text.to_owned())
}

/// Whether readers take the file at `path` for what it is, by its name: GGUF is told by it.
fn suits(path: &Path, suffix: Option<&str>) -> bool {
    let is_gguf = path.extension().is_some_and(|suffix| suffix == "gguf");
    let is_index = path.to_string_lossy().ends_with(".index.json");
    match suffix {
        None => true,
        Some("gguf") => is_gguf,
        Some(_) => !is_gguf && !is_index,
    }
}

/// A name that may stand in a bundle.
fn safe(name: &str) -> String {
    let safe = name.replace(['\\', ':', '/', '\0'], "_");
    if matches!(safe.as_str(), "" | "." | "..") { "_".to_owned() } else { safe }
}

fn unwritable(path: &Path, source: io::Error) -> ModelError {
    WeightsError::Unwritable { file: path.to_owned(), source }.into()
}

#[cfg(unix)]
fn link(real: &Path, to: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(real, to)
}

/// Symbolic links need a privilege elsewhere.
#[cfg(not(unix))]
fn link(real: &Path, to: &Path) -> io::Result<()> {
    std::fs::hard_link(real, to)
}

/// Writes a text whole, or not at all.
pub(super) fn text(to: &Path, bytes: &[u8]) -> Result<writer::Written, ModelError> {
    let failed = |error| unwritable(to, error);
    let mut file = Replacement::create(to).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.finish().map_err(failed)
}

/// Writes one tensor as a voice.
fn voice(from: &Source, place: usize, width: usize, to: &Path) -> Result<writer::Written, ModelError> {
    let broken = |why: String| ModelError::own(format!("{}: {why}", from.path().display()));
    let (dtype, shape, bytes) = match from.format {
        Format::Pickle => {
            let mut checkpoint = Checkpoint::open(from.path())?;
            let values = checkpoint.values(place)?;
            let tensor = checkpoint.tensors().get(place).ok_or_else(|| broken("has changed".to_owned()))?;
            (tensor.dtype, tensor.shape.clone(), values)
        }
        Format::Safetensors => {
            let weights = Weights::open(&from.files)?;
            let name = from.tensors.get(place).map_or("", |tensor| tensor.name.as_str());
            let found = weights.find(name).ok_or_else(|| weights.missing(name, None))?;
            (found.dtype, found.shape.to_vec(), found.bytes.to_vec())
        }
        Format::Gguf | Format::Npz | Format::Raw => {
            let (values, shape) = speech::values(from, place, width).map_err(broken)?;
            (Dtype::F32, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
    };
    let entry = writer::Entry { name: pickle::BARE_TENSOR.to_owned(), dtype, shape };
    write_safetensors(to, &[entry], |_, file| file.write_all(&bytes).map_err(|error| unwritable(to, error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_in_a_bundle_or_is_changed_until_it_can() {
        let folder = Path::new("/models");
        assert_eq!(
            inside(Path::new("/models/vae/ae.safetensors"), folder).as_deref(),
            Some("vae/ae.safetensors")
        );
        for other in ["/elsewhere/x", "/models/a:b", "/models/a\\b", "/models/../x"] {
            assert_eq!(inside(Path::new(other), folder), None, "{other}");
        }
        assert_eq!((safe("a/b:c"), safe("..")), ("a_b_c".to_owned(), "_".to_owned()));
        assert!(suits(Path::new("x.gguf"), Some("gguf")) && !suits(Path::new("x.bin"), Some("gguf")));
        assert!(
            suits(Path::new("x.sft"), Some("safetensors"))
                && !suits(Path::new("x.gguf"), Some("safetensors"))
        );
    }
}
