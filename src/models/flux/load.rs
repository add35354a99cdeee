//! From files to networks on a device, and what that came to, part by part.

use candle_core::{DType, Device, Result as CandleResult};

use super::files::{Configs, FluxFiles};
use super::plan::{self, Options, Part, Place, Stored, T5Place};
use super::precision::{Precision, compute_type};
use super::source::Source;
use super::t5::T5Encoder;
use super::transformer::Transformer;
use super::vae::Decoder;
use crate::contract::{ModelError, Run};
use crate::models::catalog::{FluxNetworks, Opened};
use crate::models::clip::text::TextTower;
use crate::models::error::Context;
use crate::models::weights::{self, Loading};
use crate::types::Bytes;

/// All networks of a model.
pub struct Networks {
    /// Their sizes.
    pub configs: Configs,
    /// From noise to a latent picture.
    pub transformer: Transformer,
    /// From there to pixels.
    pub decoder: Decoder,
    /// The prompt as a whole.
    pub clip: TextTower,
    /// The prompt token by token.
    pub t5: T5Encoder,
    /// What each holds, as measured on the tensors that were made.
    pub parts: Vec<Part>,
    /// The type of activations.
    pub compute: DType,
}

/// What loading `files` with `options` on `device` would hold: reads headers and configurations only.
pub fn plan(files: &FluxFiles, options: &Options, device: &Device) -> Result<Vec<Part>, ModelError> {
    let opened = FluxNetworks::open(files)?;
    let stored = Stored {
        layout: opened.transformer_layout,
        transformer: &|name| opened.transformer.look(name),
        clip: &|name| opened.clip.look(name),
        t5: &|name| opened.t5.look(name),
    };
    plan::plan(&opened.configs, options, &stored, compute_type(options.precision, device))
}

/// What painting `width` × `height` pixels with `files` would take beyond that: reads headers and configurations only.
pub fn workspace(
    files: &FluxFiles,
    options: &Options,
    device: &Device,
    size: (usize, usize),
) -> Result<Bytes, ModelError> {
    let configs = Configs::read(files, Some(&files.transformer.open()?), Some(&files.t5.open()?))?;
    Ok(plan::workspace(&configs, options, compute_type(options.precision, device), size))
}

/// How one network is loaded.
struct Way<'a> {
    device: &'a Device,
    compute: DType,
    precision: Precision,
    /// Whether every value is looked at.
    finite: bool,
    run: &'a Run,
}

impl Way<'_> {
    fn build<T>(
        &self,
        opened: &Opened,
        what: &str,
        network: impl FnOnce(Source<'static>) -> CandleResult<T>,
    ) -> Result<T, ModelError> {
        match opened {
            Opened::Dense(tensors) => {
                let options = weights::Options {
                    dtype: self.compute,
                    device: self.device.clone(),
                    finite: self.finite,
                };
                let loading = Loading::new(tensors, &options, self.run);
                let source = Source::dense(loading.builder(), Some(std::sync::Arc::clone(tensors)));
                network(source.kept(self.precision, self.compute)).map_err(|error| loading.explain(error))
            }
            Opened::Gguf(file) => {
                let source = Source::gguf(std::rc::Rc::clone(file), self.device);
                network(source.kept(self.precision, self.compute)).context(|| format!("loading {what}"))
            }
        }
    }
}

/// Loads every network; whatever was made is dropped again where one fails or `run` is cancelled.
pub fn networks(
    files: &FluxFiles,
    options: &Options,
    device: &Device,
    run: &Run,
) -> Result<Networks, ModelError> {
    let opened = FluxNetworks::sound(files)?;
    let configs = opened.configs.clone();
    let compute = compute_type(options.precision, device);
    let way = |precision| Way { device, compute, precision, finite: true, run };

    let host = if options.modulation_in_host { &Device::Cpu } else { device };
    let layout = opened.transformer_layout;
    let transformer = way(options.precision).build(&opened.transformer, "the transformer", |source| {
        Transformer::new(&configs.transformer, &source, layout, host)
    })?;
    let layout = opened.vae_layout;
    let decoder = way(Precision::Stored)
        .build(&opened.vae, "the autoencoder", |source| Decoder::new(&configs.vae, &source, layout))?;
    let clip = way(Precision::Stored).build(&opened.clip, "CLIP's text encoder", |source| {
        TextTower::new(&configs.clip.tower(), &source)
    })?;
    let t5 = load_t5(&opened.t5, &configs, options, &way(Precision::Stored))?;

    let place = if options.modulation_in_host { Place::Host } else { Place::Device };
    let mapped = plan::t5_in_file(&configs, options, &|name| opened.t5.look(name))?;
    let part = |name, place, bytes: usize| Part { name, place, bytes: Bytes::of::<u8>(bytes) };
    let parts = vec![
        part("transformer blocks", Place::Device, transformer.size()),
        part("modulation layers", place, transformer.modulators().size()),
        part("autoencoder", Place::Device, decoder.size()),
        part("CLIP text encoder", Place::Device, clip.size()),
        part("T5 on the device", Place::Device, t5.size()),
        part("T5 in its file", Place::Mapped, mapped),
    ];
    Ok(Networks { configs, transformer, decoder, clip, t5, parts, compute })
}

fn load_t5(
    opened: &Opened,
    configs: &Configs,
    options: &Options,
    way: &Way<'_>,
) -> Result<T5Encoder, ModelError> {
    match options.t5 {
        T5Place::Resident(precision) => Way { precision, ..*way }
            .build(opened, "T5's encoder", |source| T5Encoder::resident(&configs.t5, &source)),
        // Layers are read while jobs run: not under the eyes of whoever watches the load, and not looked at value by
        // value each time.
        T5Place::Streamed => {
            let unobserved = Run::unobserved();
            let way = Way { finite: false, run: &unobserved, ..*way };
            way.build(opened, "T5's encoder", |source| T5Encoder::streamed(&configs.t5, &source))
        }
    }
}
