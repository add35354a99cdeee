//! What happens in a node as log lines: one subscriber of the bus, so that no part writes its own.
//!
//! Owns which events are worth a line, its level and its fields. A line is written inside the span that the event was told
//! in, so a slot's lines carry its span. Filters by part still work: lines have the target of the part that tells.

use super::names::event;
use crate::events::{Closed, Event, EventKind, Subscriber};
use crate::types::{Bytes, ModelId, SlotId};

/// The part that tells what is logged here.
const ACTORS: &str = "vortex_node::actors";
/// The part that tells of processes.
const APP: &str = "vortex_node::app";

/// Writes a line for every event that is worth one.
#[derive(Clone, Copy, Debug)]
pub struct EventLog;

impl Subscriber for EventLog {
    fn hear(&self, event: &Event) {
        match event.slot {
            Some(slot) => of_slot(slot, event),
            None => of_memory(event).unwrap_or_else(|()| of_device(event)),
        }
    }

    /// A line for every step of every model would say little.
    fn wants_steps(&self) -> bool {
        false
    }
}

fn of_slot(slot: SlotId, told: &Event) {
    let device = told.device.as_ref().map(tracing::field::display);
    match &told.kind {
        EventKind::Accepted { eta, resumed } => tracing::info!(
            target: ACTORS, event = event::SLOT_ACCEPTED, %slot, device, resumed, eta = eta.as_secs_f64(),
            "slot accepted"
        ),
        EventKind::VideoProgress { progress } => tracing::debug!(
            target: ACTORS, event = event::VIDEO_PROGRESS, %slot, done = progress.done, total = progress.total,
            "video progress"
        ),
        EventKind::StageAgain { stage, counted, message } => tracing::warn!(
            target: ACTORS, event = event::STAGE_AGAIN, %slot, stage = stage.name(), counted, error = message,
            "stage again"
        ),
        EventKind::AudioComplete { took } => stage_complete(event::AUDIO_COMPLETE, slot, *took),
        EventKind::ImageComplete { took } => stage_complete(event::IMAGE_COMPLETE, slot, *took),
        EventKind::VideoComplete { took } => stage_complete(event::VIDEO_COMPLETE, slot, *took),
        EventKind::ClipComplete { took, .. } => stage_complete(event::CLIP_COMPLETE, slot, *took),
        EventKind::VideoEncoded { frames, bytes, encoding } => tracing::debug!(
            target: ACTORS, event = event::VIDEO_ENCODED, %slot, frames, bytes = bytes.get(),
            encoding = encoding.as_secs_f64(), "video encoded"
        ),
        EventKind::GenerationComplete { elapsed, breakdown, deadline_met } => tracing::info!(
            target: ACTORS,
            event = event::GENERATION_COMPLETE,
            %slot,
            elapsed = elapsed.as_secs_f64(),
            audio = breakdown.audio.as_secs_f64(),
            image = breakdown.image.as_secs_f64(),
            video = breakdown.video.as_secs_f64(),
            verify = breakdown.verify.as_secs_f64(),
            package = breakdown.package.as_secs_f64(),
            deadline_met,
            "slot complete"
        ),
        EventKind::SlotFailed { cause, stage, message } => tracing::warn!(
            target: ACTORS,
            event = event::SLOT_FAILED,
            %slot,
            cause = cause.name(),
            stage = stage.map(|stage| stage.name()),
            error = message,
            "slot failed"
        ),
        EventKind::SlotCancelled { cause } => tracing::info!(
            target: ACTORS, event = event::SLOT_CANCELLED, %slot, cause = cause.name(), "slot cancelled"
        ),
        EventKind::SlotSuperseded { by } => tracing::info!(
            target: ACTORS, event = event::SLOT_SUPERSEDED, %slot, by, "another node's result was first"
        ),
        EventKind::SlotLeft => tracing::warn!(
            target: ACTORS, event = event::SLOT_LEFT, %slot, device, "claim lost, slot left open"
        ),
        EventKind::EndNotKept { message } => tracing::error!(
            target: ACTORS, event = event::JOURNAL_FAILED, %slot, error = message, "end not kept"
        ),
        EventKind::SlotMoved { from } => tracing::warn!(
            target: ACTORS, event = event::SLOT_MOVED, %slot, %from, to = device, "slot moved"
        ),
        EventKind::JournalFailed { what, message } => tracing::error!(
            target: ACTORS, event = event::JOURNAL_FAILED, %slot, error = message, "{what}"
        ),
        _ => {}
    }
}

fn stage_complete(name: &'static str, slot: SlotId, took: std::time::Duration) {
    tracing::info!(target: ACTORS, event = name, %slot, took = took.as_secs_f64(), "stage complete");
}

