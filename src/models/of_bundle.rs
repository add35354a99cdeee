//! From a bundle's description to loaded models: which files, which precision, which options.

use std::num::NonZeroU32;

use candle_core::{DType, Device};

use super::bundle::{Bundle, ModelEntry, Precision};
use super::clip::{ClipFiles, ClipModel};
use super::flux::files::FluxFiles;
use super::flux::model::FluxModel;
use super::flux::plan::{Options as FluxOptions, T5Place};
use super::kokoro::{KokoroFiles, KokoroModel};
use super::layers;
use super::liveportrait::files::LivePortraitFiles;
use super::liveportrait::{LivePortraitModel, Options as LivePortraitOptions};
use crate::contract::{ModelError, Run};
use crate::types::ModelId;

/// How `entry` would have Flux kept: T5 stays in its file unless it is given a precision of its own.
pub fn flux_options(entry: &ModelEntry) -> FluxOptions {
    let t5 =
        entry.parts.get("text_encoder_2").map_or(T5Place::Streamed, |own| T5Place::Resident((*own).into()));
    FluxOptions { precision: entry.precision.into(), t5, ..FluxOptions::default() }
}

/// Loads Flux; [`flux_options`] are the bundle's own wishes.
pub fn flux(
    bundle: &Bundle,
    options: &FluxOptions,
    device: &Device,
    run: &Run,
) -> Result<FluxModel, ModelError> {
    FluxModel::load(&FluxFiles::of_bundle(bundle)?, options, device, run)
}

/// Loads LivePortrait, to render `batch` frames at a time.
pub fn liveportrait(
    bundle: &Bundle,
    batch: NonZeroU32,
    device: &Device,
    run: &Run,
) -> Result<LivePortraitModel, ModelError> {
    let options = liveportrait_options(bundle, batch)?;
    LivePortraitModel::load(&LivePortraitFiles::of_bundle(bundle)?, &options, device, run)
}

/// How LivePortrait of `bundle` is loaded, to render `batch` frames at a time.
pub(super) fn liveportrait_options(
    bundle: &Bundle,
    batch: NonZeroU32,
) -> Result<LivePortraitOptions, ModelError> {
    let dtype = match bundle.model(ModelId::LivePortrait)?.precision {
        Precision::F16 => DType::F16,
        _ => DType::F32,
    };
    Ok(LivePortraitOptions { dtype, batch })
}

/// Loads Kokoro.
pub fn kokoro(bundle: &Bundle, device: &Device, run: &Run) -> Result<KokoroModel, ModelError> {
    KokoroModel::load(&kokoro_files(bundle)?, device, run)
}

/// Where Kokoro of `bundle` lies.
pub(super) fn kokoro_files(bundle: &Bundle) -> Result<KokoroFiles, ModelError> {
    let file = |role: &str| bundle.path(ModelId::Kokoro, role);
    let voices = bundle.paths(ModelId::Kokoro, "voices");
    Ok(KokoroFiles { config: file("config")?, weights: file("weights")?, voices })
}

/// Loads one of the two CLIPs.
pub fn clip(bundle: &Bundle, model: ModelId, device: &Device, run: &Run) -> Result<ClipModel, ModelError> {
    let precision = match bundle.model(model)?.precision {
        Precision::Q8_0 => layers::Precision::Q8_0,
        Precision::F16 => layers::Precision::F16,
        _ => layers::Precision::F32,
    };
    let file = |role: &str| bundle.path(model, role);
    let files = ClipFiles {
        model: bundle.weight_files(model, "model"),
        config: file("config")?,
        preprocessor: file("preprocessor")?,
        tokenizer: file("tokenizer")?,
    };
    ClipModel::load(&files, precision, device, run)
}
