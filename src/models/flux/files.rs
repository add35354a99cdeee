//! Which files a Flux model is made of, in any of the layouts that people have, and what they say of themselves.
//!
//! Opens and inspects; never copies a tensor.

use std::path::{Path, PathBuf};

use super::config::{ClipConfig, T5Config, TransformerConfig, VaeConfig, read_json};
use super::naming::llama_t5_tensor;
use super::schedule::Scheduler;
use super::transformer::Layout;
use crate::contract::ModelError;
use crate::models::bundle::Bundle;
use crate::models::catalog::Files;
use crate::types::ModelId;

/// One network's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// `.safetensors` files, one index of such, or one `.gguf`.
    pub weights: Vec<PathBuf>,
    /// Its `config.json`, where there is one.
    pub config: Option<PathBuf>,
}

/// All files of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FluxFiles {
    /// The transformer.
    pub transformer: Checkpoint,
    /// The autoencoder.
    pub vae: Checkpoint,
    /// CLIP's text encoder.
    pub clip: Checkpoint,
    /// T5's encoder.
    pub t5: Checkpoint,
    /// CLIP's `tokenizer.json`, or what stands in for it.
    pub clip_tokenizer: Vec<PathBuf>,
    /// T5's.
    pub t5_tokenizer: Vec<PathBuf>,
    /// `scheduler_config.json`; schnell's even steps without one.
    pub scheduler: Option<PathBuf>,
}

impl FluxFiles {
    /// Those that a bundle names.
    pub fn of_bundle(bundle: &Bundle) -> Result<Self, ModelError> {
        let one = |role: &str| bundle.paths(ModelId::Flux, role).into_iter().next();
        let checkpoint = |role: &str, config: &str| Checkpoint {
            weights: bundle.weight_files(ModelId::Flux, role),
            config: one(config),
        };
        let mut files = Self {
            transformer: checkpoint("transformer", "transformer_config"),
            vae: checkpoint("vae", "vae_config"),
            clip: checkpoint("text_encoder", "text_encoder_config"),
            t5: checkpoint("text_encoder_2", "text_encoder_2_config"),
            clip_tokenizer: bundle.filled(ModelId::Flux, "tokenizer")?,
            t5_tokenizer: bundle.filled(ModelId::Flux, "tokenizer_2")?,
            scheduler: one("scheduler"),
        };
        // One file may hold the sizes of transformer and autoencoder.
        let common = one("config");
        files.transformer.config = files.transformer.config.or_else(|| common.clone());
        files.vae.config = files.vae.config.or(common);
        Ok(files)
    }

    /// Those of a folder in Black Forest Labs' or diffusers' arrangement, GGUF among them.
    pub fn find(folder: &Path) -> Result<Self, ModelError> {
        let existing = |names: &[&str]| names.iter().map(|name| folder.join(name)).find(|path| path.exists());
        let checkpoint = |what: &str, folders: &[&str], stems: &[&str], configs: &[&str]| {
            let places = folders.iter().map(|place| folder.join(place));
            let weights = places.filter_map(|place| weights_in(&place, stems)).next().ok_or_else(|| {
                ModelError::own(format!(
                    "{} holds no {what}: looked in {folders:?} for .safetensors and .gguf files named {stems:?}",
                    folder.display()
                ))
            })?;
            Ok::<_, ModelError>(Checkpoint { weights, config: existing(configs) })
        };
        let model = ["model", "diffusion_pytorch_model"];
        let tokenizer = |folder_name: &str| vec![folder.join(folder_name).join("tokenizer.json")];
        Ok(Self {
            transformer: checkpoint(
                "transformer",
                &["transformer", "."],
                &["diffusion_pytorch_model", "flux1", "model"],
                &["transformer/config.json", "config.json"],
            )?,
            vae: checkpoint(
                "autoencoder",
                &["vae", "."],
                &["diffusion_pytorch_model", "ae"],
                &["vae/config.json", "config.json"],
            )?,
            clip: checkpoint("CLIP text encoder", &["text_encoder"], &model, &["text_encoder/config.json"])?,
            t5: checkpoint(
                "T5 encoder",
                &["text_encoder_2"],
                &["model", "t5"],
                &["text_encoder_2/config.json"],
            )?,
            clip_tokenizer: tokenizer("tokenizer"),
            t5_tokenizer: tokenizer("tokenizer_2"),
            scheduler: existing(&["scheduler/scheduler_config.json"]),
        })
    }
}

