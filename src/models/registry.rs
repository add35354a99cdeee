//! What each model's networks ask of its files: one line per model, and nothing else that must be kept in step.
//!
//! Each model tells which tensors its networks ask for by building them on nothing (see
//! [`spec::record`](super::weights::spec::record)), with the sizes in its own configuration files.

use std::path::PathBuf;

use serde_json::Value;

use super::bundle::Bundle;
use super::clip::ClipConfig;
use super::kokoro::config::KokoroConfig;
use super::liveportrait::config::Config as LivePortraitConfig;
use super::weights::Weights;
use super::weights::spec::TensorSpec;
use crate::contract::ModelError;
use crate::types::{Bytes, ModelId};

mod flux;

/// One network of a model, as it would be built from a bundle.
#[derive(Clone, Debug)]
pub struct Network {
    /// The role that its weights have in the bundle.
    pub role: &'static str,
    /// Every tensor it asks for.
    pub specs: Vec<TensorSpec>,
    /// What training code may have put before its names, to be dropped; the first that matches.
    pub prefixes: &'static [&'static str],
    /// How the names begin that a published file has besides, for uses that this node has not.
    pub beside: &'static [&'static str],
}

impl Network {
    fn new(role: &'static str, specs: Vec<TensorSpec>) -> Self {
        Self { role, specs, prefixes: &["module."], beside: &[] }
    }

    /// How many numbers it asks for.
    pub fn parameters(&self) -> u64 {
        self.specs.iter().map(|spec| spec.shape.elem_count() as u64).sum()
    }

    fn after(self, prefixes: &'static [&'static str]) -> Self {
        Self { prefixes, ..self }
    }

    fn beside(self, beside: &'static [&'static str]) -> Self {
        Self { beside, ..self }
    }
}

/// The networks of `model` with the sizes that the bundle's configuration files give.
pub fn networks(bundle: &Bundle, model: ModelId) -> Result<Vec<Network>, ModelError> {
    bundle.model(model)?;
    match model {
        ModelId::Flux => flux::networks(bundle),
        ModelId::Kokoro => {
            let (text, name) = text(bundle, model, "config")?;
            let specs = super::kokoro::net::tensors(&KokoroConfig::parse(&text, &name)?)?;
            Ok(vec![Network::new("weights", specs).beside(&["bert.module.pooler."])])
        }
        ModelId::LivePortrait => {
            let (text, _) = text(bundle, model, "config")?;
            let files = super::liveportrait::networks::tensors(&LivePortraitConfig::parse(&text)?)?;
            Ok(files.into_iter().map(|(role, specs)| Network::new(role, specs)).collect())
        }
        ModelId::ClipB | ModelId::ClipL => {
            let (text, _) = text(bundle, model, "config")?;
            Ok(vec![Network::new("model", super::clip::tensors(&ClipConfig::from_json(&text)?)?)])
        }
    }
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
    let part = |network: &Network| Part {
        name: network.role.to_owned(),
        place: "device".to_owned(),
        counts: true,
        bytes: entry.precision_of(network.role).size(network.parameters()),
    };
    Ok(networks(bundle, model)?.iter().map(part).collect())
}

/// The text of the one file of a role, and what errors call it.
pub(super) fn text(bundle: &Bundle, model: ModelId, role: &str) -> Result<(String, String), ModelError> {
    let path = bundle.path(model, role)?;
    let text = std::fs::read_to_string(&path)
        .map_err(|error| ModelError::own(format!("{} cannot be read", path.display())).because(error))?;
    Ok((text, path.display().to_string()))
}

/// The JSON of the first role that the bundle fills.
fn json(bundle: &Bundle, model: ModelId, roles: &[&str]) -> Result<Option<Value>, ModelError> {
    let Some(role) = roles.iter().find(|role| !bundle.paths(model, role).is_empty()) else { return Ok(None) };
    let (text, name) = text(bundle, model, role)?;
    let value = serde_json::from_str(&text)
        .map_err(|error| ModelError::own(format!("{name} is not JSON")).because(error))?;
    Ok(Some(value))
}

/// The mapped files of a role, where they are there and are safetensors; for layouts that only the files tell.
fn opened(bundle: &Bundle, model: ModelId, role: &str, prefixes: &[&str]) -> Option<Weights> {
    let files: Vec<PathBuf> = bundle.weight_files(model, role);
    Weights::open(files).ok()?.without_prefixes(prefixes).ok()
}
