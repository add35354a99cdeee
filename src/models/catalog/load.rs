//! From a bundle's description to loaded models: which files, which precision, which options, and whether a load that
//! failed is worth another try.

use std::num::NonZeroU32;

use candle_core::{DType, Device};

use crate::contract::{ModelError, Run};
use crate::models::bundle::{Bundle, ModelEntry, Precision};
use crate::models::clip::{ClipFiles, ClipModel};
use crate::models::error::of_load;
use crate::models::flux::files::FluxFiles;
use crate::models::flux::model::FluxModel;
use crate::models::flux::plan::{Options as FluxOptions, T5Place};
use crate::models::kernels;
use crate::models::kokoro::timer::Timer;
use crate::models::kokoro::{KokoroFiles, KokoroModel};
use crate::models::liveportrait::files::LivePortraitFiles;
use crate::models::liveportrait::{LivePortraitModel, Options as LivePortraitOptions};
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
    FluxFiles::of_bundle(bundle)
        .and_then(|files| FluxModel::load(&files, options, device, run))
        .map_err(of_load)
}

/// Loads LivePortrait, to render `batch` frames at a time.
pub fn liveportrait(
    bundle: &Bundle,
    batch: NonZeroU32,
    device: &Device,
    run: &Run,
) -> Result<LivePortraitModel, ModelError> {
    let options = liveportrait_options(bundle, batch)?;
    LivePortraitFiles::of_bundle(bundle)
        .and_then(|files| LivePortraitModel::load(&files, &options, device, run))
        .map_err(of_load)
}

/// How LivePortrait of `bundle` is loaded, to render `batch` frames at a time.
pub(in crate::models) fn liveportrait_options(
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
    KokoroModel::load(&kokoro_files(bundle)?, device, run).map_err(of_load)
}

/// Loads of Kokoro only what decides how long it speaks.
pub fn kokoro_timer(bundle: &Bundle, device: &Device, run: &Run) -> Result<Timer, ModelError> {
    Timer::load(&kokoro_files(bundle)?, device, run).map_err(of_load)
}

/// Where Kokoro of `bundle` lies.
pub(in crate::models) fn kokoro_files(bundle: &Bundle) -> Result<KokoroFiles, ModelError> {
    let file = |role: &str| bundle.path(ModelId::Kokoro, role);
    let voices = bundle.paths(ModelId::Kokoro, "voices");
    Ok(KokoroFiles { config: file("config")?, weights: file("weights")?, voices })
}

/// Loads one of the two CLIPs.
pub fn clip(bundle: &Bundle, model: ModelId, device: &Device, run: &Run) -> Result<ClipModel, ModelError> {
    let precision = match bundle.model(model)?.precision {
        Precision::Q8_0 => kernels::Precision::Q8_0,
        Precision::F16 => kernels::Precision::F16,
        _ => kernels::Precision::F32,
    };
    ClipModel::load(&clip_files(bundle, model)?, precision, device, run).map_err(of_load)
}

/// The files of one of the two CLIPs.
pub(super) fn clip_files(bundle: &Bundle, model: ModelId) -> Result<ClipFiles, ModelError> {
    let file = |role: &str| bundle.path(model, role);
    Ok(ClipFiles {
        model: bundle.weight_files(model, "model"),
        config: file("config")?,
        preprocessor: file("preprocessor")?,
        tokenizer: bundle.filled(model, "tokenizer")?,
    })
}
