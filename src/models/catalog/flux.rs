//! Flux's four networks: transformer, autoencoder, CLIP's text tower and T5's encoder.

use candle_core::DType;

use super::network::{Files, Network, Opened};
use super::{Part, load::flux_options};
use crate::contract::ModelError;
use crate::models::bundle::{Bundle, Precision};
use crate::models::flux::config::{ClipConfig, T5Config, TransformerConfig, VaeConfig};
use crate::models::flux::files::{Checkpoint, Configs, FluxFiles, layout};
use crate::models::flux::naming::t5_elsewhere;
use crate::models::flux::nf4;
use crate::models::flux::plan::{self, Options, Stored, T5Place};
use crate::models::flux::precision::{Precision as Kept, blocks_for};
use crate::models::flux::tensors;
use crate::models::flux::transformer::Layout;
use crate::types::ModelId;

/// The transformer of these sizes, in the names of `layout`.
pub(in crate::models) fn transformer(
    config: &TransformerConfig,
    layout: Layout,
) -> Result<Network, ModelError> {
    Ok(Network::new("transformer", tensors::transformer(config, layout)?).or_packed())
}

/// The autoencoder, as far as painting needs it: the decoder.
pub(in crate::models) fn vae(config: &VaeConfig, layout: Layout) -> Result<Network, ModelError> {
    Ok(Network::new("vae", tensors::vae(config, layout)?).beside(&["encoder.", "quant_conv."]).or_packed())
}

/// CLIP's text tower.
pub(in crate::models) fn text_encoder(config: &ClipConfig) -> Result<Network, ModelError> {
    let beside = &["text_projection.", "logit_scale"];
    Ok(Network::new("text_encoder", tensors::clip(config)?).beside(beside).or_packed())
}

/// T5's encoder.
pub(in crate::models) fn text_encoder_2(config: &T5Config) -> Result<Network, ModelError> {
    let beside = &["decoder.", "lm_head.", "encoder.embed_tokens."];
    Ok(Network::new("text_encoder_2", tensors::t5(config)?).beside(beside).known_as(t5_elsewhere).or_packed())
}

/// The rows of the table for these sizes and layouts: transformer, autoencoder, CLIP, T5.
fn rows(configs: &Configs, of_transformer: Layout, of_vae: Layout) -> Result<[Network; 4], ModelError> {
    Ok([
        transformer(&configs.transformer, of_transformer)?,
        vae(&configs.vae, of_vae)?,
        text_encoder(&configs.clip)?,
        text_encoder_2(&configs.t5)?,
    ])
}

/// The rows for what a bundle describes; weights may still be missing, and published sizes and names stand in for what
/// only they would tell.
pub(super) fn networks(bundle: &Bundle) -> Result<Vec<Network>, ModelError> {
    let (configs, transformer, vae) = described(bundle)?;
    Ok(rows(&configs, transformer, vae)?.into())
}

fn described(bundle: &Bundle) -> Result<(Configs, Layout, Layout), ModelError> {
    let files = FluxFiles::of_bundle(bundle)?;
    let transformer = files.transformer.open().ok();
    let (vae, t5) = (files.vae.open().ok(), files.t5.open().ok());
    let configs = Configs::read(&files, transformer.as_ref(), t5.as_ref())?;
    Ok((configs, layout(transformer.as_ref()), layout(vae.as_ref())))
}

/// All files of the model, open and under the networks' names.
pub struct FluxNetworks {
    /// The networks' sizes.
    pub configs: Configs,
    /// Whose names the transformer has.
    pub transformer_layout: Layout,
    /// Whose names the autoencoder has.
    pub vae_layout: Layout,
    /// The transformer's files.
    pub transformer: Opened,
    /// The autoencoder's.
    pub vae: Opened,
    /// CLIP's.
    pub clip: Opened,
    /// T5's.
    pub t5: Opened,
    rows: [Network; 4],
}

