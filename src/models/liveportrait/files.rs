//! Which files a LivePortrait model is made of, and how its networks are built from them.

use std::path::PathBuf;

use candle_core::{DType, Device};

use super::config::Config;
use super::networks::{FILES, Networks};
use crate::contract::{ModelError, Run};
use crate::models::bundle::Bundle;
use crate::models::catalog;
use crate::models::kernels::Kernels;
use crate::models::weights::{Loading, Options as LoadOptions, Weights};
use crate::types::ModelId;

/// All files of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivePortraitFiles {
    /// `models.yaml`, or the same as JSON.
    pub config: PathBuf,
    /// One `.safetensors` per network, in the order of [`FILES`].
    pub weights: [PathBuf; 5],
}

impl LivePortraitFiles {
    /// Those that a bundle names.
    pub fn of_bundle(bundle: &Bundle) -> Result<Self, ModelError> {
        let path = |role: &str| bundle.path(ModelId::LivePortrait, role);
        let [a, b, c, d, e] = FILES.map(path);
        Ok(Self { config: path("config")?, weights: [a?, b?, c?, d?, e?] })
    }

    /// The published files in one folder, beside `models.yaml` or `config.json`.
    pub fn in_folder(folder: &std::path::Path) -> Self {
        let yaml = folder.join("models.yaml");
        let config = if yaml.is_file() { yaml } else { folder.join("config.json") };
        Self { config, weights: FILES.map(|file| folder.join(format!("{file}.safetensors"))) }
    }

    /// The sizes of the networks.
    pub fn config(&self) -> Result<Config, ModelError> {
        let reading = || format!("reading {}", self.config.display());
        let text = std::fs::read_to_string(&self.config)
            .map_err(|error| ModelError::own(reading()).because(error))?;
        Config::parse(&text).map_err(|error| ModelError::own(reading()).because(error))
    }

    /// The networks, on `device`. Weights are folded in f32 before they become what `kernels` keep.
    pub(in crate::models) fn networks(
        &self,
        config: &Config,
        kernels: Kernels,
        device: &Device,
        run: &Run,
    ) -> Result<Networks, ModelError> {
        let options = LoadOptions::new(DType::F32, device);
        let mut loadings = Vec::new();
        for (network, file) in catalog::liveportrait(config)?.iter().zip(&self.weights) {
            let weights = network.sound_weights(Weights::open([file])?)?;
            loadings.push(Loading::new(&weights, &options, run));
        }
        let [Some(a), Some(b), Some(c), Some(d), Some(e)] = [0, 1, 2, 3, 4].map(|place| loadings.get(place))
        else {
            return Err(ModelError::own("LivePortrait is made of five files"));
        };
        let all = [a, b, c, d, e];
        Networks::new(config, all.map(Loading::builder), kernels).map_err(|error| {
            // Each knows only its own failure; the text says whose it is.
            let text = error.to_string();
            let blamed = all
                .into_iter()
                .zip(&self.weights)
                .find(|(_, file)| text.contains(&file.display().to_string()));
            blamed.map_or(a, |(loading, _)| loading).explain(error)
        })
    }
}
