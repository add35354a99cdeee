//! From a bundle and the settings to the models of a tree: which network, loaded how, with what memory.
//!
//! Reads nothing itself: the models' own threads load, and load again after a restart.

use std::sync::Arc;

use candle_core::Device;

use super::settings::{flux_options, pool_kept};
use crate::actors::host::{Loader, ThreadHost};
use crate::actors::job::{Job, Output, WrongJob};
use crate::actors::limits::ModelLimits;
use crate::actors::spec::ModelSpec;
use crate::app::BuildError;
use crate::config::Settings;
use crate::config::preflight::{Budget, Budgets};
use crate::contract::{Model, ModelError, Run};
use crate::models::bundle::Bundle;
use crate::models::catalog::load;
use crate::models::device;
use crate::types::{DeviceId, ModelId};
use crate::vram::Meter;

/// Every model of `bundle`, each to be loaded on a thread of its own, and on a card on a stream of its own; the
/// settings' precisions are in the bundle already.
pub(crate) fn model_specs(
    bundle: &Bundle,
    settings: &Settings,
    budgets: &Budgets,
    device: DeviceId,
    limits: ModelLimits,
) -> Result<Vec<ModelSpec>, BuildError> {
    // One for all: a run's peak is only its own where no other was under way.
    let meter = Meter::of_device(device);
    let model_specs = Specs { bundle: Arc::new(bundle.clone()), settings, budgets, device, limits, meter };
    let flux = flux_options(&model_specs.bundle, settings)?;
    let batch = settings.models.liveportrait.frame_batch;
    Ok(vec![
        model_specs.member(ModelId::Flux, move |bundle, device, run| load::flux(bundle, &flux, device, run)),
        model_specs.member(ModelId::LivePortrait, move |bundle, device, run| {
            load::liveportrait(bundle, batch, device, run)
        }),
        model_specs.member(ModelId::Kokoro, load::kokoro),
        model_specs
            .member(ModelId::ClipB, |bundle, device, run| load::clip(bundle, ModelId::ClipB, device, run)),
        model_specs
            .member(ModelId::ClipL, |bundle, device, run| load::clip(bundle, ModelId::ClipL, device, run)),
    ])
}

struct Specs<'a> {
    bundle: Arc<Bundle>,
    settings: &'a Settings,
    budgets: &'a Budgets,
    device: DeviceId,
    limits: ModelLimits,
    meter: Option<Meter>,
}

impl Specs<'_> {
    fn member<M>(
        &self,
        model: ModelId,
        load: impl Fn(&Bundle, &Device, &Run) -> Result<M, ModelError> + Send + Sync + 'static,
    ) -> ModelSpec
    where
        M: Model,
        M::Job: TryFrom<Job, Error = WrongJob>,
        M::Output: Into<Output>,
    {
        let Budget { resident, workspace } = self.budgets.of(model);
        let (bundle, device) = (Arc::clone(&self.bundle), self.device);
        let keep = pool_kept(self.settings);
        let loader: Loader<M> = Arc::new(move |run| load(&bundle, &device::open(device, keep)?, run));
        let host = ThreadHost::new(loader).metered(self.meter.clone());
        ModelSpec::new::<M>(model, resident.bytes, workspace.bytes, self.limits, Arc::new(host))
    }
}
