//! What a model will hold in memory, and where, before anything of it is loaded.
//!
//! Pure: from sizes and options to bytes. The tensors are those that the networks ask for, so the plan cannot drift
//! from the code; the loader reports the same parts as measured.

use std::fmt;

use candle_core::DType;

use super::files::Configs;
use super::precision::Precision;
use super::tensors;
use super::transformer::Layout;
use crate::contract::ModelError;
use crate::models::weights::spec::TensorSpec;
use crate::types::Bytes;

/// How a model is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How the transformer's matrices are kept.
    pub precision: Precision,
    /// Whether the modulation layers' weights stay in host memory.
    pub modulation_in_host: bool,
    /// Where T5 lives.
    pub t5: T5Place,
    /// Tokens that T5 sees: 256 for schnell.
    pub t5_tokens: usize,
    /// Prompts whose embeddings are kept.
    pub cached_prompts: usize,
    /// Guidance strength, for weights that were distilled to take one; schnell's were not.
    pub guidance: f64,
}

impl Default for Options {
    /// What fits beside the other models on a card of 12 GB.
    fn default() -> Self {
        Self {
            precision: Precision::Nf4 { nested: false },
            modulation_in_host: true,
            t5: T5Place::Streamed,
            t5_tokens: 256,
            cached_prompts: 8,
            guidance: 0.0,
        }
    }
}

/// Where T5's layers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum T5Place {
    /// In the mapped file; each is read when it is used.
    Streamed,
    /// On the device, their matrices kept so.
    Resident(Precision),
}

/// In which memory something lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The device that computes.
    Device,
    /// The host's, held by this process.
    Host,
    /// In mapped files: the system's page cache, given up under pressure.
    Mapped,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Device => "device",
            Self::Host => "host",
            Self::Mapped => "mapped",
        })
    }
}

/// One part of a model's footprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// Where it lies.
    pub place: Place,
    /// How much it takes.
    pub bytes: Bytes,
}

/// What a file holds of one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFile {
    /// Bytes, with what belongs to it; a float8 as the floats that it is unpacked to.
    pub bytes: usize,
    /// Whether it is kept so, whatever precision is asked for: everything in GGUF, bitsandbytes' matrices.
    pub stays: bool,
    /// Whether it is in blocks, which are unpacked where it is no matrix of a layer.
    pub packed: bool,
}

/// What is known of a network's file, by the names that it is asked for by; nothing where there is no file yet.
pub type Look<'a> = &'a dyn Fn(&str) -> Option<InFile>;

/// What is known of the files beyond their configurations.
pub struct Stored<'a> {
    /// Whose names the transformer has.
    pub layout: Layout,
    /// Of the transformer's file.
    pub transformer: Look<'a>,
    /// Of CLIP's.
    pub clip: Look<'a>,
    /// Of T5's.
    pub t5: Look<'a>,
}

impl Stored<'_> {
    /// Checkpoints as published: Black Forest Labs' names, bf16.
    pub fn published() -> Self {
        let nothing: Look<'_> = &|_| None;
        Self { layout: Layout::BlackForestLabs, transformer: nothing, clip: nothing, t5: nothing }
    }
}

/// What checkpoints are published in where nothing else is known.
const PUBLISHED: DType = DType::BF16;

/// What a matrix of a layer takes in `precision`: what its file has where that stays, or is what is asked for.
fn matrix(spec: &TensorSpec, (rows, cols): (usize, usize), precision: Precision, look: Look<'_>) -> usize {
    match look(&spec.name) {
        Some(found) if found.stays || precision == Precision::Stored => found.bytes,
        _ => precision.size_of(rows, cols, PUBLISHED),
    }
}

/// What of T5 stays in its file: layers that are streamed, and always the token table.
pub fn t5_in_file(configs: &Configs, options: &Options, look: Look<'_>) -> Result<usize, ModelError> {
    let is_mapped = |spec: &&TensorSpec| {
        let is_layer = spec.name.starts_with("encoder.block");
        !is_t5_shared(&spec.name) && (options.t5 == T5Place::Streamed || !is_layer)
    };
    let published = |spec: &TensorSpec| spec.shape.elem_count() * PUBLISHED.size_in_bytes();
    let specs = tensors::t5(&configs.t5)?;
    let sizes = specs.iter().filter(is_mapped);
    Ok(sizes.map(|spec| look(&spec.name).map_or_else(|| published(spec), |found| found.bytes)).sum())
}

/// Whether a tensor is held however T5 is kept. The position buckets look like a layer's matrix and are none.
fn is_t5_shared(name: &str) -> bool {
    name.contains("relative_attention_bias") || name.contains("final_layer_norm")
}

