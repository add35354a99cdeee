//! Weights that people have already: recognised by their tensors, and a bundle written around them.
//!
//! `scan` finds files, `contents` looks into each, `kinds` tells whose tensors they are, `choose` decides between
//! several that would serve, one module for each model drafts it, `place` puts its files. What is written passes the
//! check that [`verify`] makes, or is left out; every file that is left over is told of. Copies nothing that can be read
//! as it is, and executes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;

use super::bundle::{Bundle, Card, FILE_NAME, Image, Lock, ModelEntry, Precision, Verification, verify};
use super::catalog::{self, load};
use super::flux::files::FluxFiles;
use super::flux::plan::Place;
use super::flux::{self as flux_model, precision::Precision as Kept};
use crate::contract::ModelError;
use crate::types::{Bytes, ModelId};

mod choose;
mod clip;
mod contents;
mod draft;
mod embedded;
mod flux;
mod group;
mod kinds;
mod npz;
mod open_clip;
mod place;
mod portrait;
mod scan;
mod sizes;
mod speech;
mod texts;

use choose::{Chooser, Found};
use draft::Draft;
use place::Placer;
use scan::LeftOver;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Folders to look through, or files.
    pub from: &'a [PathBuf],
    /// The bundle's folder.
    pub into: &'a Path,
    /// Which models the bundle is to have, where they are there.
    pub models: &'a [ModelId],
    /// Whether a bundle that is there is written over.
    pub replace: bool,
}

/// What is being done, for whoever shows it.
#[derive(Clone, Copy, Debug)]
pub enum Doing<'a> {
    /// A file is looked into.
    Look(&'a Path),
    /// A file is rewritten.
    Convert(&'a Path),
    /// A file of this length is hashed.
    Hash(&'a Path, Bytes),
    /// A piece of it was.
    Hashed(Bytes),
}

/// How a file came to be in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It lies in the bundle's folder.
    There,
    /// It lies elsewhere, and the folder has a link to it.
    Linked,
    /// It was rewritten from a form that is not read.
    Converted,
    /// Nobody had it; the program knows it.
    Supplied,
}

impl Way {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Linked => "linked",
            Self::Converted => "converted",
            Self::Supplied => "supplied",
        }
    }
}

/// One file of the bundle.
#[derive(Clone, Debug)]
pub struct AdoptedFile {
    /// Whose it is.
    pub model: ModelId,
    /// What it is for.
    pub role: &'static str,
    /// How the bundle names it.
    pub path: String,
    /// What it was made of, or is; nothing where it was supplied.
    pub from: Option<PathBuf>,
    /// How it came there.
    pub way: Way,
    /// What was supplied.
    pub about: Option<&'static str>,
    /// Its length.
    pub size: Bytes,
}

/// Two files that would serve for one role.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Whose the role is.
    pub model: ModelId,
    /// The role.
    pub role: &'static str,
    /// The file that was taken.
    pub taken: PathBuf,
    /// The other.
    pub left: PathBuf,
    /// Why.
    pub why: String,
}

/// What came of it.
#[derive(Debug)]
pub struct Adopted {
    /// The bundle that was written; none where no model was whole.
    pub bundle: Option<Bundle>,
    /// Its files.
    pub files: Vec<AdoptedFile>,
    /// Models that it does not have, and why.
    pub left_out: Vec<(ModelId, String)>,
    /// Where several files would have served.
    pub choices: Vec<Choice>,
    /// Files that serve for nothing, and why.
    pub unused: Vec<(PathBuf, String)>,
}

