//! A scenario from its text: defaults and parsing.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use enum_map::enum_map;
use toml::{Table, Value};

use super::check::check;
use super::{Arrivals, Device, Expectations, Fault, Part, RunFault, Scenario, ScenarioError, actor_name};
use crate::actors::plan::{PlanPolicy, StageTimeout};
use crate::actors::restart::RestartPolicy;
use crate::journal::Failure;
use crate::rehearse::reader::{Problem, Problems, Section};
use crate::types::{Bytes, DeviceId, ModelId, Stage, UnknownName};
use crate::vram::ScriptedFault;

/// Refusals' names, as reports have them.
const REFUSALS: [&str; 8] =
    ["pressure", "not_ready", "draining", "queue_full", "too_late", "duplicate", "recipe", "journal"];

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

impl Default for Scenario {
    /// The origin's card and stages (2, 12, 8, 1 s), nothing arriving and nothing wrong. Packaging takes no time, so
    /// that the slowest stage is the model's.
    fn default() -> Self {
        let part = |run, budget, resident, workspace| Part {
            load: seconds(2),
            canary: Duration::from_millis(500),
            run: seconds(run),
            steps: NonZeroU32::MIN.saturating_add(3),
            budget: Bytes::mb(budget),
            resident: Bytes::mb(resident),
            workspace: Bytes::mb(workspace),
            slack: Bytes::ZERO,
        };
        let plan = PlanPolicy::default();
        Self {
            about: String::new(),
            limit: seconds(3600),
            settle: seconds(5),
            seed: 1,
            processes: 0,
            device: Device {
                count: NonZeroU32::MIN,
                standby: false,
                total: Bytes::mb(12_800),
                overhead: Bytes::mb(500),
                soft_limit: Bytes::gb(11),
                hard_limit: Bytes::mb(11_500),
                hysteresis: Bytes::mb(300),
                dwell: seconds(2),
                sample_every: seconds(1),
                stale_after: seconds(3),
            },
            parts: enum_map! {
                ModelId::Flux => part(12, 5000, 4900, 1000),
                ModelId::LivePortrait => part(8, 500, 450, 1500),
                ModelId::Kokoro => part(2, 400, 350, 100),
                ModelId::ClipB => part(1, 300, 250, 50),
                ModelId::ClipL => part(1, 600, 550, 50),
            },
            package: Duration::ZERO,
            stages: plan.stages,
            buffer: plan.buffer,
            queue: NonZeroUsize::MIN.saturating_add(15),
            lookahead: NonZeroUsize::MIN.saturating_add(1),
            restart: RestartPolicy::default(),
            cordon: seconds(30),
            grace: seconds(10),
            stall: seconds(60),
            memory_back: seconds(10),
            drain: seconds(60),
            leak_every: NonZeroU32::MIN.saturating_add(99),
            arrivals: Vec::new(),
            faults: Vec::new(),
            expect: Expectations::default(),
        }
    }
}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let what = format!("not TOML: {}", error.to_string().trim_end().replace('\n', "\n    "));
            ScenarioError(vec![Problem { key: "the file".to_owned(), value: None, what }])
        })?;
        let problems = Problems::default();
        let scenario = read(&Section::root(&table, &problems));
        check(&scenario, &problems);
        let problems = problems.into_inner();
        if problems.is_empty() { Ok(scenario) } else { Err(ScenarioError(problems)) }
    }
}

/// Puts what is there over the default.
fn over<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn nonzero(count: Option<u64>) -> Option<NonZeroU32> {
    count.and_then(|count| u32::try_from(count).ok()).and_then(NonZeroU32::new)
}

fn nonzero_usize(count: Option<u64>) -> Option<NonZeroUsize> {
    count.and_then(|count| usize::try_from(count).ok()).and_then(NonZeroUsize::new)
}