/// Memory, sampled and short; an error where the event is of something else.
fn of_memory(told: &Event) -> Result<(), ()> {
    let device = told.device.as_ref().map(tracing::field::display);
    match &told.kind {
        EventKind::MemorySnapshot(snapshot) => {
            if tracing::enabled!(target: ACTORS, tracing::Level::INFO) {
                let text = serde_json::to_string(snapshot).unwrap_or_default();
                tracing::info!(
                    target: ACTORS, event = event::MEMORY_SNAPSHOT, device, snapshot = text, "memory snapshot"
                );
            }
        }
        EventKind::MemoryPressure(crossing) => tracing::warn!(
            target: ACTORS,
            event = event::PRESSURE_CHANGED,
            device,
            from = crossing.from.name(),
            to = crossing.to.name(),
            used = crossing.used.get(),
            limit = crossing.limit.get(),
            "memory pressure changed"
        ),
        EventKind::Blind { waited } => tracing::warn!(
            target: ACTORS, event = event::PRESSURE_BLIND, device, waited = waited.as_secs_f64(),
            "nothing to decide by"
        ),
        EventKind::ProbesRebuilt { waited, rebuilt } => tracing::warn!(
            target: ACTORS, event = event::PROBES_REBUILT, device, waited = waited.as_secs_f64(), rebuilt,
            "probes made anew"
        ),
        EventKind::ProbeSwitched { from: None, to: Some(to), because: None } => tracing::info!(
            target: ACTORS, event = event::PROBE_SWITCHED, device, to, "memory is looked at by this probe"
        ),
        EventKind::ProbeSwitched { from, to, because } => tracing::warn!(
            target: ACTORS, event = event::PROBE_SWITCHED, device, from, to, because, "probe switched"
        ),
        EventKind::LeaseRefused(refusal) => {
            let numbers = serde_json::to_string(refusal).unwrap_or_default();
            tracing::warn!(
                target: ACTORS, event = event::LEASE_REFUSED, device, refusal = numbers, "lease refused"
            );
        }
        EventKind::PressureCaused { cause, unexplained } => tracing::warn!(
            target: ACTORS, event = event::PRESSURE_CAUSED, device, cause = cause.name(),
            unexplained = unexplained.get(), "memory stands above a limit"
        ),
        EventKind::MemoryOccupied { occupants } => {
            let occupants = serde_json::to_string(occupants).unwrap_or_default();
            tracing::warn!(
                target: ACTORS, event = event::MEMORY_OCCUPIED, device, occupants, "other processes hold the memory"
            );
        }
        EventKind::MemoryRemedy { remedy, used, budget } => tracing::warn!(
            target: ACTORS, event = event::MEMORY_REMEDY, device, remedy = remedy.name(),
            model = remedy.model().map(ModelId::name), used = used.map(Bytes::get), budget = budget.map(Bytes::get),
            "memory of our own: remedy"
        ),
        EventKind::LeakChecked { verdict, grown } => tracing::info!(
            target: ACTORS,
            event = event::LEAK_CHECKED,
            device,
            slope = verdict.slope,
            growth = verdict.growth,
            standard_error = verdict.standard_error,
            leaking = verdict.leaking,
            ?grown,
            "leak checked"
        ),
        _ => return Err(()),
    }
    Ok(())
}

fn of_device(told: &Event) {
    let device = told.device.as_ref().map(tracing::field::display);
    match &told.kind {
        EventKind::ModelLoaded { model, resident } => tracing::info!(
            target: ACTORS, event = event::MODEL_LOADED, device, model = model.name(), resident = resident.get(),
            "model loaded"
        ),
        EventKind::ModelReady { model, after } => tracing::info!(
            target: ACTORS,
            event = event::MODEL_READY,
            device,
            model = model.name(),
            after = after.map(|after| after.as_secs_f64()),
            "model ready"
        ),
        EventKind::ModelStalled { model, age } => tracing::warn!(
            target: ACTORS, event = event::MODEL_STALLED, device, model = model.name(), age = age.as_secs_f64(),
            "no progress, run cancelled"
        ),
        EventKind::ModelTrimmed { model, freed } => tracing::info!(
            target: ACTORS, event = event::MODEL_TRIMMED, device, model = model.name(), freed = freed.get(),
            "model trimmed"
        ),
        EventKind::ModelCordoned { model, rest } => tracing::error!(
            target: ACTORS, event = event::MODEL_CORDONED, device, model = model.name(), rest = rest.as_secs_f64(),
            "restart budget spent"
        ),
        EventKind::ActorDown { actor, fault, message } if actor.parse::<ModelId>().is_ok() => tracing::warn!(
            target: ACTORS, event = event::MODEL_DOWN, device, model = actor, fault = fault.name(), error = message,
            "model down"
        ),
        EventKind::ActorDown { actor, fault, message } => tracing::error!(
            target: ACTORS, event = event::ACTOR_DOWN, device, actor, fault = fault.name(), error = message,
            "actor down"
        ),
        EventKind::AdmissionChanged { closed } => tracing::info!(
            target: ACTORS, event = event::ADMISSION_CHANGED, device, closed = closed.map(Closed::name), "admission"
        ),
        EventKind::Escalated { exit, cause } => tracing::error!(
            target: ACTORS, event = event::CARD_ESCALATED, device, exit = exit.code(), cause, "card given up"
        ),
        EventKind::CardLost { exit, others, .. } => {
            let others: Vec<String> = others.iter().map(ToString::to_string).collect();
            tracing::error!(
                target: ACTORS, event = event::CARD_LOST, device, exit = exit.code(), others = others.join(", "),
                "card lost"
            );
        }
        EventKind::CrashLoop { .. } | EventKind::CrashRecordFailed { .. } => of_process(&told.kind),
        EventKind::JournalFailed { what, message } => tracing::error!(
            target: ACTORS, event = event::JOURNAL_FAILED, device, error = message, "{what}"
        ),
        _ => {}
    }
}

fn of_process(kind: &EventKind) {
    match kind {
        // Alerts are raised by level where nothing better reads the event.
        EventKind::CrashLoop { count, within, cause, delay, alert: true } => tracing::error!(
            target: APP, event = event::CRASH_LOOP, count, within = within.as_secs_f64(), cause,
            delay = delay.as_secs_f64(), alert = true, "this node ends with 71 again and again"
        ),
        EventKind::CrashLoop { count, within, cause, delay, alert: false } => tracing::warn!(
            target: APP, event = event::CRASH_LOOP, count, within = within.as_secs_f64(), cause,
            delay = delay.as_secs_f64(), alert = false, "the last process ended with 71"
        ),
        EventKind::CrashRecordFailed { message } => tracing::warn!(
            target: APP, event = event::CRASH_RECORD_FAILED, error = message, "how processes ended is not kept"
        ),
        _ => {}
    }
}
