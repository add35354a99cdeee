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
use super::report::{Recorder, Report};
use super::scenario::{Fault, Scenario};
use super::scripted_models::{Hosting, Memory, Theatre, company};
use super::scripted_pipeline::ScriptedPipeline;
use crate::actors::handle::{Cards, NodeHandle};
use crate::actors::limits::ModelLimits;
use crate::actors::limits::SlotLimits;
use crate::actors::placement::DeviceIndex;
use crate::actors::plan::PlanPolicy;
use crate::actors::registry::ModelState;
use crate::actors::restart::{LadderPolicy, RestartPolicy};
use crate::actors::tree::OpenSlots;
use crate::actors::tree::{DeviceTree, TreeParts, TreeSettings};
use crate::actors::watchdog::{InlineSampler, WatchSettings};
use crate::clock;
use crate::events::{Bus, Subscriber};
use crate::exit::Exit;
use crate::journal::MemoryJournal;
use crate::telemetry::EventLog;
use crate::types::{Bytes, DeviceId};
use crate::vram::policy::{LeakSettings, Thresholds};
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

/// Why a rehearsal could not be held: nothing to do with the scenario.
#[derive(Debug, thiserror::Error)]
#[error("the rehearsal could not be held: {0}")]
pub struct RehearsalError(String);

