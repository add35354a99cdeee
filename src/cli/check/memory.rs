//! The device and its driver, how much memory there is and may be used, and whether the models fit into it.

use std::path::Path;

use candle_core::Device;

use super::finding::Finding;
use crate::actors::node::OpenSlots;
use crate::app::bundle::{over_budget, plan, planned};
use crate::app::settings::{candle_device, device_id, hard_limit, probe_chain, tree_settings};
use crate::config::Settings;
use crate::config::preflight::preflight;
use crate::models::bundle::Bundle;
use crate::types::{DeviceId, ModelId};
use crate::vram::{Boards, ProbeError};

/// Where the models will run, and the driver where one is needed or there.
pub(super) fn device(settings: &Settings, nvml: Option<&Path>) -> (Option<Device>, Vec<Finding>) {
    let boards = Boards::look(nvml);
    let wanted = device_id(settings);
    let driver = driver(wanted.as_ref().ok().copied(), &boards);
    match candle_device(settings) {
        Ok((device, opened)) => (Some(opened), vec![opened_as(device, &boards), driver]),
        Err(failed) => {
            let advice = "set device to \"auto\" or \"cpu\", or mend what the driver line says";
            (None, vec![Finding::wrong("device", failed.message(), advice), driver])
        }
    }
}

fn opened_as(device: DeviceId, boards: &Result<Boards, ProbeError>) -> Finding {
    let build = if cfg!(feature = "cuda") { "a build with cuda" } else { "a build without cuda" };
    let idle = boards.as_ref().ok().and_then(|boards| boards.boards.first());
    match (device, idle) {
        (DeviceId::Cpu, Some(board)) => Finding::doubtful(
            "device",
            format!("cpu, {build}, though this machine has a card ({})", board.name),
            if cfg!(feature = "cuda") {
                "choose a profile for the card (--profile), or --device cuda:0"
            } else {
                "build with `--features cuda` (deploy/cuda) and choose a profile for the card"
            },
        ),
        _ => Finding::ok("device", format!("{device}, {build}")),
    }
}

fn driver(device: Option<DeviceId>, boards: &Result<Boards, ProbeError>) -> Finding {
    const REACH: &str = "install NVIDIA's driver, or, in a container, hand the cards in (`--gpus all`)";
    match (boards, device) {
        (Ok(Boards { driver, boards }), Some(DeviceId::Cuda(ordinal)))
            if ordinal as usize >= boards.len() =>
        {
            let found =
                format!("NVIDIA {driver} with {} card(s), none of them number {ordinal}", boards.len());
            Finding::wrong(
                "driver",
                found,
                format!("name one of the cards from cuda:0 to cuda:{}", boards.len().saturating_sub(1)),
            )
        }
        (Ok(Boards { driver, boards }), _) => {
            let cards = boards.iter().enumerate().map(|(place, board)| {
                format!("{place}: {}, {} free of {}", board.name, board.free, board.total)
            });
            let cards: Vec<String> = cards.collect();
            Finding::ok("driver", format!("NVIDIA {driver}; {}", cards.join("; ")))
        }
        (Err(error), Some(DeviceId::Cuda(_))) => Finding::wrong("driver", error.to_string(), REACH),
        (Err(error), _) => Finding::ok("driver", format!("none, and the processor needs none ({error})")),
    }
}

/// What is free and where the limits lie, and whether all budgets fit under them.
pub(super) fn limits(settings: &Settings) -> Vec<Finding> {
    let free = match probe_chain(settings) {
        Ok((_, free)) => free,
        Err(failed) => {
            let advice = "nothing runs on a device whose memory nobody can see: mend the driver, or use another device";
            return vec![Finding::wrong("memory", failed.message(), advice)];
        }
    };
    let thresholds = match tree_settings(settings, free, OpenSlots::Close) {
        Ok(tree) => tree.watch.monitor.thresholds,
        Err(failed) => {
            let advice = "lower memory.soft_limit or raise memory.hard_limit; shares (\"85%\", \"92%\") keep their order";
            return vec![Finding::wrong("memory", failed.message(), advice)];
        }
    };
    let (soft, hard) = (thresholds.soft(), hard_limit(settings, free));
    let found = format!("{free} free; soft limit {soft}, hard limit {hard}");
    let memory = if hard > free {
        let advice = format!(
            "a hard limit of at most {free}, or free some memory: beyond it others are pushed out first"
        );
        Finding::doubtful("memory", found, advice)
    } else {
        Finding::ok("memory", found)
    };
    let budgets = match preflight(settings, Some(free)) {
        Some(Err(misfit)) => Finding::wrong(
            "budgets",
            misfit.to_string(),
            "smaller budgets or workspaces, slots.lookahead = 1, or a device with more free memory",
        ),
        Some(Ok(fit)) => Finding::ok(
            "budgets",
            format!(
                "residents {} + workspaces at once {} + overhead {} = {}, {} to spare",
                fit.residents, fit.workspaces, settings.memory.overhead, fit.needed, fit.spare
            ),
        ),
        None => Finding::wrong(
            "budgets",
            "what is free is not known",
            "name the limits as amounts, such as \"11.0GB\"",
        ),
    };
    vec![memory, budgets]
}

/// What each model will hold against its budget, from its loader's own plan.
pub(super) fn plans(settings: &Settings, bundle: &Bundle, device: &Device) -> Vec<Finding> {
    let plan = |model: ModelId| {
        let (check, set) = (format!("model {model}"), settings.models.budget(model));
        let parts = match plan(bundle, model, settings, device) {
            Ok(parts) => parts,
            Err(failed) => {
                let advice = "`vortex-node weights verify` tells which file is not what the bundle describes";
                return Finding::wrong(check, failed.message(), advice);
            }
        };
        let (needed, budget) = (planned(&parts), set.budget);
        if needed > budget {
            return Finding::wrong(
                check,
                over_budget(model, needed, budget),
                format!(
                    "`vortex-node weights info --plan {}` shows it part by part",
                    bundle.folder.display()
                ),
            );
        }
        let workspace = set.workspace;
        Finding::ok(check, format!("{needed} planned of {budget} budgeted, {workspace} for a job"))
    };
    ModelId::ALL.map(plan).into()
}
