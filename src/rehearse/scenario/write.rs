//! A scenario as the text that reads back as the same one: what differs from the defaults, and nothing else.
//!
//! The one writer of scenarios; whoever makes them up or changes them writes them with it, so that what was played can be
//! kept, read by people and played again. Parses nothing.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::time::Duration;

use super::faults::PROBE_FAULTS;
use super::{Arrivals, Device, Expectations, Fault, Part, RunFault, Scenario, actor_text};
use crate::actors::plan::{StagePolicy, StageTimeout};
use crate::types::{Bytes, DeviceId, ModelId, Stage};

impl Scenario {
    /// The text of this scenario. Reads back as the same one where its times are whole nanoseconds, its stages' timeouts
    /// fixed and its jitter the default, as everything that was read itself is.
    pub fn to_toml(&self) -> String {
        let usual = Self::default();
        let mut page = Page(format!("about = {}\n", text(&self.about)));
        page.table("", |lines| {
            lines.differs("limit", self.limit, usual.limit, duration);
            lines.differs("settle", self.settle, usual.settle, duration);
            lines.differs("seed", self.seed, usual.seed, plain);
            lines.differs("processes", self.processes, usual.processes, plain);
            lines.differs("package", self.package, usual.package, duration);
        });
        page.table("device", |lines| device(lines, &self.device, &usual.device));
        for model in ModelId::ALL {
            let (is, was) = (&self.parts[model], &usual.parts[model]);
            page.table(&format!("models.{}", model.name()), |lines| part(lines, is, was));
        }
        for kind in Stage::ALL {
            let (is, was) = (&self.stages[kind], &usual.stages[kind]);
            page.table(&format!("stages.{}", kind.name()), |lines| stage(lines, is, was));
        }
        page.table("policy", |lines| policy(lines, self, &usual));
        for arrivals in &self.arrivals {
            page.entry("arrivals", |lines| arrival(lines, arrivals));
        }
        for misfortune in &self.faults {
            page.entry("faults", |lines| fault(lines, None, misfortune));
        }
        page.table("expect", |lines| expectations(lines, &self.expect));
        page.0
    }
}

/// The text so far.
struct Page(String);

impl Page {
    fn add(&mut self, head: &str, lines: &Lines) {
        if !head.is_empty() {
            self.0.push_str(&format!("\n{head}\n"));
        }
        self.0.push_str(&lines.0);
    }

    /// A table that stands there only where something is in it; the file's own where it has no name.
    fn table(&mut self, name: &str, fill: impl FnOnce(&mut Lines)) {
        let mut lines = Lines::default();
        fill(&mut lines);
        if !lines.0.is_empty() {
            let head = if name.is_empty() { String::new() } else { format!("[{name}]") };
            self.add(&head, &lines);
        }
    }

    /// One of several tables, also where nothing is in it.
    fn entry(&mut self, name: &str, fill: impl FnOnce(&mut Lines)) {
        let mut lines = Lines::default();
        fill(&mut lines);
        self.add(&format!("[[{name}]]"), &lines);
    }
}

/// The lines of one table.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn put(&mut self, key: &str, value: impl Display) {
        // Writing into a text does not fail.
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn differs<T: PartialEq + Copy>(&mut self, key: &str, is: T, was: T, write: impl Fn(T) -> String) {
        if is != was {
            self.put(key, write(is));
        }
    }

    fn some<T>(&mut self, key: &str, value: Option<T>, write: impl Fn(T) -> String) {
        if let Some(value) = value {
            self.put(key, write(value));
        }
    }
}

fn plain<T: ToString + Copy>(value: T) -> String {
    value.to_string()
}

fn text(value: &str) -> String {
    toml::Value::from(value).to_string()
}

fn named(value: &str) -> String {
    format!("\"{value}\"")
}

fn device_name(id: DeviceId) -> String {
    named(&id.to_string())
}

fn duration(value: Duration) -> String {
    let (seconds, nanos) = (value.as_secs(), value.subsec_nanos());
    if nanos == 0 {
        return match seconds {
            0 => named("0s"),
            hours if hours % 3600 == 0 => format!("\"{}h\"", hours / 3600),
            minutes if minutes % 60 == 0 => format!("\"{}min\"", minutes / 60),
            seconds => format!("\"{seconds}s\""),
        };
    }
    let fraction = format!("{nanos:09}");
    format!("\"{seconds}.{}s\"", fraction.trim_end_matches('0'))
}

