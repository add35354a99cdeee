//! The devices and their driver, how much memory each has and may be used of it, and whether the models fit into it.

use std::path::Path;

use candle_core::Device;

use super::driver::{driver, opened_as};
use super::finding::Finding;
use crate::actors::tree::OpenSlots;
use crate::app::bundle::{budget, budgets, plan, planned};
use crate::app::settings::{self, hard_limit, probe_chain, tree_settings};
use crate::config::Settings;
use crate::config::preflight::{Budget, preflight};
use crate::models::bundle::Bundle;
use crate::models::workspace::SlotSize;
use crate::types::{Bytes, DeviceId, ModelId};
use crate::vram::Boards;

/// A device that models will run on.
pub(super) struct Place {
    /// The device.
    id: DeviceId,
    /// What its findings are called after, where there are others.
    suffix: String,
    /// Opened; none where that failed.
    pub(super) device: Option<Device>,
}

/// Where the models will run, and the driver where one is needed or there.
pub(super) fn devices(
    settings: &Settings,
    nvml: Option<&Path>,
    looks_only: bool,
) -> (Vec<Place>, Vec<Finding>) {
    const ADVICE: &str = "set device to \"auto\" or \"cpu\", or mend what the driver line says";
    let boards = Boards::look(nvml);
    let wanted = match settings::devices(settings) {
        Ok(wanted) => wanted,
        Err(failed) => {
            let findings = vec![Finding::wrong("device", failed.to_string(), ADVICE), driver(&[], &boards)];
            return (Vec::new(), findings);
        }
    };
    let (mut places, mut findings) = (Vec::new(), Vec::new());
    for id in wanted.iter().copied() {
        let suffix = if wanted.len() > 1 { format!(" {id}") } else { String::new() };
        let check = format!("device{suffix}");
        if looks_only && matches!(id, DeviceId::Cuda(_)) {
            // Neither opened nor asked for its memory by CUDA.
            findings.push(Finding::ok(check, format!("{id}, not opened")));
            continue;
        }
        let (device, finding) = match settings::open(id, settings) {
            Ok(opened) => (Some(opened), opened_as(check, id, &boards)),
            Err(failed) => (None, Finding::wrong(check, failed.to_string(), ADVICE)),
        };
        places.push(Place { id, suffix, device });
        findings.push(finding);
    }
    findings.push(driver(&wanted, &boards));
    (places, findings)
}

/// What is free and where the limits lie, and whether all budgets fit under them: those of `bundle`, where one can be
/// used.
pub(super) fn limits(settings: &Settings, bundle: Option<&Bundle>, places: &[Place]) -> Vec<Finding> {
    places.iter().flat_map(|place| limits_of(settings, bundle, place)).collect()
}

fn limits_of(settings: &Settings, bundle: Option<&Bundle>, place: &Place) -> Vec<Finding> {
    let (check, budgets) = (format!("memory{}", place.suffix), format!("budgets{}", place.suffix));
    let free = match probe_chain(settings, place.id) {
        Ok((_, free)) => free,
        Err(failed) => {
            let advice = "nothing runs on a device whose memory nobody can see: mend the driver, or use another device";
            return vec![Finding::wrong(check, failed.to_string(), advice)];
        }
    };
    let thresholds = match tree_settings(settings, place.id, free, OpenSlots::Close) {
        Ok(tree) => tree.watch.monitor.thresholds,
        Err(failed) => {
            let advice = "lower memory.soft_limit or raise memory.hard_limit; shares (\"85%\", \"92%\") keep their order";
            return vec![Finding::wrong(check, failed.to_string(), advice)];
        }
    };
    let (soft, hard) = (thresholds.soft(), hard_limit(settings, free));
    let found = format!("{free} free; soft limit {soft}, hard limit {hard}");
    let memory = if hard > free {
        let advice = format!(
            "a hard limit of at most {free}, or free some memory: beyond it others are pushed out first"
        );
        Finding::doubtful(check, found, advice)
    } else {
        Finding::ok(check, found)
    };
    let mut findings = vec![memory];
    // Without a bundle or a device there is nothing to add up; other findings say so.
    if let (Some(bundle), Some(device)) = (bundle, &place.device) {
        findings.push(fitting(budgets, settings, bundle, device, free));
    }
    findings
}

fn fitting(check: String, settings: &Settings, bundle: &Bundle, device: &Device, free: Bytes) -> Finding {
    let budgets = match budgets(bundle, settings, device, SlotSize::PLANNED) {
        Ok(budgets) => budgets,
        // The finding of the model concerned says what to do about it.
        Err(failed) => return Finding::doubtful(check, failed.to_string(), "see the models' lines"),
    };
    match preflight(settings, &budgets, Some(free)) {
        Some(Err(misfit)) => Finding::wrong(
            check,
            misfit.to_string(),
            "smaller budgets or workspaces, slots.lookahead = 1, or a device with more free memory",
        ),
        Some(Ok(fit)) => Finding::ok(
            check,
            format!(
                "residents {} + workspaces at once {} + overhead {} = {}, {} to spare",
                fit.residents, fit.workspaces, settings.memory.overhead, fit.needed, fit.spare
            ),
        ),
        None => Finding::wrong(
            check,
            "what is free is not known",
            "name the limits as amounts, such as \"11.0GB\"",
        ),
    }
}

/// What each model will hold against its budget, from its loader's own plan, and what a job of it takes beyond that.
pub(super) fn plans(settings: &Settings, bundle: &Bundle, device: &Device) -> Vec<Finding> {
    let plan = |model: ModelId| {
        let check = format!("model {model}");
        let parts = match plan(bundle, model, settings, device) {
            Ok(parts) => parts,
            Err(failed) => {
                let advice = "`vortex-node weights verify` tells which file is not what the bundle describes";
                return Finding::wrong(check, failed.to_string(), advice);
            }
        };
        let needed = planned(&parts);
        match budget(bundle, model, settings, device, SlotSize::PLANNED) {
            Ok(Budget { resident, workspace }) => {
                Finding::ok(check, format!("{needed} planned, budget {resident}, a job {workspace}"))
            }
            Err(failed) => Finding::wrong(
                check,
                failed.to_string(),
                format!(
                    "`vortex-node weights info --plan {}` shows it part by part",
                    bundle.folder.display()
                ),
            ),
        }
    };
    ModelId::ALL.map(plan).into()
}
