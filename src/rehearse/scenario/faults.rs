//! `[[faults]]`: what goes wrong, from its text.

use super::{Fault, RunFault, actor_name};
use crate::rehearse::reader::Section;
use crate::types::{DeviceId, ModelId, Stage, UnknownName};
use crate::vram::ScriptedFault;

/// The kinds of misfortune that a scenario can name.
pub const FAULTS: [&str; 14] = [
    "out_of_memory",
    "panic",
    "error",
    "hang",
    "poison",
    "slow",
    "load",
    "drift",
    "leak",
    "keep",
    "others",
    "probe",
    "kill",
    "shutdown",
];

/// Reads one of `[[faults]]`.
pub(super) fn fault(section: &Section<'_>) -> Option<Fault> {
    let device: Option<DeviceId> = section.parse("device", "a device such as \"scripted:1\"");
    let fault = anywhere(section)?;
    Some(match device {
        Some(device) => Fault::On(device, Box::new(fault)),
        None => fault,
    })
}

fn anywhere(section: &Section<'_>) -> Option<Fault> {
    let kind = section.required("kind", section.string("kind"), &FAULTS.join(", "))?;
    let at = || section.required("at", section.duration("at"), "when, such as \"30s\"");
    let lasts = || section.required("lasts", section.span("lasts"), "how long, such as \"30s\"");
    let model = || section.required("model", section.named::<ModelId>("model"), &ModelId::NAMES.join(", "));
    let bytes = |name| section.required(name, section.bytes(name), "an amount of memory such as \"300MB\"");
    let run = |how: Option<RunFault>| {
        let stage = section.required("stage", section.named::<Stage>("stage"), &Stage::NAMES.join(", "));
        let slot = section.count("slot", 1, 1_000_000).unwrap_or(1);
        let slots = section.count("slots", 1, 1_000_000).unwrap_or(1);
        let attempts = section.count("attempts", 1, 1_000_000).unwrap_or(1);
        if stage == Some(Stage::Package) {
            section.refuse("stage", "no model runs there; accepted: audio, image, video, verify");
            return None;
        }
        Some(Fault::Run { stage: stage?, slot, slots, attempts, how: how? })
    };
    match kind.as_str() {
        "out_of_memory" => run(Some(RunFault::OutOfMemory)),
        "panic" => run(Some(RunFault::Panic)),
        "error" => run(Some(RunFault::Error)),
        "hang" => run(Some(RunFault::Hang)),
        "poison" => run(Some(RunFault::Poison)),
        "slow" => run(section.required("by", section.span("by"), "how much longer").map(RunFault::Slow)),
        "load" => {
            let (model, after) = (model(), section.count("after", 0, 1000).unwrap_or_default());
            let times = section.count("times", 1, 1000).unwrap_or(1);
            let unusable = section.flag("unusable").unwrap_or_default();
            Some(Fault::Load { model: model?, after, times, unusable })
        }
        "drift" => {
            let (model, per_minute, at, lasts) = (model(), bytes("per_minute"), at(), lasts());
            let at = at?;
            Some(Fault::Drift {
                model: model?,
                per_minute: per_minute?,
                at,
                until: at.saturating_add(lasts?),
            })
        }
        "leak" => {
            let (model, per_slot) = (model(), bytes("per_slot"));
            Some(Fault::Leak { model: model?, per_slot: per_slot? })
        }
        "keep" => Some(Fault::Keep { model: model()? }),
        "others" => {
            let (at, lasts, bytes) = (at(), lasts(), bytes("bytes"));
            Some(Fault::Others { at: at?, lasts: lasts?, bytes: bytes? })
        }
        "probe" => {
            let (at, lasts, how) = (at(), lasts(), probe_fault(section));
            Some(Fault::Probe { at: at?, lasts: lasts?, how: how? })
        }
        "kill" => {
            let (at, actor) = (at(), section.required("actor", section.string("actor"), "an actor's name"));
            let actor = actor_name(&actor?).map_err(|error| section.refuse("actor", error.to_string())).ok();
            Some(Fault::Kill { actor: actor?, at: at? })
        }
        "shutdown" => Some(Fault::Shutdown { at: at()? }),
        other => {
            section.refuse("kind", UnknownName::new("a fault", other, &FAULTS).to_string());
            None
        }
    }
}

/// How a probe fails, by name.
pub(super) const PROBE_FAULTS: [(&str, ScriptedFault); 6] = [
    ("missing", ScriptedFault::Missing),
    ("failing", ScriptedFault::Failing),
    ("used_above_total", ScriptedFault::UsedAboveTotal),
    ("no_total", ScriptedFault::NoTotal),
    ("half_total", ScriptedFault::HalfTotal),
    ("frozen", ScriptedFault::Frozen),
];

fn probe_fault(section: &Section<'_>) -> Option<ScriptedFault> {
    let accepted = PROBE_FAULTS.map(|(name, _)| name);
    let how = section.required("how", section.string("how"), &accepted.join(", "))?;
    let found = PROBE_FAULTS.iter().find(|(name, _)| *name == how).map(|(_, fault)| *fault);
    if found.is_none() {
        section.refuse("how", UnknownName::new("a probe's fault", &how, &accepted).to_string());
    }
    found
}
