//! Plays a scenario: starts the tree, lets slots arrive and faults happen at their times, starts the next process where
//! one ends, and reports.
//!
//! A paused clock by default: time jumps to the next timer whenever nothing is left to do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::Client;
use super::misfortune::let_happen;
use super::panics;
use super::recorder::Recorder;
use super::report::Report;
use super::scenario::{Fault, Scenario};
use super::scripted_models::{Hosting, company};
use super::scripted_pipeline::ScriptedPipeline;
use super::theatre::{Memory, Theatre};
use super::witness::Witness;
use crate::actors::handle::{Cards, NodeHandle};
use crate::actors::limits::ModelLimits;
use crate::actors::limits::SlotLimits;
use crate::actors::plan::PlanPolicy;
use crate::actors::restart::{LadderPolicy, RestartPolicy};
use crate::actors::sampler::InlineSampler;
use crate::actors::tree::OpenSlots;
use crate::actors::tree::{DeviceTree, TreeParts, TreeSettings};
use crate::actors::watchdog::WatchSettings;
use crate::clock;
use crate::events::{Bus, Subscriber};
use crate::exit::Exit;
use crate::journal::{Journal, MemoryJournal};
use crate::telemetry::EventLog;
use crate::types::{Bytes, DeviceId, SlotId};
use crate::vram::policy::{LeakSettings, RemedySettings, Thresholds};
use crate::vram::{
    ChainSettings, Ledger, MonitorSettings, Probe, ProbeChain, ScriptedChange, ScriptedDevice, ScriptedProbe,
};

/// How fast a rehearsal runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// On a paused clock, models on tasks.
    Accelerated,
    /// In real time, models on threads of their own.
    RealTime,
}

/// Beyond what slots in work are given, for a node that was told to end: the journal's last writes have half a minute, and
/// whoever has not ended long after that never will.
const END: Duration = Duration::from_secs(600);

/// Why a rehearsal could not be held: nothing to do with the scenario.
#[derive(Debug, thiserror::Error)]
#[error("the rehearsal could not be held: {0}")]
pub struct RehearsalError(String);

pub(super) fn held(error: impl std::fmt::Display) -> RehearsalError {
    RehearsalError(error.to_string())
}

/// What looks at the memory of the device that a process begins with.
pub(crate) type Eyes<'a> = &'a dyn Fn(&ScriptedDevice) -> Vec<Box<dyn Probe>>;

/// Plays `scenario` on a runtime of its own and compares the outcome with what it expects. `more` hear everything too.
pub fn rehearse(
    scenario: &Scenario,
    pace: Pace,
    more: Vec<Arc<dyn Subscriber>>,
) -> Result<Report, RehearsalError> {
    let scripted = |device: &ScriptedDevice| -> Vec<Box<dyn Probe>> {
        vec![Box::new(ScriptedProbe::new("scripted", device.clone()))]
    };
    rehearse_seen_by(scenario, pace, more, &scripted)
}

/// The same, with the device's memory seen by `eyes`: through a driver's own interface, say.
pub fn rehearse_seen_by(
    scenario: &Scenario,
    pace: Pace,
    more: Vec<Arc<dyn Subscriber>>,
    eyes: Eyes<'_>,
) -> Result<Report, RehearsalError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(pace == Pace::Accelerated)
        .build()
        .map_err(held)?;
    let (report, panics) = panics::heard_during(|| {
        let report = runtime.block_on(play(scenario, pace, more, eyes));
        // Played threads that hang are part of some scenarios: they end with the process, not before.
        runtime.shutdown_background();
        report
    });
    let mut report = Report { panics, ..report? };
    report.compare(&scenario.expect);
    Ok(report)
}