/// What a load with `options` will hold; `compute` is the device's type for everything but matrices.
pub fn plan(
    configs: &Configs,
    options: &Options,
    stored: &Stored<'_>,
    compute: DType,
) -> Result<Vec<Part>, ModelError> {
    let wide = compute.size_in_bytes();
    let sized = |spec: &TensorSpec, precision: Precision, look: Look<'_>| match spec.shape.dims() {
        [rows, cols] => matrix(spec, (*rows, *cols), precision, look),
        _ => spec.shape.elem_count() * wide,
    };
    let (mut blocks, mut modulation) = (0, 0);
    for spec in tensors::transformer(&configs.transformer, stored.layout)? {
        let size = sized(&spec, options.precision, stored.transformer);
        *(if is_modulation(&spec.name) { &mut modulation } else { &mut blocks }) += size;
    }
    let vae = tensors::vae(&configs.vae, Layout::BlackForestLabs)?;
    let vae: usize = vae.iter().map(|spec| spec.shape.elem_count() * wide).sum();
    let clip = tensors::clip(&configs.clip)?;
    let of_clip = |spec: &TensorSpec| match (stored.clip)(&spec.name) {
        // A table is looked up, and unpacked for that.
        Some(found) if found.packed && spec.name.contains("embedding") => {
            spec.shape.elem_count() * DType::F32.size_in_bytes()
        }
        _ => sized(spec, Precision::Stored, stored.clip),
    };
    let clip: usize = clip.iter().map(of_clip).sum();
    let t5 = tensors::t5(&configs.t5)?;
    let of_t5 = |spec: &TensorSpec| match options.t5 {
        _ if is_t5_shared(&spec.name) => spec.shape.elem_count() * wide,
        T5Place::Resident(precision) if spec.name.starts_with("encoder.block") => {
            sized(spec, precision, stored.t5)
        }
        _ => 0,
    };
    let t5: usize = t5.iter().map(of_t5).sum();
    let mapped = t5_in_file(configs, options, stored.t5)?;
    let place = if options.modulation_in_host { Place::Host } else { Place::Device };
    let part = |name, place, bytes: usize| Part { name, place, bytes: Bytes::of::<u8>(bytes) };
    Ok(vec![
        part("transformer blocks", Place::Device, blocks),
        part("modulation layers", place, modulation),
        part("autoencoder", Place::Device, vae),
        part("CLIP text encoder", Place::Device, clip),
        part("T5 on the device", Place::Device, t5),
        part("T5 in its file", Place::Mapped, mapped),
    ])
}

/// Whether a tensor belongs to what is computed once per job: embedders of time and text, and modulations.
pub fn is_modulation(name: &str) -> bool {
    const KINDS: [&str; 10] = [
        "_mod.lin.",
        ".modulation.lin.",
        "adaLN_modulation",
        "time_in.",
        "vector_in.",
        "guidance_in.",
        ".norm1.linear.",
        ".norm1_context.linear.",
        ".norm.linear.",
        "time_text_embed.",
    ];
    name.starts_with("norm_out.linear.") || KINDS.iter().any(|kind| name.contains(kind))
}

/// What lies in `place`.
pub fn total(parts: &[Part], place: Place) -> Bytes {
    parts.iter().filter(|part| part.place == place).map(|part| part.bytes).sum()
}

/// What an unfolded band of the decoder's convolutions takes at most, with its product.
const UNFOLDED: f64 = 2.0e8;

/// An upper estimate of the device memory that painting `width` × `height` pixels takes beyond the parts.
///
/// Encoding, denoising and decoding follow each other, so it is the largest of the three: a streamed T5 layer as stored
/// and unpacked with its activations; a block's activations with its largest matrix unpacked and the attention's
/// scores; and the widest pictures in the decoder with a band of a convolution unfolded. The embeddings of recent
/// prompts come on top.
pub fn workspace(
    configs: &Configs,
    options: &Options,
    compute: DType,
    (width, height): (usize, usize),
) -> Bytes {
    let wide = compute.size_in_bytes() as f64;
    let t = &configs.transformer;
    let tokens = options.t5_tokens as f64;
    let t5 = &configs.t5;
    let layer = super::t5::layer_parameters(t5) as f64;
    let streamed = if options.t5 == T5Place::Streamed { 2.0 * layer } else { 0.0 };
    let largest = (t5.d_model * t5.d_ff) as f64;
    let inner = (t5.num_heads * t5.d_kv) as f64;
    let encoding = streamed
        + 4.0 * largest
        + tokens * wide * (3.0 * t5.d_ff as f64 + 6.0 * inner + 4.0 * t5.d_model as f64)
        + tokens * tokens * (4.0 + wide) * 2.0 * t5.num_heads as f64;

    let pixels = width as f64 * height as f64;
    let factor = configs.vae.factor() as f64;
    let joint = tokens + pixels / (4.0 * factor * factor);
    let (hidden, mlp) = (t.width as f64, t.mlp as f64);
    let matrix = hidden * (3.0 * hidden + mlp);
    // Unpacking by tensor operations passes through f32.
    let denoising = matrix * (4.0 + wide)
        + joint * wide * (8.0 * hidden + 3.0 * (3.0 * hidden + mlp))
        + joint * joint * t.heads as f64 * (4.0 + wide) * 2.0;

    // The last level but one is upsampled to the full size before its channels shrink.
    let full = configs.vae.channels.iter().take(2).max().copied().unwrap_or(0) as f64;
    // A 3 × 3 convolution unfolds to nine times its picture, and no further than a band.
    let decoding = pixels * full * (4.0 + wide) * 3.0 + (pixels * full * wide * 9.0).min(UNFOLDED);
    let prompts =
        options.cached_prompts as f64 * (tokens * t5.d_model as f64 + configs.clip.hidden_size as f64);
    Bytes::new((encoding.max(denoising).max(decoding) + prompts * wide) as u64)
}

#[cfg(test)]
mod tests;
