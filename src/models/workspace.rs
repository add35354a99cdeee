//! What a slot's jobs take beyond the weights, told from a bundle's configurations before anything is loaded: the same
//! estimates that the loaded models lease by.

use std::num::NonZeroU32;
use std::time::Duration;

use candle_core::Device;

use super::bundle::Bundle;
use super::catalog::{self, load};
use super::clip::{self, ClipConfig};
use super::flux::files::FluxFiles;
use super::flux::plan::Options as FluxOptions;
use super::liveportrait::files::LivePortraitFiles;
use super::{flux, liveportrait};
use crate::contract::ModelError;
use crate::types::{Bytes, ModelId, Resolution};

/// What of a slot decides how much its jobs take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotSize {
    /// Of the video, and of the picture where the bundle does not say otherwise.
    pub resolution: Resolution,
    /// Of the speech.
    pub duration: Duration,
}

impl SlotSize {
    /// The slots that nodes are planned for: 45 s at 512 × 512.
    pub const PLANNED: Self =
        Self { resolution: Resolution { width: SIDE, height: SIDE }, duration: Duration::from_secs(45) };
}

const SIDE: NonZeroU32 = NonZeroU32::MIN.saturating_add(511);

/// How the models that leave a choice are loaded.
#[derive(Clone, Debug)]
pub struct Loading<'a> {
    /// Of Flux.
    pub flux: &'a FluxOptions,
    /// Frames that LivePortrait renders at a time.
    pub batch: NonZeroU32,
    /// Where to.
    pub device: &'a Device,
}

/// Keyframes and texts of a check: at least as many as a tower takes at a time, so that more change nothing.
const SCORED: usize = 64;

/// What the largest job of `model` in a slot of `size` takes; reads configurations and headers only.
pub fn workspace(
    bundle: &Bundle,
    model: ModelId,
    loading: &Loading<'_>,
    size: SlotSize,
) -> Result<Bytes, ModelError> {
    match model {
        ModelId::Flux => {
            let painted = bundle.image.resolution.unwrap_or(size.resolution);
            let pixels = (painted.width.get() as usize, painted.height.get() as usize);
            flux::load::workspace(&FluxFiles::of_bundle(bundle)?, loading.flux, loading.device, pixels)
        }
        ModelId::LivePortrait => {
            let options = load::liveportrait_options(bundle, loading.batch)?;
            let files = LivePortraitFiles::of_bundle(bundle)?;
            liveportrait::planned_workspace(&files, &options, loading.device, size.resolution)
        }
        ModelId::Kokoro => load::kokoro_files(bundle)?.workspace(size.duration, loading.device),
        ModelId::ClipB | ModelId::ClipL => {
            let (text, _) = catalog::text(bundle, model, "config")?;
            Ok(clip::workspace(&ClipConfig::from_json(&text)?, SCORED, SCORED))
        }
    }
}