async fn play(
    scenario: &Scenario,
    pace: Pace,
    more: Vec<Arc<dyn Subscriber>>,
    eyes: Eyes<'_>,
) -> Result<Report, RehearsalError> {
    let start = clock::now();
    let several = scenario.device.count.get() > 1;
    let recorder = Arc::new(Recorder::new(start, scenario.device.hard_limit, several));
    let journal = Arc::new(MemoryJournal::new());
    let played = Memory::default();
    let witness = Arc::new(Witness::new(start, scenario, played.clone()));
    let first: [Arc<dyn Subscriber>; 3] = [Arc::new(EventLog), recorder.clone(), witness.clone()];
    let bus = Bus::new(first.into_iter().chain(more).collect());
    let run = Rehearsal {
        scenario,
        eyes,
        start,
        hosting: if pace == Pace::Accelerated { Hosting::Tasks } else { Hosting::Threads },
        journal,
        recorder,
        witness,
        bus,
        played,
        handle: Arc::new(Mutex::new(None)),
    };
    run.go().await
}

struct Rehearsal<'a> {
    scenario: &'a Scenario,
    eyes: Eyes<'a>,
    start: Instant,
    hosting: Hosting,
    journal: Arc<MemoryJournal>,
    recorder: Arc<Recorder>,
    witness: Arc<Witness>,
    bus: Bus,
    played: Memory,
    /// The running process, if one is.
    handle: Arc<Mutex<Option<NodeHandle>>>,
}

/// How one process ended.
struct Ended {
    exit: Exit,
    /// Whether it was to leave no slot open.
    closes: bool,
    /// Leases still out after it.
    leaked: u64,
    /// Whether time ran out, or it did not end when told to.
    broken_off: bool,
}

