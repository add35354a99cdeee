//! Flux's four networks: transformer, autoencoder, CLIP's text tower and T5's encoder.

use super::{Network, json, opened};
use crate::contract::ModelError;
use crate::models::bundle::Bundle;
use crate::models::flux::config::{ClipConfig, T5Config, TransformerConfig, VaeConfig};
use crate::models::flux::tensors;
use crate::models::flux::transformer::Layout;
use crate::models::weights::Weights;
use crate::types::ModelId;

/// What other programs put before Black Forest Labs' names.
const PREFIXES: &[&str] = &["model.diffusion_model.", "module."];

pub(super) fn networks(bundle: &Bundle) -> Result<Vec<Network>, ModelError> {
    let transformer = opened(bundle, ModelId::Flux, "transformer", PREFIXES);
    let vae = opened(bundle, ModelId::Flux, "vae", PREFIXES);
    let transformer_config = match json(bundle, ModelId::Flux, &["transformer_config", "config"])? {
        Some(config) => TransformerConfig::from_json(&config)?,
        None => match &transformer {
            Some(weights) => TransformerConfig::from_shapes(shapes(weights))?,
            None => TransformerConfig::schnell(),
        },
    };
    let vae_config = match json(bundle, ModelId::Flux, &["vae_config", "config"])? {
        Some(config) => VaeConfig::from_json(&config)?,
        None => VaeConfig::flux(),
    };
    let clip = json(bundle, ModelId::Flux, &["text_encoder_config"])?;
    let clip = clip.map_or_else(|| Ok(ClipConfig::large()), |config| ClipConfig::from_json(&config))?;
    let t5 = json(bundle, ModelId::Flux, &["text_encoder_2_config"])?;
    let t5 = t5.map_or_else(|| Ok(T5Config::xxl()), |config| T5Config::from_json(&config))?;
    Ok(vec![
        Network::new(
            "transformer",
            tensors::transformer(&transformer_config, layout(transformer.as_ref(), "transformer_blocks."))?,
        )
        .after(PREFIXES),
        // Painting only decodes.
        Network::new("vae", tensors::vae(&vae_config, layout(vae.as_ref(), "decoder.mid_block."))?)
            .after(PREFIXES)
            .beside(&["encoder.", "quant_conv."]),
        Network::new("text_encoder", tensors::clip(&clip)?).beside(&["text_projection.", "logit_scale"]),
        Network::new("text_encoder_2", tensors::t5(&t5)?).beside(&["decoder.", "lm_head."]),
    ])
}

/// diffusers' names where the file has one that begins so; Black Forest Labs' where it does not, or is not there yet.
fn layout(weights: Option<&Weights>, sign: &str) -> Layout {
    let is_diffusers = weights.is_some_and(|weights| weights.names().any(|name| name.starts_with(sign)));
    if is_diffusers { Layout::Diffusers } else { Layout::BlackForestLabs }
}

fn shapes(weights: &Weights) -> impl Iterator<Item = (&str, &[usize])> {
    weights.names().filter_map(|name| Some((name, weights.find(name)?.shape)))
}
