//! `vortex-node weights`: bundles of weights checked, described, fetched, converted and made up.

mod adopt;
mod convert;
mod info;
mod list;
mod load;
pub(super) mod progress;
mod pull;
mod synth;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Context, Failed};
use crate::contract::{ErrorClass, ModelError};
use crate::exit::Exit;
use crate::models::bundle::{Bundle, BundleError, FILE_NAME, Lock};
use crate::types::ModelId;

/// Arguments of `weights`.
#[derive(Debug, Args)]
pub struct WeightsCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check a bundle: every file and its hash, every tensor by name and shape; exit code 1 where something is wrong
    Verify(verify::Verify),
    /// Tell what a bundle holds: files, parameters, bytes in each precision, budgets
    Info(info::Info),
    /// List the bundles that ship with the program: published weights, to be fetched by name
    List(list::List),
    /// Load every model as the node would and run its canary: footprint, budget and time; exit code 1 where one fails
    Load(load::Load),
    /// Fetch a bundle's files from their model hub, resuming and checking every hash
    Pull(pull::Pull),
    /// Rewrite published .pth and .pt files as safetensors, without executing anything in them
    Convert(convert::Convert),
    /// Recognise weights that are here already, by their tensors, and write the bundle around them without copying
    Adopt(adopt::Adopt),
    /// Make up a bundle of random weights, the same bytes for the same seed
    Synth(synth::Synth),
}

impl WeightsCommand {
    /// Does what was asked. Needs no settings: a bundle says everything about itself.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        match self.what {
            What::Verify(command) => command.run(context),
            What::Info(command) => command.run(context),
            What::List(command) => command.run(context),
            What::Load(command) => command.run(context),
            What::Pull(command) => command.run(context),
            What::Convert(command) => command.run(context),
            What::Adopt(command) => command.run(context),
            What::Synth(command) => command.run(context),
        }
    }
}

/// Which bundle, and which of its models.
#[derive(Debug, Args)]
struct Chosen {
    /// The bundle's folder, or its bundle.toml
    #[arg(value_name = "BUNDLE", default_value = ".")]
    bundle: PathBuf,
    /// Only these models, separated by commas: flux, liveportrait, kokoro, clip_b, clip_l
    #[arg(long, value_name = "MODELS", value_delimiter = ',')]
    models: Vec<ModelId>,
}

impl Chosen {
    /// Reads the bundle; the models are those asked for, or all it has.
    fn open(&self) -> Result<(Bundle, Vec<ModelId>), Failed> {
        self.models_of(Bundle::open(&self.bundle)?)
    }

    /// `bundle`, and of its models those asked for, or all.
    fn models_of(&self, bundle: Bundle) -> Result<(Bundle, Vec<ModelId>), Failed> {
        if self.models.is_empty() {
            let all = bundle.models.keys().copied().collect();
            return Ok((bundle, all));
        }
        for model in &self.models {
            bundle.model(*model).map_err(|error| Failed::bad_input(error.to_string()))?;
        }
        Ok((bundle, self.models.clone()))
    }
}

impl Chosen {
    /// Where the bundle's lock lies.
    fn lock(&self) -> PathBuf {
        let description =
            if self.bundle.is_dir() { self.bundle.join(FILE_NAME) } else { self.bundle.clone() };
        Lock::beside(&description)
    }
}

impl From<BundleError> for Failed {
    fn from(error: BundleError) -> Self {
        Self::bad_input(error.to_string())
    }
}

impl From<ModelError> for Failed {
    fn from(error: ModelError) -> Self {
        match error.class() {
            ErrorClass::Unusable => Self::bad_input(error.chain()),
            _ => Self::failure(error.chain()),
        }
    }
}