/// Looks through what is asked for and writes the bundle around what can be used. Fails only where a folder cannot be
/// looked through or written to, or a bundle is there already.
pub fn adopt(request: &Request<'_>, mut seen: impl FnMut(Doing<'_>)) -> Result<Adopted, ModelError> {
    let unwritable = |error: std::io::Error| {
        ModelError::own(format!("{} cannot be written to", request.into.display())).because(error)
    };
    let into = std::path::absolute(request.into).map_err(unwritable)?;
    let description = into.join(FILE_NAME);
    if description.exists() && !request.replace {
        return Err(ModelError::own(format!("{} is there already", description.display())));
    }
    let (found, mut unused) = look(request.from, &into.join(place::FOLDER), &mut seen)?;
    let mut chooser = Chooser::new(&found);
    let mut placer = Placer::new(&into, request.replace);
    let mut left_out = Vec::new();
    let (mut files, mut bundle) = (Vec::new(), empty(&into));
    for model in request.models {
        let adopted = draft(&mut chooser, *model).and_then(|draft| {
            let failed = |error: ModelError| error.chain();
            put(&mut bundle, &mut placer, *model, &draft, &mut seen).map_err(failed)
        });
        match adopted {
            Ok(placed) => files.extend(placed),
            Err(why) => {
                bundle.models.remove(model);
                placer.withdraw(*model);
                chooser.release(*model);
                left_out.push((*model, why));
            }
        }
    }
    unused.extend(chooser.unused());
    unused.sort();
    let choices = std::mem::take(&mut chooser.choices);
    if bundle.models.is_empty() {
        return Ok(Adopted { bundle: None, files, left_out, choices, unused });
    }
    // What was fetched for the bundle that is replaced says nothing of this one.
    match std::fs::remove_file(Lock::beside(&description)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unwritable(error)),
        _ => {}
    }
    place::text(&description, bundle.to_toml().as_bytes())?;
    Ok(Adopted { bundle: Some(bundle), files, left_out, choices, unused })
}

fn empty(into: &Path) -> Bundle {
    let name =
        into.file_name().map_or_else(|| "adopted".to_owned(), |name| name.to_string_lossy().into_owned());
    Bundle {
        folder: into.to_owned(),
        name,
        summary: Some("weights that were here already, written around by `weights adopt`".to_owned()),
        verification: Verification::default(),
        image: Image::default(),
        models: BTreeMap::new(),
        lock: None,
    }
}