fn bytes(value: Bytes) -> String {
    const MEGABYTE: u64 = 1_000_000;
    match value.get() {
        whole if whole % MEGABYTE == 0 => format!("\"{}MB\"", whole / MEGABYTE),
        odd => format!("\"{odd}B\""),
    }
}

fn device(lines: &mut Lines, is: &Device, was: &Device) {
    lines.differs("count", is.count, was.count, plain);
    lines.differs("standby", is.standby, was.standby, plain);
    lines.differs("total", is.total, was.total, bytes);
    lines.differs("overhead", is.overhead, was.overhead, bytes);
    lines.differs("soft_limit", is.soft_limit, was.soft_limit, bytes);
    lines.differs("hard_limit", is.hard_limit, was.hard_limit, bytes);
    lines.differs("hysteresis", is.hysteresis, was.hysteresis, bytes);
    lines.differs("dwell", is.dwell, was.dwell, duration);
    lines.differs("sample_every", is.sample_every, was.sample_every, duration);
    lines.differs("stale_after", is.stale_after, was.stale_after, duration);
}

fn part(lines: &mut Lines, is: &Part, was: &Part) {
    lines.differs("load", is.load, was.load, duration);
    lines.differs("canary", is.canary, was.canary, duration);
    lines.differs("run", is.run, was.run, duration);
    lines.differs("steps", is.steps, was.steps, plain);
    lines.differs("budget", is.budget, was.budget, bytes);
    lines.differs("resident", is.resident, was.resident, bytes);
    lines.differs("workspace", is.workspace, was.workspace, bytes);
    lines.differs("slack", is.slack, was.slack, bytes);
}

fn stage(lines: &mut Lines, is: &StagePolicy, was: &StagePolicy) {
    if is.timeout != was.timeout
        && let StageTimeout::Fixed(timeout) = is.timeout
    {
        lines.put("timeout", duration(timeout));
    }
    lines.differs("retries", is.retries, was.retries, plain);
    lines.differs("estimate", is.estimate, was.estimate, duration);
}

fn policy(lines: &mut Lines, is: &Scenario, was: &Scenario) {
    lines.differs("queue", is.queue, was.queue, plain);
    lines.differs("lookahead", is.lookahead, was.lookahead, plain);
    lines.differs("buffer", is.buffer, was.buffer, duration);
    lines.differs("restart_budget", is.restart.budget, was.restart.budget, plain);
    lines.differs("restart_window", is.restart.window, was.restart.window, duration);
    lines.differs("backoff", is.restart.first_delay, was.restart.first_delay, duration);
    lines.differs("backoff_max", is.restart.longest_delay, was.restart.longest_delay, duration);
    lines.differs("cordon", is.cordon, was.cordon, duration);
    lines.differs("grace", is.grace, was.grace, duration);
    lines.differs("stall", is.stall, was.stall, duration);
    lines.differs("memory_back", is.memory_back, was.memory_back, duration);
    lines.differs("drain", is.drain, was.drain, duration);
    lines.differs("leak_every", is.leak_every, was.leak_every, plain);
}

fn arrival(lines: &mut Lines, it: &Arrivals) {
    let usual = Arrivals::default();
    lines.put("at", duration(it.at));
    lines.differs("count", it.count, usual.count, plain);
    lines.differs("every", it.every, usual.every, duration);
    lines.differs("deadline", it.deadline, usual.deadline, duration);
    lines.differs("patient", it.patient, usual.patient, plain);
    lines.some("cancel_after", it.cancel_after, duration);
}