fn read(root: &Section<'_>) -> Scenario {
    let mut it = Scenario::default();
    over(&mut it.about, root.required("about", root.string("about"), "what the scenario shows, in a line"));
    over(&mut it.limit, root.span("limit"));
    over(&mut it.settle, root.duration("settle"));
    over(&mut it.seed, root.count("seed", 0, i64::MAX as u64));
    over(&mut it.processes, root.count("processes", 0, 100));
    over(&mut it.package, root.duration("package"));
    device(&mut it.device, &root.section("device"));
    let models = root.section("models");
    for model in ModelId::ALL {
        part(&mut it.parts[model], &models.section(model.name()));
    }
    drop(models);
    let stages = root.section("stages");
    for stage in Stage::ALL {
        let (section, row) = (stages.section(stage.name()), &mut it.stages[stage]);
        over(&mut row.timeout, section.span("timeout").map(StageTimeout::Fixed));
        over(&mut row.retries, section.count("retries", 0, 100).map(|retries| retries as u32));
        over(&mut row.estimate, section.span("estimate"));
    }
    drop(stages);
    policy(&mut it, &root.section("policy"));
    let arrivals = root.sections("arrivals");
    if arrivals.is_empty() {
        root.wrong("arrivals", None, "nothing arrives; accepted: at least one [[arrivals]] table");
    }
    it.arrivals = arrivals.iter().map(arrival).collect();
    it.faults = root.sections("faults").iter().filter_map(fault).collect();
    it.expect = expectations(&root.section("expect"));
    it
}

fn device(it: &mut Device, section: &Section<'_>) {
    over(&mut it.count, nonzero(section.count("count", 1, 64)));
    over(&mut it.standby, section.flag("standby"));
    over(&mut it.total, section.bytes("total"));
    over(&mut it.overhead, section.bytes("overhead"));
    over(&mut it.soft_limit, section.bytes("soft_limit"));
    over(&mut it.hard_limit, section.bytes("hard_limit"));
    over(&mut it.hysteresis, section.bytes("hysteresis"));
    over(&mut it.dwell, section.duration("dwell"));
    over(&mut it.sample_every, section.span("sample_every"));
    over(&mut it.stale_after, section.span("stale_after"));
}

fn part(it: &mut Part, section: &Section<'_>) {
    over(&mut it.load, section.span("load"));
    over(&mut it.canary, section.span("canary"));
    over(&mut it.run, section.span("run"));
    over(&mut it.steps, nonzero(section.count("steps", 1, 100_000)));
    over(&mut it.budget, section.bytes("budget"));
    over(&mut it.resident, section.bytes("resident"));
    over(&mut it.workspace, section.bytes("workspace"));
    over(&mut it.slack, section.bytes("slack"));
}

fn policy(it: &mut Scenario, section: &Section<'_>) {
    over(&mut it.queue, nonzero_usize(section.count("queue", 1, 1_000_000)));
    over(&mut it.lookahead, nonzero_usize(section.count("lookahead", 1, 16)));
    over(&mut it.buffer, section.duration("buffer"));
    over(&mut it.restart.budget, nonzero(section.count("restart_budget", 1, 1000)));
    over(&mut it.restart.window, section.span("restart_window"));
    over(&mut it.restart.first_delay, section.span("backoff"));
    over(&mut it.restart.longest_delay, section.span("backoff_max"));
    over(&mut it.cordon, section.span("cordon"));
    over(&mut it.grace, section.span("grace"));
    over(&mut it.stall, section.span("stall"));
    over(&mut it.memory_back, section.span("memory_back"));
    over(&mut it.drain, section.span("drain"));
    over(&mut it.leak_every, nonzero(section.count("leak_every", 1, 100_000)));
}

fn arrival(section: &Section<'_>) -> Arrivals {
    Arrivals {
        // The models are loaded by then.
        at: section.duration("at").unwrap_or(seconds(10)),
        count: section.count("count", 1, 1_000_000).unwrap_or(1),
        every: section.duration("every").unwrap_or_default(),
        deadline: section.span("deadline").unwrap_or(seconds(3600)),
        patient: section.flag("patient").unwrap_or_default(),
        cancel_after: section.duration("cancel_after"),
    }
}