impl FluxNetworks {
    /// Opens `files`; fails where one cannot be read or a configuration fits no network.
    pub fn open(files: &FluxFiles) -> Result<Self, ModelError> {
        let transformer = files.transformer.open()?;
        let (vae, clip, t5) = (files.vae.open()?, files.clip.open()?, files.t5.open()?);
        let configs = Configs::read(files, Some(&transformer), Some(&t5))?;
        let layout = |files: &Files| layout(Some(files));
        let (transformer_layout, vae_layout) = (layout(&transformer), layout(&vae));
        let rows = rows(&configs, transformer_layout, vae_layout)?;
        let [of_transformer, of_vae, of_clip, of_t5] = &rows;
        Ok(Self {
            transformer: of_transformer.name(transformer)?,
            vae: of_vae.name(vae)?,
            clip: of_clip.name(clip)?,
            t5: of_t5.name(t5)?,
            configs,
            transformer_layout,
            vae_layout,
            rows,
        })
    }

    /// Fails where a matrix that is quantised while it is loaded has rows that divide into no blocks.
    pub fn keepable(&self, options: &Options) -> Result<(), ModelError> {
        let t5 = match options.t5 {
            T5Place::Resident(precision) => precision,
            T5Place::Streamed => Kept::Stored,
        };
        let [of_transformer, _, _, of_t5] = &self.rows;
        for (network, opened, kept) in
            [(of_transformer, &self.transformer, options.precision), (of_t5, &self.t5, t5)]
        {
            let (Kept::Gguf(wanted), Opened::Dense(weights)) = (kept, opened) else { continue };
            let is_layer = |name: &str| !name.contains("relative_attention_bias") && name != "shared.weight";
            for spec in network.specs.iter().filter(|spec| is_layer(&spec.name)) {
                let [_, cols] = *spec.shape.dims() else { continue };
                let blocks = blocks_for(wanted, cols).block_size();
                if !nf4::is_stored(weights, &spec.name) && !cols.is_multiple_of(blocks) {
                    return Err(ModelError::own(format!(
                        "{}: rows of {cols} values divide into no blocks of {wanted:?} or Q8_0; use another precision",
                        spec.name
                    )));
                }
            }
        }
        Ok(())
    }

    /// The same as [`open`](Self::open); fails as well where a network lacks a tensor, or has one in another shape: T5's, which are read while
    /// jobs run, included.
    pub fn sound(files: &FluxFiles) -> Result<Self, ModelError> {
        let open = Self::open(files)?;
        let opened = [&open.transformer, &open.vae, &open.clip, &open.t5];
        open.rows.iter().zip(opened).try_for_each(|(network, opened)| network.fit(opened))?;
        Ok(open)
    }
}

/// What it would hold on a card, as its own plan has it.
pub(super) fn plan(bundle: &Bundle) -> Result<Vec<Part>, ModelError> {
    let entry = bundle.model(ModelId::Flux)?;
    let (configs, layout, of_vae) = described(bundle)?;
    let (files, [transformer, _, clip, t5]) =
        (FluxFiles::of_bundle(bundle)?, rows(&configs, layout, of_vae)?);
    // Weights may still be missing; published ones stand in.
    let open = |network: &Network, files: &Checkpoint| network.name(files.open().ok()?).ok();
    let transformer = open(&transformer, &files.transformer);
    let (clip, t5) = (open(&clip, &files.clip), open(&t5, &files.t5));
    let options = flux_options(entry);
    let compute = if entry.precision == Precision::F32 { DType::F32 } else { DType::BF16 };
    let stored = Stored {
        layout,
        transformer: &|name| transformer.as_ref()?.look(name),
        clip: &|name| clip.as_ref()?.look(name),
        t5: &|name| t5.as_ref()?.look(name),
    };
    let parts = plan::plan(&configs, &options, &stored, compute)?;
    Ok(parts.iter().map(Part::of_flux).collect())
}

impl Part {
    /// Whether it is in memory rather than in its file.
    pub fn is_held(&self) -> bool {
        self.place != plan::Place::Mapped.to_string()
    }

    /// A part of Flux's own plan.
    pub fn of_flux(part: &plan::Part) -> Self {
        Self {
            name: part.name.to_owned(),
            place: part.place.to_string(),
            counts: part.place == plan::Place::Device,
            bytes: part.bytes,
        }
    }
}