fn held(error: impl std::fmt::Display) -> RehearsalError {
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
    let report = runtime.block_on(play(scenario, pace, more, eyes));
    // Played threads that hang are part of some scenarios: they end with the process, not before.
    runtime.shutdown_background();
    report
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
    let first: [Arc<dyn Subscriber>; 2] = [Arc::new(EventLog), recorder.clone()];
    let bus = Bus::new(first.into_iter().chain(more).collect());
    let run = Rehearsal {
        scenario,
        eyes,
        start,
        hosting: if pace == Pace::Accelerated { Hosting::Tasks } else { Hosting::Threads },
        journal,
        recorder,
        bus,
        played: Memory::default(),
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
    bus: Bus,
    played: Memory,
    /// The running process, if one is.
    handle: Arc<Mutex<Option<NodeHandle>>>,
}

impl Rehearsal<'_> {
    async fn go(self) -> Result<Report, RehearsalError> {
        let (arrived, all_in) = watch::channel(false);
        let mut guests = JoinSet::new();
        self.invite(&mut guests, arrived);
        let mut processes = 0;
        let broken_off = loop {
            let last = processes == self.scenario.processes;
            let open = if last { OpenSlots::Close } else { OpenSlots::Resume };
            let (ended, leaked, broken_off) = self.process(open, all_in.clone()).await?;
            self.recorder.exited(ended.code());
            processes += 1;
            if broken_off || leaked > 0 || last || !ended.wants_restart() {
                guests.abort_all();
                let mut report = self.recorder.report(
                    &self.scenario.about,
                    &self.journal.ended(),
                    self.journal.accepted(),
                    self.journal.unfinished() as u64,
                    leaked,
                );
                report.broken_off = broken_off;
                break report;
            }
        };
        let mut report = broken_off;
        report.compare(&self.scenario.expect);
        Ok(report)
    }

    /// One process from start to exit code; also the leases still out after it, and whether time ran out.
    async fn process(
        &self,
        open_slots: OpenSlots,
        all_in: watch::Receiver<bool>,
    ) -> Result<(Exit, u64, bool), RehearsalError> {
        // A new process begins with empty devices.
        let empty = |id| (id, ScriptedDevice::new(self.scenario.device.total));
        let devices: Vec<(DeviceId, ScriptedDevice)> = self.scenario.device.ids().map(empty).collect();
        let mut trees = Vec::new();
        for (id, device) in &devices {
            trees.push(self.tree(*id, device, open_slots)?);
        }
        let ledgers: Vec<Ledger> = trees.iter().map(|tree| tree.ledger.clone()).collect();
        let first = trees.remove(0);
        let standby = self.scenario.device.standby;
        let cards = if standby { Cards::one_at_a_time(first, trees) } else { Cards::new(first, trees) };
        let node = cards.start().await.map_err(held)?;
        self.put_handle(Some(node.handle()));
        let mut misfortunes = JoinSet::new();
        self.let_happen(&mut misfortunes, &node.handle(), &devices);
        let (handle, settled) = (node.handle(), self.settled(all_in));
        let mut ended = std::pin::pin!(node.ended());
        let mut broken_off = false;
        let limit = tokio::time::sleep_until((self.start + self.scenario.limit).into());
        let exit = tokio::select! {
            exit = &mut ended => exit,
            () = settled => {
                handle.shut_down(Exit::Success, self.scenario.drain);
                ended.await
            }
            () = limit => {
                broken_off = true;
                handle.shut_down(Exit::Failure, Duration::ZERO);
                ended.await
            }
        };
        self.put_handle(None);
        misfortunes.abort_all();
        let mut leaked = 0;
        for ledger in ledgers {
            leaked += self.leaked(&ledger, exit).await;
        }
        Ok((exit, leaked, broken_off))
    }

    /// Leases that are not returned though every host that can end has had the time to. The end of a process takes
    /// everything with it, so where a new one is wanted there is nothing to leak, and nothing on a device given up.
    async fn leaked(&self, ledger: &Ledger, exit: Exit) -> u64 {
        if exit.wants_restart() || self.recorder.is_lost(ledger.device()) {
            return 0;
        }
        let mut changes = ledger.changes();
        let patience =
            self.scenario.parts.values().map(|part| part.run.max(part.load)).max().unwrap_or_default();
        let returned = async {
            while ledger.usage().leases > 0 {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(patience + self.scenario.grace, returned).await;
        u64::from(ledger.usage().leases)
    }

    fn put_handle(&self, handle: Option<NodeHandle>) {
        *self.handle.lock() = handle;
    }

    /// Everything has arrived, every accepted slot has ended, nothing is still to go wrong, and it has been quiet.
    async fn settled(&self, mut all_in: watch::Receiver<bool>) {
        let _ = all_in.wait_for(|all_in| *all_in).await;
        let mut ended = self.recorder.ended();
        while self.journal.unfinished() > 0 {
            let _ = ended.changed().await;
        }
        let over = self.scenario.faults.iter().map(Fault::over_at).max().unwrap_or_default();
        tokio::time::sleep_until((self.start + over).into()).await;
        tokio::time::sleep(self.scenario.settle).await;
    }

    fn ledger(&self, id: DeviceId, device: &ScriptedDevice) -> Ledger {
        let settings = &self.scenario.device;
        device.apply(ScriptedChange::Overhead(settings.overhead));
        let slack: Bytes = self.scenario.parts.values().map(|part| part.slack).sum();
        if slack > Bytes::ZERO {
            device.apply(ScriptedChange::PoolSlack(slack));
        }
        Ledger::new(id, settings.hard_limit, settings.overhead)
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
            ledger: self.ledger(id, device),
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

    /// Whatever happens at a time of its own, on every device that it befalls.
    fn let_happen(
        &self,
        misfortunes: &mut JoinSet<()>,
        handle: &NodeHandle,
        devices: &[(DeviceId, ScriptedDevice)],
    ) {
        let (start, drain) = (self.start, self.scenario.drain);
        for (card, (id, device)) in DeviceIndex::all(devices.len()).zip(devices) {
            for fault in self.scenario.faults.iter().filter_map(|fault| fault.on(*id)) {
                let place = Place { handle: handle.clone(), card, device: device.clone() };
                let fault = fault.clone();
                misfortunes.spawn(async move { happen(fault, place, start, drain).await });
            }
        }
    }
}

/// Where a misfortune happens.
struct Place {
    handle: NodeHandle,
    card: DeviceIndex,
    device: ScriptedDevice,
}

async fn happen(fault: Fault, place: Place, start: Instant, drain: Duration) {
    let Place { handle, card, device } = place;
    // What lies in the past happened to an earlier process.
    let until = async |at: Duration| {
        let ahead = start + at > clock::now();
        tokio::time::sleep_until((start + at).into()).await;
        ahead
    };
    match fault {
        Fault::Others { at, lasts, bytes } => {
            until(at).await;
            if clock::now() < start + at + lasts {
                device.apply(ScriptedChange::Others(bytes));
                until(at + lasts).await;
                device.apply(ScriptedChange::Others(Bytes::ZERO));
            }
        }
        Fault::Probe { at, lasts, how } => {
            until(at).await;
            if clock::now() < start + at + lasts {
                device.apply(ScriptedChange::Fault(Some(how)));
                until(at + lasts).await;
                device.apply(ScriptedChange::Fault(None));
            }
        }
        Fault::Drift { model, per_minute, at, until: end } => {
            until(at).await;
            while clock::now() < start + end {
                tokio::time::sleep(Duration::from_secs(1)).await;
                // What creeps up does so at work.
                if handle.cards()[card.get()].registry().states()[model] != ModelState::Busy {
                    continue;
                }
                device.apply(ScriptedChange::Leak(model, Bytes::new(per_minute.get() / 60)));
            }
        }
        Fault::Kill { actor, at } => {
            if until(at).await {
                handle.kill(card, actor);
            }
        }
        Fault::Shutdown { at } => {
            if until(at).await {
                handle.shut_down(Exit::Interrupted, drain);
            }
        }
        // These happen on the stage.
        Fault::On(..) | Fault::Run { .. } | Fault::Load { .. } | Fault::Leak { .. } | Fault::Keep { .. } => {}
    }
}

fn settings(it: &Scenario, open_slots: OpenSlots) -> Result<TreeSettings, RehearsalError> {
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
        seed: it.seed,
    })
}