fn fault(lines: &mut Lines, on: Option<DeviceId>, it: &Fault) {
    let kind = |lines: &mut Lines, name: &str| {
        lines.put("kind", named(name));
        lines.some("device", on, device_name);
    };
    match it {
        // What befalls a device within another would never happen: as the reader has it, the outer one counts.
        Fault::On(device, inner) => fault(lines, Some(on.unwrap_or(*device)), inner),
        Fault::Run { stage, slot, slots, attempts, how } => {
            kind(lines, run_fault(*how));
            lines.put("stage", named(stage.name()));
            lines.differs("slot", *slot, 1, plain);
            lines.differs("slots", *slots, 1, plain);
            lines.differs("attempts", *attempts, 1, plain);
            if let RunFault::Slow(by) = how {
                lines.put("by", duration(*by));
            }
        }
        Fault::Load { model, after, times, unusable } => {
            kind(lines, "load");
            lines.put("model", named(model.name()));
            lines.differs("after", *after, 0, plain);
            lines.differs("times", *times, 1, plain);
            lines.differs("unusable", *unusable, false, plain);
        }
        Fault::Drift { model, per_minute, at, until } => {
            kind(lines, "drift");
            lines.put("model", named(model.name()));
            lines.put("per_minute", bytes(*per_minute));
            lines.put("at", duration(*at));
            lines.put("lasts", duration(until.saturating_sub(*at)));
        }
        Fault::Leak { model, per_slot } => {
            kind(lines, "leak");
            lines.put("model", named(model.name()));
            lines.put("per_slot", bytes(*per_slot));
        }
        Fault::Keep { model } => {
            kind(lines, "keep");
            lines.put("model", named(model.name()));
        }
        Fault::Others { at, lasts, bytes: taken } => {
            kind(lines, "others");
            lines.put("bytes", bytes(*taken));
            lines.put("at", duration(*at));
            lines.put("lasts", duration(*lasts));
        }
        Fault::Probe { at, lasts, how } => {
            kind(lines, "probe");
            let name = PROBE_FAULTS.iter().find(|(_, fault)| fault == how).map(|(name, _)| named(name));
            lines.some("how", name, |name| name);
            lines.put("at", duration(*at));
            lines.put("lasts", duration(*lasts));
        }
        Fault::Kill { actor, at } => {
            kind(lines, "kill");
            lines.put("actor", named(actor_text(*actor)));
            lines.put("at", duration(*at));
        }
        Fault::Shutdown { at } => {
            kind(lines, "shutdown");
            lines.put("at", duration(*at));
        }
    }
}

/// The kind of a run's fault, as written.
pub(super) const fn run_fault(how: RunFault) -> &'static str {
    match how {
        RunFault::OutOfMemory => "out_of_memory",
        RunFault::Panic => "panic",
        RunFault::Error => "error",
        RunFault::Hang => "hang",
        RunFault::Poison => "poison",
        RunFault::Slow(_) => "slow",
    }
}

fn counts<K>(table: &BTreeMap<K, u64>, name: impl Fn(&K) -> &str) -> String {
    let entries: Vec<String> =
        table.iter().map(|(key, count)| format!("{} = {count}", text(name(key)))).collect();
    if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
}

fn expectations(lines: &mut Lines, it: &Expectations) {
    let texts = |table: &BTreeMap<String, u64>| counts(table, |name| name);
    lines.some("accepted", it.accepted, plain);
    lines.some("completed", it.completed, plain);
    lines.some("in_time", it.in_time, plain);
    lines.some("refused", it.refused.as_ref(), texts);
    if !it.refused_at_least.is_empty() {
        lines.put("refused_at_least", texts(&it.refused_at_least));
    }
    lines.some("failed", it.failed.as_ref(), |table| counts(table, |cause| cause.name()));
    lines.some("cancelled", it.cancelled, plain);
    lines.some("kept", it.kept, plain);
    lines.some("resumed", it.resumed, plain);
    lines.some("placed", it.placed.as_ref(), texts);
    lines.some("cards_lost", it.cards_lost.as_ref(), texts);
    lines.some("restarts", it.restarts.as_ref(), texts);
    lines.some("ready_within", it.ready_within, duration);
    lines.some("highest_use", it.highest_use, bytes);
    lines.some("limit_violations", it.limit_violations, plain);
    lines.some("until_remedy", it.until_remedy, duration);
    lines.some("until_relief", it.until_relief, duration);
    lines.some("not_accepting", it.not_accepting, duration);
    lines.some("not_working", it.not_working, duration);
    lines.some("leases_refused", it.leases_refused, plain);
    lines.some("exits", it.exits.as_ref(), |codes| format!("{codes:?}"));
    if let Some((period, tolerance)) = it.period {
        lines.put("period", duration(period));
        lines.put("period_tolerance_permille", (tolerance * 1000.0).round());
    }
}