/// The files of the first stem that `folder` has: an index of shards, all shards, a single file or a GGUF.
fn weights_in(folder: &Path, stems: &[&str]) -> Option<Vec<PathBuf>> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let of = |stem: &str, end: &str| -> Vec<PathBuf> {
        names
            .iter()
            .filter(|name| name.starts_with(stem) && name.ends_with(end))
            .map(|name| folder.join(name))
            .collect()
    };
    stems
        .iter()
        .flat_map(|stem| [".safetensors.index.json", ".safetensors", ".gguf"].map(|end| of(stem, end)))
        .find(|found| !found.is_empty())
}

impl Checkpoint {
    /// Maps its files.
    pub fn open(&self) -> Result<Files, ModelError> {
        Files::open(&self.weights)
    }

    fn json(&self) -> Result<Option<serde_json::Value>, ModelError> {
        self.config.as_deref().map(read_json).transpose()
    }
}

/// Whose names the transformer or autoencoder in `files` has; Black Forest Labs' where there are none to look at.
pub fn layout(files: Option<&Files>) -> Layout {
    // Where sizes are not known yet, a tensor that only diffusers' names have tells.
    const SIGNS: [&str; 2] = ["x_embedder.weight", "decoder.conv_norm_out.weight"];
    if files.is_some_and(|files| files.stored().has_below(&SIGNS)) {
        Layout::Diffusers
    } else {
        Layout::BlackForestLabs
    }
}

/// Every network's sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Configs {
    /// The transformer's.
    pub transformer: TransformerConfig,
    /// The autoencoder's.
    pub vae: VaeConfig,
    /// CLIP's.
    pub clip: ClipConfig,
    /// T5's.
    pub t5: T5Config,
    /// The noise levels.
    pub scheduler: Scheduler,
}

impl Configs {
    /// FLUX.1-schnell as published.
    pub fn schnell() -> Self {
        Self {
            transformer: TransformerConfig::schnell(),
            vae: VaeConfig::flux(),
            clip: ClipConfig::large(),
            t5: T5Config::xxl(),
            scheduler: Scheduler::default(),
        }
    }

    /// From the files' configurations; where a layout comes without, from the tensors of `transformer` and `t5`, or as
    /// published where these are not there.
    pub fn read(
        files: &FluxFiles,
        transformer: Option<&Files>,
        t5: Option<&Files>,
    ) -> Result<Self, ModelError> {
        let transformer = match (files.transformer.json()?, transformer) {
            (Some(value), _) => TransformerConfig::from_json(&value)?,
            (None, Some(opened)) => {
                let stored = opened.stored();
                TransformerConfig::from_shapes(stored.below(&["img_in.weight"]).into_iter())?
            }
            (None, None) => TransformerConfig::schnell(),
        };
        let t5 = match (files.t5.json()?, t5) {
            (Some(value), _) => T5Config::from_json(&value)?,
            (None, Some(opened @ Files::Gguf(_))) => {
                let stored = opened.stored();
                let named = stored.below(&["token_embd.weight", "shared.weight"]);
                let named: Vec<_> = named.iter().map(|(name, dims)| (llama_t5_tensor(name), *dims)).collect();
                T5Config::from_shapes(named.iter().map(|(name, dims)| (name.as_str(), *dims)))?
            }
            (None, Some(Files::Dense(_)) | None) => T5Config::xxl(),
        };
        let clip = files
            .clip
            .json()?
            .map_or_else(|| Ok(ClipConfig::large()), |value| ClipConfig::from_json(&value))?;
        let vae =
            files.vae.json()?.map_or_else(|| Ok(VaeConfig::flux()), |value| VaeConfig::from_json(&value))?;
        let scheduler = match &files.scheduler {
            Some(path) => Scheduler::from_json(&read_json(path)?)?,
            None => Scheduler::default(),
        };
        let configs = Self { transformer, vae, clip, t5, scheduler };
        configs.fit_together()?;
        Ok(configs)
    }

    fn fit_together(&self) -> Result<(), ModelError> {
        let pairs = [
            ("CLIP's width", self.clip.hidden_size, "the transformer's pooled text", self.transformer.pooled),
            ("T5's width", self.t5.d_model, "the transformer's context", self.transformer.context),
            (
                "the autoencoder's latent channels",
                self.vae.latent,
                "the transformer's",
                self.transformer.latent_channels(),
            ),
        ];
        match pairs.iter().find(|(_, a, _, b)| a != b) {
            Some((one, a, other, b)) => {
                Err(ModelError::own(format!("{one} is {a}, {other} {b}: they do not fit")))
            }
            None => Ok(()),
        }
    }
}