const FAULTS: [&str; 14] = [
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

fn fault(section: &Section<'_>) -> Option<Fault> {
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

fn probe_fault(section: &Section<'_>) -> Option<ScriptedFault> {
    const NAMES: [(&str, ScriptedFault); 6] = [
        ("missing", ScriptedFault::Missing),
        ("failing", ScriptedFault::Failing),
        ("used_above_total", ScriptedFault::UsedAboveTotal),
        ("no_total", ScriptedFault::NoTotal),
        ("half_total", ScriptedFault::HalfTotal),
        ("frozen", ScriptedFault::Frozen),
    ];
    let accepted = NAMES.map(|(name, _)| name);
    let how = section.required("how", section.string("how"), &accepted.join(", "))?;
    let found = NAMES.iter().find(|(name, _)| *name == how).map(|(_, fault)| *fault);
    if found.is_none() {
        section.refuse("how", UnknownName::new("a probe's fault", &how, &accepted).to_string());
    }
    found
}

fn expectations(section: &Section<'_>) -> Expectations {
    let count = |name| section.count(name, 0, 1_000_000_000);
    let period = section.span("period").map(|period| {
        // In thousandths, as TOML's floats are another type: 20 is ±2 %.
        (period, section.count("period_tolerance_permille", 1, 1000).unwrap_or(20) as f64 / 1000.0)
    });
    Expectations {
        accepted: count("accepted"),
        completed: count("completed"),
        in_time: count("in_time"),
        refused: counts(section, "refused", |name| known(name, "a refusal", &REFUSALS)),
        refused_at_least: counts(section, "refused_at_least", |name| known(name, "a refusal", &REFUSALS))
            .unwrap_or_default(),
        failed: counts(section, "failed", |name| {
            let found = Failure::ALL.into_iter().find(|cause| cause.name() == name);
            found.ok_or_else(|| {
                UnknownName::new("a cause", name, &Failure::ALL.map(Failure::name)).to_string()
            })
        }),
        cancelled: count("cancelled"),
        resumed: count("resumed"),
        placed: counts(section, "placed", device_name),
        cards_lost: counts(section, "cards_lost", device_name),
        restarts: counts(section, "restarts", |name| {
            let actor = name.split_once('/').map(|(device, actor)| device_name(device).map(|_| actor));
            match actor_name(actor.transpose()?.unwrap_or(name)) {
                Ok(_) => Ok(name.to_owned()),
                Err(error) => Err(error.to_string()),
            }
        }),
        ready_within: section.span("ready_within"),
        highest_use: section.bytes("highest_use"),
        limit_violations: count("limit_violations"),
        leases_refused: count("leases_refused"),
        exits: section.codes("exits"),
        period,
    }
}

fn device_name(name: &str) -> Result<String, String> {
    match name.parse::<DeviceId>() {
        Ok(device) => Ok(device.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn known(name: &str, what: &'static str, names: &[&'static str]) -> Result<String, String> {
    if names.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(UnknownName::new(what, name, names).to_string())
}

/// A table of counts whose keys are names of something.
fn counts<K: Ord>(
    section: &Section<'_>,
    name: &'static str,
    key: impl Fn(&str) -> Result<K, String>,
) -> Option<BTreeMap<K, u64>> {
    if !section.has(name) {
        return None;
    }
    let table = section.section(name);
    let mut found = BTreeMap::new();
    for (name, value) in table.entries() {
        let number = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        match (key(name), number) {
            (Ok(key), Some(number)) => {
                found.insert(key, number);
            }
            (Ok(_), None) => table.wrong(name, Some(value), "accepted: a whole number of at least 0"),
            (Err(error), _) => table.wrong(name, Some(value), error),
        }
    }
    table.all_keys_are_known();
    Some(found)
}
