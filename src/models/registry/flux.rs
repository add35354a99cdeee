//! Flux's four networks: transformer, autoencoder, CLIP's text tower and T5's encoder.

use candle_core::DType;

use super::{Network, Part, json, opened};
use crate::contract::ModelError;
use crate::models::bundle::{Bundle, Precision};
use crate::models::flux::config::{ClipConfig, T5Config, TransformerConfig, VaeConfig};
use crate::models::flux::files::Configs;
use crate::models::flux::plan::{self, Stored};
use crate::models::flux::tensors;
use crate::models::flux::transformer::Layout;
use crate::models::of_bundle::flux_options;
use crate::models::weights::Weights;
use crate::types::ModelId;

/// What other programs put before Black Forest Labs' names.
const PREFIXES: &[&str] = &["model.diffusion_model.", "module."];

/// What its files say, and what they were opened for.
struct Described {
    configs: Configs,
    transformer: Layout,
    vae: Layout,
}

pub(super) fn networks(bundle: &Bundle) -> Result<Vec<Network>, ModelError> {
    let Described { configs, transformer, vae } = described(bundle)?;
    let transformer = tensors::transformer(&configs.transformer, transformer)?;
    Ok(vec![
        Network::new("transformer", transformer).after(PREFIXES),
        // Painting only decodes.
        Network::new("vae", tensors::vae(&configs.vae, vae)?)
            .after(PREFIXES)
            .beside(&["encoder.", "quant_conv."]),
        Network::new("text_encoder", tensors::clip(&configs.clip)?)
            .beside(&["text_projection.", "logit_scale"]),
        Network::new("text_encoder_2", tensors::t5(&configs.t5)?).beside(&["decoder.", "lm_head."]),
    ])
}

/// What it would hold on a card, as its own plan has it.
pub(super) fn plan(bundle: &Bundle) -> Result<Vec<Part>, ModelError> {
    let entry = bundle.model(ModelId::Flux)?;
    let Described { configs, transformer, .. } = described(bundle)?;
    let options = flux_options(entry);
    let compute = if entry.precision == Precision::F32 { DType::F32 } else { DType::BF16 };
    let stored = Stored { layout: transformer, ..Stored::published() };
    let parts = plan::plan(&configs, &options, &stored, compute)?;
    Ok(parts.iter().map(Part::of_flux).collect())
}

impl Part {
    /// A part of Flux's own plan.
    pub fn of_flux(part: &plan::Part) -> Self {
        Self {
            name: part.name.to_owned(),
            place: part.place.to_string(),
            counts: part.place == plan::Place::Device,
            bytes: part.bytes,
        }
    }

    /// Whether it is in memory rather than in its file.
    pub fn is_held(&self) -> bool {
        self.place != plan::Place::Mapped.to_string()
    }
}

fn described(bundle: &Bundle) -> Result<Described, ModelError> {
    let transformer = opened(bundle, ModelId::Flux, "transformer", PREFIXES);
    let vae = opened(bundle, ModelId::Flux, "vae", PREFIXES);
    let read = |roles: &[&str]| json(bundle, ModelId::Flux, roles);
    let published = Configs::schnell();
    let configs = Configs {
        transformer: match (read(&["transformer_config", "config"])?, &transformer) {
            (Some(config), _) => TransformerConfig::from_json(&config)?,
            (None, Some(weights)) => TransformerConfig::from_shapes(shapes(weights))?,
            (None, None) => published.transformer,
        },
        vae: read(&["vae_config", "config"])?
            .map_or(Ok(published.vae), |config| VaeConfig::from_json(&config))?,
        clip: read(&["text_encoder_config"])?
            .map_or(Ok(published.clip), |config| ClipConfig::from_json(&config))?,
        t5: read(&["text_encoder_2_config"])?
            .map_or(Ok(published.t5), |config| T5Config::from_json(&config))?,
        scheduler: published.scheduler,
    };
    Ok(Described {
        configs,
        transformer: layout(transformer.as_ref(), "transformer_blocks."),
        vae: layout(vae.as_ref(), "decoder.mid_block."),
    })
}

/// diffusers' names where the file has one that begins so; Black Forest Labs' where it does not, or is not there yet.
fn layout(weights: Option<&Weights>, sign: &str) -> Layout {
    let is_diffusers = weights.is_some_and(|weights| weights.names().any(|name| name.starts_with(sign)));
    if is_diffusers { Layout::Diffusers } else { Layout::BlackForestLabs }
}

fn shapes(weights: &Weights) -> impl Iterator<Item = (&str, &[usize])> {
    weights.names().filter_map(|name| Some((name, weights.find(name)?.shape)))
}
