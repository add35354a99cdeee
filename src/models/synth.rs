//! A bundle of random weights of any size: the same bytes for the same seed on every machine, streamed to disk.
//!
//! For tests, rehearsals and benchmarks: every file is there that a real bundle has, under the published names, and the
//! networks compute finite numbers of the usual magnitude. What they compute means nothing.

mod init;
mod profiles;
mod tokenizers;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::bundle::{
    Bundle, Card, FILE_NAME, FileEntry, Image, ModelEntry, Precision, Sha256, Verification, roles,
};
use super::catalog;
use super::weights::spec::TensorSpec;
use super::weights::writer::{Entry, Replacement, Written, write_safetensors};
use super::weights::{WeightsError, pickle};
use crate::contract::ModelError;
use crate::types::{Bytes, ModelId, names};
pub use profiles::VOICES;
use profiles::{Content, Planned};

#[cfg(test)]
mod tests;

names! {
    /// How large a synthetic bundle is.
    Profile, "a size of synthetic weights" {
        /// Every structural feature, every dimension as small as it goes: a few megabytes.
        Tiny => "tiny",
        /// The published sizes.
        Full => "full",
    }
}

/// The published configuration of a role as text, for files that come without one; `None` of what is no configuration.
pub(in crate::models) fn published(model: ModelId, role: &str) -> Option<String> {
    let is_config = roles::find(model, role).is_some_and(|role| role.kind == roles::Kind::Config);
    let mut files = profiles::plan(model, Profile::Full).files.into_iter();
    files.find(|file| is_config && file.role == role).and_then(|file| match file.content {
        Content::Text(text) => Some(text),
        Content::Voice { .. } | Content::Weights(_) => None,
    })
}

/// The precision that `model` was made to run in.
pub(in crate::models) fn precision(model: ModelId) -> Precision {
    profiles::plan(model, Profile::Full).precision
}

/// How far the writing is.
#[derive(Clone, Copy, Debug)]
pub struct Writing<'a> {
    /// The file being written.
    pub file: &'a Path,
    /// Bytes of its tensors written.
    pub done: Bytes,
    /// Bytes of its tensors in all.
    pub total: Bytes,
}

/// Writes a bundle of `models` into `folder`, which may not hold one yet. `seen` is told after every tensor.
pub fn write(
    folder: &Path,
    models: &[ModelId],
    profile: Profile,
    seed: u64,
    mut seen: impl FnMut(Writing<'_>),
) -> Result<Bundle, ModelError> {
    let description = folder.join(FILE_NAME);
    if description.exists() {
        return Err(ModelError::own(format!("{} is there already", description.display())));
    }
    let name = format!("synthetic-{profile}");
    let summary = format!("random weights of seed {seed}, for tests and rehearsals; they mean nothing");
    let mut bundle = Bundle {
        folder: folder.to_owned(),
        name,
        summary: Some(summary),
        // Random numbers agree with no prompt: the check is made and never failed by its scores.
        verification: Verification { clip_b: 0.0, clip_l: 0.0, ..Verification::default() },
        image: Image::default(),
        models: BTreeMap::new(),
        lock: None,
    };
    for model in models {
        let planned = profiles::plan(*model, profile);
        let entry = ModelEntry {
            precision: planned.precision,
            parts: BTreeMap::new(),
            budget: planned.budget,
            card: Card { licence: Some("none: random numbers".to_owned()), ..Card::default() },
            hub: None,
            files: BTreeMap::new(),
        };
        bundle.models.insert(*model, entry);
        // Weights come last: their shapes follow from the configurations, read as those of any other bundle.
        for file in &planned.files {
            let written = match &file.content {
                Content::Text(text) => Some(plain(&folder.join(&file.path), text)?),
                Content::Voice { rows, width } => Some(voice(folder, file, *rows, *width, seed)?),
                Content::Weights(_) => None,
            };
            // Nobody checks a hash while the bundle is being made; the true one takes its place below.
            let sha256 = written.map_or(Sha256::of(b""), |written| written.sha256);
            put(&mut bundle, *model, file, sha256);
        }
        for network in catalog::networks(&bundle, *model)? {
            let file = planned.files.iter().find(|file| file.role == network.role);
            let Some((file, Content::Weights(dtype))) = file.map(|file| (file, &file.content)) else {
                return Err(ModelError::own(format!(
                    "{model}: no file is planned for role {:?}",
                    network.role
                )));
            };
            let path = folder.join(&file.path);
            let written = weights(&path, &network.specs, *dtype, seed, &file.path, &mut seen)?;
            put(&mut bundle, *model, file, written.sha256);
        }
    }
    plain(&description, &bundle.to_toml())?;
    Ok(bundle)
}

/// Enters a file, in place of what was entered for the same path.
fn put(bundle: &mut Bundle, model: ModelId, file: &Planned, sha256: Sha256) {
    let Some(entry) = bundle.models.get_mut(&model) else { return };
    let files = entry.files.entry(file.role.to_owned()).or_default();
    files.retain(|there| there.path != file.path);
    files.push(FileEntry::local(file.path.clone(), sha256));
}

fn plain(path: &Path, text: &str) -> Result<Written, ModelError> {
    let failed = |source| WeightsError::Unwritable { file: path.to_owned(), source };
    let mut file = Replacement::create(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    Ok(file.finish().map_err(failed)?)
}

fn voice(folder: &Path, file: &Planned, rows: usize, width: usize, seed: u64) -> Result<Written, ModelError> {
    let path = folder.join(&file.path);
    let entry = Entry {
        name: pickle::BARE_TENSOR.to_owned(),
        dtype: safetensors::Dtype::F32,
        shape: vec![rows, 1, width],
    };
    write_safetensors(&path, &[entry], |_, out| {
        // Published voices spread by about 0.2.
        let law = init::Law { mean: 0.0, spread: 0.3 };
        let failed = |source| WeightsError::Unwritable { file: path.clone(), source };
        init::fill(law, rows * width, safetensors::Dtype::F32, seed, &file.path, out).map_err(failed)?;
        Ok(())
    })
}

/// Writes one network's tensors, each from a stream of its own, so that no tensor depends on what was written before.
fn weights(
    path: &Path,
    specs: &[TensorSpec],
    dtype: safetensors::Dtype,
    seed: u64,
    label: &str,
    seen: &mut impl FnMut(Writing<'_>),
) -> Result<Written, ModelError> {
    let entries: Vec<Entry> = specs
        .iter()
        .map(|spec| Entry { name: spec.name.clone(), dtype, shape: spec.shape.dims().to_vec() })
        .collect();
    let size = |entry: &Entry| Bytes::new(entry.size().unwrap_or(0) as u64);
    let (total, mut done) = (entries.iter().map(size).sum(), Bytes::ZERO);
    write_safetensors(path, &entries, |place, file| {
        let failed = |source| WeightsError::Unwritable { file: path.to_owned(), source };
        let spec = &specs[place];
        let stream = format!("{label}/{}", spec.name);
        let law = init::law(spec);
        init::fill(law, spec.shape.elem_count(), dtype, seed, &stream, file).map_err(failed)?;
        done = done.saturating_add(size(&entries[place]));
        seen(Writing { file: path, done, total });
        Ok(())
    })
}