impl Rehearsal<'_> {
    async fn go(self) -> Result<Report, RehearsalError> {
        let (arrived, all_in) = watch::channel(false);
        let mut guests = JoinSet::new();
        self.invite(&mut guests, arrived);
        let mut processes = 0;
        loop {
            let last = processes == self.scenario.processes;
            let ended = self.process(last, all_in.clone()).await?;
            self.recorder.exited(ended.exit.code());
            processes += 1;
            if ended.broken_off || ended.leaked > 0 || last || !ended.exit.wants_restart() {
                guests.abort_all();
                return self.report(&ended).await;
            }
        }
    }

    async fn report(&self, last: &Ended) -> Result<Report, RehearsalError> {
        let open = self.journal.open().await.map_err(held)?.slots;
        let open: Vec<SlotId> = open.iter().map(|slot| slot.accepted.slot).collect();
        let (accepted, ended) = (self.journal.accepted(), self.journal.ended());
        let observed = self.witness.observed();
        Ok(Report {
            about: self.scenario.about.clone(),
            leases_leaked: last.leaked,
            broken_off: last.broken_off,
            above_soft: observed.above_soft,
            above_hard: observed.above_hard,
            until_remedy: observed.until_remedy,
            until_relief: observed.until_relief,
            not_accepting: observed.not_accepting,
            not_working: observed.not_working,
            ..self.recorder.report(accepted, &ended, &open, last.closes)
        })
    }

    /// One process from start to exit code. The last one closes what is open, since nobody would take it up.
    async fn process(&self, last: bool, all_in: watch::Receiver<bool>) -> Result<Ended, RehearsalError> {
        // A new process begins with empty devices.
        self.played.new_process();
        let empty = |id| (id, ScriptedDevice::new(self.scenario.device.total));
        let devices: Vec<(DeviceId, ScriptedDevice)> = self.scenario.device.ids().map(empty).collect();
        let open_slots = if last { OpenSlots::Close } else { OpenSlots::Resume };
        let mut trees = Vec::new();
        for (id, device) in &devices {
            trees.push(self.tree(*id, device, open_slots)?);
        }
        let ledgers: Vec<Ledger> = trees.iter().map(|tree| tree.ledger.clone()).collect();
        let first = trees.remove(0);
        // Before anything is told of it.
        self.witness.begin();
        let standby = self.scenario.device.standby;
        let cards = if standby { Cards::one_at_a_time(first, trees) } else { Cards::new(first, trees) };
        let node = cards.start().await.map_err(held)?;
        let handle = node.handle();
        self.put_handle(Some(handle.clone()));
        let mut beside = let_happen(self.scenario, self.start, &handle, &devices);
        beside.spawn(Arc::clone(&self.witness).watch(handle.clone(), devices));
        let settled = self.settled(all_in, &ledgers);
        let mut ended = std::pin::pin!(node.ended());
        let limit = tokio::time::sleep_until((self.start + self.scenario.limit).into());
        let (told, within, in_time) = tokio::select! {
            exit = &mut ended => (Some(exit), Duration::ZERO, true),
            () = settled => (None, self.scenario.drain, true),
            () = limit => (None, Duration::ZERO, false),
        };
        let exit = match told {
            Some(exit) => Some(exit),
            None => {
                handle.shut_down(if in_time { Exit::Success } else { Exit::Failure }, within);
                tokio::time::timeout(within.saturating_add(END), &mut ended).await.ok()
            }
        };
        self.put_handle(None);
        beside.abort_all();
        let broken_off = !in_time || exit.is_none();
        let exit = exit.unwrap_or(Exit::Failure);
        let mut leaked = 0;
        for ledger in ledgers {
            leaked += self.leaked(&ledger, exit).await;
        }
        Ok(Ended { exit, closes: last, leaked, broken_off })
    }

    /// The longest that a run may hold its workspace after it was told to stop, or made no step, before something follows.
    fn patience(&self) -> Duration {
        let it = self.scenario;
        let longest = it.parts.values().map(|part| part.run.max(part.load)).max().unwrap_or_default();
        longest.saturating_add(it.stall).saturating_add(it.grace)
    }

    /// Leases that are not returned though every host that can end has had the time to. The end of a process takes
    /// everything with it, so where a new one is wanted there is nothing to leak, and nothing on a device that was lost. What
    /// a hanging run holds is no leak where the process, or its device, was ended for another reason before its grace was
    /// over: it ends with the process.
    async fn leaked(&self, ledger: &Ledger, exit: Exit) -> u64 {
        let given_up = self.recorder.given_up(ledger.device());
        if exit.wants_restart() || given_up == Some(u64::from(Exit::DeviceLost.code())) {
            return 0;
        }
        let is_cut_short = exit != Exit::Success || given_up.is_some();
        let hangs = |model| is_cut_short && self.played.hangs(ledger.device(), model);
        let held = || ledger.holdings().iter().filter(|holding| !hangs(holding.model)).count() as u64;
        let mut changes = ledger.changes();
        let returned = async {
            while held() > 0 {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(self.patience(), returned).await;
        held()
    }

    fn put_handle(&self, handle: Option<NodeHandle>) {
        *self.handle.lock() = handle;
    }

    /// Everything has arrived, every accepted slot has ended, nothing is still to go wrong, it has been quiet, and no run
    /// that nobody waits for is still at work: one that hangs ends with its process, once its grace is over.
    async fn settled(&self, mut all_in: watch::Receiver<bool>, ledgers: &[Ledger]) {
        let _ = all_in.wait_for(|all_in| *all_in).await;
        let mut ended = self.recorder.ended();
        while self.journal.unfinished() > 0 {
            let _ = ended.changed().await;
        }
        let over = self.scenario.faults.iter().map(Fault::over_at).max().unwrap_or_default();
        tokio::time::sleep_until((self.start + over).into()).await;
        tokio::time::sleep(self.scenario.settle).await;
        let idle = async {
            for ledger in ledgers {
                let mut changes = ledger.changes();
                while ledger.usage().workspace.values().any(|bytes| *bytes > Bytes::ZERO) {
                    if changes.changed().await.is_err() {
                        break;
                    }
                }
            }
        };
        let _ = tokio::time::timeout(self.patience(), idle).await;
    }

    fn tree(
        &self,
        id: DeviceId,
        device: &ScriptedDevice,
        open_slots: OpenSlots,
    ) -> Result<DeviceTree, RehearsalError> {
        let it = self.scenario;
        let theatre = Arc::new(Theatre::new(id, device.clone(), &it.faults, self.played.clone()));
        let limits = ModelLimits {
            grace: it.grace,
            stall: it.stall,
            memory: it.memory_back,
            ..ModelLimits::default()
        };
        let chain = ChainSettings { max_age: it.device.stale_after, ..ChainSettings::default() };
        let chain = ChainSettings { retry_after: it.device.sample_every, ..chain };
        let sampler = InlineSampler::new(ProbeChain::new((self.eyes)(device), chain));
        Ok(DeviceTree::new(TreeParts {
            settings: settings(it, open_slots)?,
            models: company(&it.parts, limits, &theatre, self.hosting),
            pipeline: Arc::new(ScriptedPipeline::new(it.package).map_err(held)?),
            journal: self.journal.clone(),
            sampler: Arc::new(sampler),
            ledger: ledger(it, id, device),
            bus: self.bus.clone(),
        }))
    }

    /// Everybody who wants slots; says so when the last has had an answer.
    fn invite(&self, guests: &mut JoinSet<()>, arrived: watch::Sender<bool>) {
        let mut first = 1;
        let arrived = Arc::new(arrived);
        for arrivals in &self.scenario.arrivals {
            let guest = Client {
                arrivals: *arrivals,
                first,
                start: self.start,
                handle: Arc::clone(&self.handle),
                recorder: Arc::clone(&self.recorder),
                waits: Duration::from_millis(250),
            };
            first += arrivals.count;
            let arrived = Arc::clone(&arrived);
            guests.spawn(async move {
                guest.go().await;
                // The last one out.
                if let Some(arrived) = Arc::into_inner(arrived) {
                    arrived.send_replace(true);
                }
            });
        }
    }
}

/// The account of an empty device, on which the process takes what the scenario says before any model.
pub(super) fn ledger(it: &Scenario, id: DeviceId, device: &ScriptedDevice) -> Ledger {
    let settings = &it.device;
    device.apply(ScriptedChange::Overhead(settings.overhead));
    let slack: Bytes = it.parts.values().map(|part| part.slack).sum();
    if slack > Bytes::ZERO {
        device.apply(ScriptedChange::PoolSlack(slack));
    }
    Ledger::new(id, settings.hard_limit, settings.overhead)
}

pub(super) fn settings(it: &Scenario, open_slots: OpenSlots) -> Result<TreeSettings, RehearsalError> {
    let device = &it.device;
    let (soft, hard) = (device.soft_limit, device.hard_limit);
    let thresholds = Thresholds::new(soft, hard, device.hysteresis, device.dwell, device.stale_after);
    let monitor = MonitorSettings {
        thresholds: thresholds.map_err(held)?,
        leak: LeakSettings { every: it.leak_every.get(), ..LeakSettings::default() },
        snapshots: it.queue,
    };
    let watch = WatchSettings {
        period: device.sample_every,
        snapshot_every: Duration::from_secs(60),
        monitor,
        overhead: device.overhead,
        remedies: RemedySettings::default(),
        blind_rebuild: Duration::from_secs(120),
        blind_at_most: Duration::from_secs(600),
    };
    let (first_delay, longest_delay) = (it.cordon, it.cordon);
    let cordons = RestartPolicy { first_delay, longest_delay, ..LadderPolicy::default().device };
    Ok(TreeSettings {
        plan: PlanPolicy { stages: it.stages, buffer: it.buffer },
        slots: SlotLimits { queue: it.queue, lookahead: it.lookahead },
        watch,
        ladder: LadderPolicy { model: it.restart, device: cordons },
        actors: RestartPolicy { first_delay: Duration::from_millis(100), ..it.restart },
        floor_tolerance: Bytes::mb(100),
        drain: it.drain,
        open_slots,
        stuck_after: Duration::from_secs(720),
        hold: Duration::ZERO,
        seed: it.seed,
    })
}