/// Everything below `from` that could be read, and what could not.
fn look(
    from: &[PathBuf],
    except: &Path,
    seen: &mut dyn FnMut(Doing<'_>),
) -> Result<(Found, Vec<LeftOver>), ModelError> {
    let (all, mut unused) = scan::files(from, except)?;
    let (mut sources, mut found) = (Vec::new(), Found::default());
    for file in all {
        seen(Doing::Look(&file.path));
        match contents::of(&file.path, file.size) {
            contents::Content::Tensors(source) => sources.push(source),
            contents::Content::Text(text) => found.texts.all.push(text),
            contents::Content::Unusable(why) => unused.push((file.path, why)),
            contents::Content::Nothing => {}
        }
    }
    let (whole, broken) = group::shards(sources);
    unused.extend(broken);
    found.sources = whole
        .into_iter()
        .map(|source| {
            let kinds = kinds::of(&source);
            (source, kinds)
        })
        .collect();
    Ok((found, unused))
}

fn draft(chooser: &mut Chooser<'_>, model: ModelId) -> Result<Draft, String> {
    use kinds::Kind;
    let portrait: Vec<Kind> = (0..kinds::PORTRAIT.len()).map(Kind::Portrait).collect();
    let kinds: &[Kind] = match model {
        ModelId::Flux => &[Kind::Transformer, Kind::Autoencoder, Kind::ClipText, Kind::T5],
        ModelId::LivePortrait => &portrait,
        ModelId::Kokoro => &[Kind::Kokoro],
        ModelId::ClipB | ModelId::ClipL => &[Kind::Clip, Kind::OpenClip],
    };
    if !chooser.has(kinds) {
        return Err("nothing of it was found".to_owned());
    }
    match model {
        ModelId::Flux => flux::draft(chooser),
        ModelId::LivePortrait => portrait::draft(chooser),
        ModelId::Kokoro => speech::draft(chooser),
        ModelId::ClipB | ModelId::ClipL => clip::draft(chooser, model),
    }
}

/// Puts the files of a model, enters it, and checks it as `weights verify` does.
fn put(
    bundle: &mut Bundle,
    placer: &mut Placer<'_>,
    model: ModelId,
    draft: &Draft,
    seen: &mut dyn FnMut(Doing<'_>),
) -> Result<Vec<AdoptedFile>, ModelError> {
    let mut entry = ModelEntry {
        precision: draft.precision,
        parts: BTreeMap::new(),
        budget: Bytes::new(1),
        card: Card::default(),
        hub: None,
        files: BTreeMap::new(),
    };
    let mut files = Vec::new();
    for drafted in &draft.entries {
        let placed = placer.put(model, drafted, seen)?;
        entry.files.entry(drafted.role.to_owned()).or_default().push(placed.entry);
        files.push(placed.file);
    }
    bundle.models.insert(model, entry);
    let budget = budget(bundle, model)?;
    if let Some(entry) = bundle.models.get_mut(&model) {
        entry.budget = budget;
    }
    for network in verify::networks(bundle, &[model], false) {
        let misfits = network.outcome?;
        if let Some(first) = misfits.wrong.iter().chain(&misfits.missing).next() {
            return Err(ModelError::own(format!("{}: {first}", network.role)));
        }
    }
    for part in verify::parts(bundle, &[model]) {
        part.outcome?;
    }
    Ok(files)
}

/// What the model holds once loaded, on a card or on a processor, whichever is more, and a twentieth besides.
fn budget(bundle: &Bundle, model: ModelId) -> Result<Bytes, ModelError> {
    let planned: Bytes =
        catalog::plan(bundle, model)?.iter().filter(|part| part.counts).map(|part| part.bytes).sum();
    let held = match model {
        ModelId::Flux => {
            let files = FluxFiles::of_bundle(bundle)?;
            let mut options = load::flux_options(bundle.model(model)?);
            if files.transformer.weights.iter().any(|file| file.extension().is_some_and(|it| it == "gguf")) {
                options.precision = Kept::Stored;
            }
            let parts = flux_model::load::plan(&files, &options, &Device::Cpu)?;
            // On a processor the two are one.
            let parts = parts.iter().filter(|part| part.place != Place::Mapped);
            parts.map(|part| part.bytes).sum()
        }
        _ => on_processor(bundle, model)?,
    };
    let most = planned.max(held).get();
    let megabyte = 1_000_000;
    Ok(Bytes::new((most + most / 20 + megabyte).next_multiple_of(megabyte)))
}

/// What a model besides Flux holds on a processor: in f32 what no kernel there keeps narrower, and the matrices of CLIP,
/// tables of words aside, in their precision.
fn on_processor(bundle: &Bundle, model: ModelId) -> Result<Bytes, ModelError> {
    let precision = bundle.model(model)?.precision;
    let mut total = Bytes::ZERO;
    for network in catalog::networks(bundle, model)? {
        for spec in &network.specs {
            let count = spec.shape.elem_count() as u64;
            let size = match (model, spec.shape.dims()) {
                (ModelId::ClipB | ModelId::ClipL, [_, _, ..]) if !spec.name.contains("embedding") => {
                    precision.size(count)
                }
                // Winograd's transform of a 3 × 3 kernel, F(4 × 4, 3 × 3), has 36 numbers for nine; so has each slice of a
                // 3 × 3 × 3 one.
                (ModelId::LivePortrait, [_, _, .., 3, 3]) => Precision::F32.size(4 * count),
                // Wider ones are sums of 4 × 4 parts, F(4 × 4, 4 × 4), with 49 numbers each.
                (ModelId::LivePortrait, [outputs, inputs, .., height, width])
                    if height == width && *width > 3 && *inputs > 1 =>
                {
                    let parts = (width.div_ceil(4) * width.div_ceil(4)) as u64;
                    let kernels = count / (outputs * width * width).max(1) as u64;
                    // Outputs are kept by eights.
                    Precision::F32.size(49 * parts * kernels * outputs.next_multiple_of(8) as u64)
                }
                _ => Precision::F32.size(count),
            };
            total = total.saturating_add(size);
        }
    }
    let voices = bundle.paths(model, "voices");
    let voices = voices.iter().map(|path| std::fs::metadata(path).map_or(0, |found| found.len()));
    // A file in f16 takes twice its length once it is read.
    Ok(total.saturating_add(Bytes::new(voices.map(|size| 2 * size).sum())))
}
