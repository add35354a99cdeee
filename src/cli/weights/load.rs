//! `weights load`: every model of a bundle loaded as the node would, with its canary, its footprint and its time.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::Chosen;
use crate::app::bundle::own_budget;
use crate::cli::{Context, Failed, Style};
use crate::clock;
use crate::contract::{Model, ModelError, Run};
use crate::exit::Exit;
use crate::models::bundle::{Bundle, held};
use crate::models::catalog::load;
use crate::models::device;
use crate::types::{Bytes, DeviceId, ModelId};

/// Arguments of `weights load`.
#[derive(Debug, Args)]
pub(super) struct Load {
    #[command(flatten)]
    chosen: Chosen,
    /// Where to load them: cpu, or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: DeviceId,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// A model that loaded and whose canary passed.
struct Tried {
    resident: Bytes,
    /// What the bundle grants it on this device.
    budget: Bytes,
    load: Duration,
    canary: Duration,
}

impl Load {
    /// Loads one model after the other; each is gone before the next.
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let (bundle, models) = self.chosen.open()?;
        let mut answers = Vec::new();
        let mut is_good = true;
        for model in models {
            let tried = try_model(&bundle, model, self.device);
            let fits = tried.as_ref().is_ok_and(|tried| tried.resident <= tried.budget);
            is_good &= fits;
            if self.json {
                answers.push(match &tried {
                    Ok(tried) => json!({ "model": model, "ok": fits, "resident": tried.resident, "budget": tried.budget,
                        "load_seconds": tried.load.as_secs_f64(), "canary_seconds": tried.canary.as_secs_f64() }),
                    Err(error) => json!({ "model": model, "ok": false, "error": error.chain() }),
                });
                continue;
            }
            let (style, verdict) = if fits { (Style::Good, "ok") } else { (Style::Bad, "wrong") };
            let verdict = context.console.paint(style, format!("{verdict:5}"));
            match tried {
                Ok(Tried { resident, budget, load, canary }) => writeln!(
                    context.console.out(),
                    "{verdict}  {model:12}  {resident:>9} resident of {budget} budgeted, loaded in {:.2} s, canary {:.2} s",
                    load.as_secs_f64(),
                    canary.as_secs_f64()
                )?,
                Err(error) => writeln!(context.console.out(), "{verdict}  {model:12}  {}", error.chain())?,
            }
        }
        if self.json {
            context.console.json(&json!({ "ok": is_good, "bundle": bundle.name, "models": answers }))?;
        }
        Ok(if is_good { Exit::Success } else { Exit::Failure })
    }
}

fn try_model(bundle: &Bundle, model: ModelId, device: DeviceId) -> Result<Tried, ModelError> {
    held::check(bundle, &[model])?;
    // Nothing is to be kept between models that come one at a time.
    let device = device::open(device, Bytes::ZERO)?;
    // Where it cannot be told, or is less than the tensors, what the description says stands against what was loaded.
    let budget =
        own_budget(bundle, model, &device).map_or(bundle.model(model)?.budget, |amount| amount.bytes);
    match model {
        ModelId::Flux => {
            let options = load::flux_options(bundle.model(model)?);
            tried(budget, |run| load::flux(bundle, &options, &device, run))
        }
        ModelId::LivePortrait => {
            tried(budget, |run| load::liveportrait(bundle, NonZeroU32::MIN, &device, run))
        }
        ModelId::Kokoro => tried(budget, |run| load::kokoro(bundle, &device, run)),
        ModelId::ClipB | ModelId::ClipL => tried(budget, |run| load::clip(bundle, model, &device, run)),
    }
}

fn tried<M: Model>(
    budget: Bytes,
    load: impl FnOnce(&Run) -> Result<M, ModelError>,
) -> Result<Tried, ModelError> {
    let run = Run::unobserved();
    let start = clock::now();
    let mut model = load(&run)?;
    let loaded = clock::now();
    model.canary(&run)?;
    let (load, canary) = (loaded.duration_since(start), clock::now().duration_since(loaded));
    Ok(Tried { resident: model.resident(), budget, load, canary })
}
