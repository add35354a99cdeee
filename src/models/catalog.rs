//! The table of the models: which networks each is made of, what these ask of which files, and how each is loaded.
//!
//! Checks, plans and loads all read it, so nothing else must be kept in step. Each model tells which tensors its networks ask for by building them on nothing (see
//! [`spec::record`](super::weights::spec::record)), with the sizes in its own configuration files.

use candle_core::quantized::GgmlDType;

use super::bundle::{Bundle, Precision};
use super::clip::ClipConfig;
use super::kokoro::config::KokoroConfig;
use super::liveportrait::config::Config as LivePortraitConfig;
use super::weights::Weights;
use super::weights::spec::TensorSpec;
use crate::contract::ModelError;
use crate::types::{Bytes, ModelId};

pub(in crate::models) mod flux;
pub mod load;
mod network;
mod parts;

pub use flux::FluxNetworks;
pub use network::{Files, Network, Opened};
pub use parts::parts;

/// The networks of `model` with the sizes that the bundle's configuration files give.
pub fn networks(bundle: &Bundle, model: ModelId) -> Result<Vec<Network>, ModelError> {
    bundle.model(model)?;
    match model {
        ModelId::Flux => flux::networks(bundle),
        ModelId::Kokoro => {
            let (text, name) = text(bundle, model, "config")?;
            let mut config = KokoroConfig::parse(&text, &name)?;
            // Where the weights are not there yet, the published widths stand in.
            if let Ok(weights) = Weights::open(bundle.weight_files(model, "weights")) {
                config.take_widths(|name| weights.shape_as(name));
            }
            Ok(vec![kokoro(&config)?])
        }
        ModelId::LivePortrait => {
            let (text, _) = text(bundle, model, "config")?;
            Ok(liveportrait(&LivePortraitConfig::parse(&text)?)?.into())
        }
        ModelId::ClipB | ModelId::ClipL => {
            let (text, _) = text(bundle, model, "config")?;
            Ok(vec![clip(&ClipConfig::from_json(&text)?)?])
        }
    }
}

/// Kokoro's one network.
pub fn kokoro(config: &KokoroConfig) -> Result<Network, ModelError> {
    Ok(Network::new("weights", super::kokoro::net::tensors(config)?).beside(&["bert.module.pooler."]))
}

/// LivePortrait's five networks, in the order of its files.
pub fn liveportrait(config: &LivePortraitConfig) -> Result<[Network; 5], ModelError> {
    let rows = super::liveportrait::networks::tensors(config)?;
    let rows: Vec<Network> = rows.into_iter().map(|(role, specs)| Network::new(role, specs)).collect();
    rows.try_into().map_err(|_| ModelError::own("LivePortrait is made of five networks"))
}

/// CLIP's two towers, which lie in one file.
pub fn clip(config: &ClipConfig) -> Result<Network, ModelError> {
    Ok(Network::new("model", super::clip::tensors(config)?))
}

/// One part of what a model will hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// Where it lies: `device`, `host`, or `mapped` (in its file).
    pub place: String,
    /// Whether it counts against the budget.
    pub counts: bool,
    /// How much it takes.
    pub bytes: Bytes,
}

/// What `model` will hold once loaded, part by part, in the bundle's precisions.
pub fn plan(bundle: &Bundle, model: ModelId) -> Result<Vec<Part>, ModelError> {
    if model == ModelId::Flux {
        return flux::plan(bundle);
    }
    let entry = bundle.model(model)?;
    let part = |name: &str, bytes: Bytes| Part {
        name: name.to_owned(),
        place: "device".to_owned(),
        counts: true,
        bytes,
    };
    let held = |network: &Network| {
        let precision = entry.precision_of(network.role);
        let bytes = match model {
            ModelId::ClipB | ModelId::ClipL => {
                network.specs.iter().map(|spec| of_clip(spec, precision)).sum()
            }
            _ => precision.size(network.parameters()),
        };
        part(network.role, bytes)
    };
    let mut parts: Vec<Part> = networks(bundle, model)?.iter().map(held).collect();
    if model == ModelId::Kokoro {
        // Styles are read into memory with the network; those that are not there yet are of the published size.
        let voices = bundle.paths(model, "voices");
        let size =
            |path| Weights::open([path]).map_or(VOICE, |voice| Precision::F32.size(voice.parameters()));
        parts.push(part("voices", voices.iter().map(size).sum()));
    }
    Ok(parts)
}

/// One of Kokoro's voices as published: 510 styles of 256 numbers.
const VOICE: Bytes = Bytes::new(510 * 256 * 4);

/// What a tensor of CLIP takes: matrices and tables of words in `precision` where their rows divide into its blocks; in
/// f32 what is added, scales, or has other rows.
fn of_clip(spec: &TensorSpec, precision: Precision) -> Bytes {
    let count = spec.shape.elem_count() as u64;
    let is_matrix = spec.shape.rank() >= 2 && !spec.name.contains("position_embedding");
    let row: usize = spec.shape.dims().iter().skip(1).product();
    let divides = precision != Precision::Q8_0 || row.is_multiple_of(GgmlDType::Q8_0.block_size());
    if is_matrix && divides { precision.size(count) } else { Precision::F32.size(count) }
}

/// The text of the one file of a role, and what errors call it.
pub(super) fn text(bundle: &Bundle, model: ModelId, role: &str) -> Result<(String, String), ModelError> {
    let path = bundle.path(model, role)?;
    let text = std::fs::read_to_string(&path)
        .map_err(|error| ModelError::own(format!("{} cannot be read", path.display())).because(error))?;
    Ok((text, path.display().to_string()))
}
