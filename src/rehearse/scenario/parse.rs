//! A scenario from its text: defaults and parsing.

use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use enum_map::enum_map;
use toml::Table;

use super::check::check;
use super::expectations::expectations;
use super::faults::fault;
use super::{Arrivals, Device, Expectations, Part, Scenario, ScenarioError};
use crate::actors::plan::{PlanPolicy, StageTimeout};
use crate::actors::restart::RestartPolicy;
use crate::rehearse::reader::{Problem, Problems, Section};
use crate::types::{Bytes, ModelId, Stage};

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

impl Default for Arrivals {
    /// One slot without haste, once the models are loaded.
    fn default() -> Self {
        Self {
            at: seconds(10),
            count: 1,
            every: Duration::ZERO,
            deadline: seconds(3600),
            patient: false,
            cancel_after: None,
        }
    }
}

fn arrival(section: &Section<'_>) -> Arrivals {
    let mut it = Arrivals::default();
    over(&mut it.at, section.duration("at"));
    over(&mut it.count, section.count("count", 1, 1_000_000));
    over(&mut it.every, section.duration("every"));
    over(&mut it.deadline, section.span("deadline"));
    over(&mut it.patient, section.flag("patient"));
    it.cancel_after = section.duration("cancel_after");
    it
}
