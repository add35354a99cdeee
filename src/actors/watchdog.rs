//! VramWatchdog: looks at one device's memory every period and has done what the assessment says is due.
//!
//! Owns the monitor, the growth tracker and the rhythm. What follows from a look is decided by [`crate::vram`]; this
//! carries it out: pressure to admission (by message; the gauge is the channel), trims, the victim's restart, the leak's
//! planned restart, snapshots. Looking itself may block, so it happens wherever the [`Sampler`] does it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::watch;

use super::admission::Pressing;
use super::deadline_timer::DeadlineTimer;
use super::limits::LiveLimits;
use super::memory::{MemoryRecord, MemoryView};
use super::messages::{DeviceMsg, ModelMsg, OrchestratorMsg, SupervisorMsg, WatchdogMsg};
use super::registry::{ModelState, Registry};
use super::sampler::Sampler;
use crate::clock;
use crate::events::{Bus, EventKind, Fault};
use crate::exit::Exit;
use crate::types::{Bytes, ModelId, PerModel};
use crate::vram::policy::{
    Assessment, LeakVerdict, Level, MemoryRemedy, PressureCause, Relief, RemedySettings, Scene, Suspect,
};
use crate::vram::{
    Ledger, Mark, Monitor, MonitorSettings, Occasion, Occupant, Pool, Pressure, PressureGauge, Reading,
    Sample,
};

/// How a device is watched.
#[derive(Clone, Copy, Debug)]
pub struct WatchSettings {
    /// Between two looks.
    pub period: Duration,
    /// Between two snapshots of the clock's own.
    pub snapshot_every: Duration,
    /// What a look leads to.
    pub monitor: MonitorSettings,
    /// What the process takes before any model: the floor of floors until a look says more.
    pub overhead: Bytes,
    /// How long what may take where use stands above a limit.
    pub remedies: RemedySettings,
    /// Without a usable sample for this long: the probes are made anew.
    pub blind_rebuild: Duration,
    /// And for this long: the device is given up.
    pub blind_at_most: Duration,
}

/// What it is started with.
#[derive(Clone)]
pub(super) struct WatchdogArgs {
    pub(super) settings: WatchSettings,
    pub(super) models: PerModel<Bytes>,
    pub(super) sampler: Arc<dyn Sampler>,
    pub(super) ledger: Ledger,
    pub(super) gauge: PressureGauge,
    pub(super) memory: Arc<watch::Sender<Option<MemoryView>>>,
    /// Where pressure begins and ends now.
    pub(super) limits: LiveLimits,
    /// What an earlier watchdog of the tree knew.
    pub(super) record: Arc<Mutex<MemoryRecord>>,
    /// What an allocator may keep.
    pub(super) tolerance: Bytes,
    pub(super) registry: Registry,
    pub(super) bus: Bus,
}

/// The actor's state.
pub(super) struct WatchdogState {
    args: WatchdogArgs,
    monitor: Monitor,
    looked_once: bool,
    settling: bool,
    told: Option<Pressure>,
    cause: Option<PressureCause>,
    relief: Relief,
    blind: bool,
    rebuilt: bool,
    next_snapshot: std::time::Instant,
    timer: DeadlineTimer<WatchdogMsg>,
}

/// The actor.
pub(super) struct Watchdog;

impl Actor for Watchdog {
    type Msg = WatchdogMsg;
    type State = WatchdogState;
    type Arguments = WatchdogArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<WatchdogMsg>,
        args: WatchdogArgs,
    ) -> Result<WatchdogState, ActorProcessingErr> {
        let monitor = Monitor::new(&args.settings.monitor, args.ledger.clone(), args.gauge.clone());
        let next_snapshot = clock::now() + args.settings.snapshot_every;
        let mut state = WatchdogState {
            args,
            monitor,
            looked_once: false,
            settling: false,
            told: None,
            cause: None,
            relief: Relief::default(),
            blind: false,
            rebuilt: false,
            next_snapshot,
            timer: DeadlineTimer::new(|| WatchdogMsg::DeadlineDue),
        };
        state.look(&myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<WatchdogMsg>,
        message: WatchdogMsg,
        state: &mut WatchdogState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WatchdogMsg::DeadlineDue => state.deadline_due(&myself),
            WatchdogMsg::Looked(reading, mark) => state.looked(&myself, &reading, mark),
            WatchdogMsg::Occupied(occupants) => state.occupied(occupants),
            WatchdogMsg::Snapshot(occasion) => state.snapshot(occasion),
            WatchdogMsg::WorkBegan => state.work_began(),
            WatchdogMsg::SlotSettled => state.settling = true,
            WatchdogMsg::ModelDropped(model) => state.model_dropped(model),
            WatchdogMsg::Snapshots(reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(state.monitor.snapshots().iter().copied().collect());
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<WatchdogMsg>,
        event: SupervisionEvent,
        _: &mut WatchdogState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            // It has no children.
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ActorFailed(..)
            | SupervisionEvent::ProcessGroupChanged(_) => Ok(()),
        }
    }
}

impl WatchdogState {
    fn deadline_due(&mut self, myself: &ActorRef<WatchdogMsg>) {
        let now = clock::now();
        if !self.timer.rang(myself, now) {
            return;
        }
        if now >= self.next_snapshot {
            self.next_snapshot = now + self.args.settings.snapshot_every;
            self.snapshot(Occasion::Periodic);
        }
        self.look(myself);
    }

    fn look(&mut self, myself: &ActorRef<WatchdogMsg>) {
        let (mark, mailbox) = (self.args.ledger.mark(), myself.clone());
        let began = self.args.sampler.look(Box::new(move |reading| {
            let _ = mailbox.cast(WatchdogMsg::Looked(Box::new(reading), mark));
        }));
        if !began {
            // The driver has not answered the last look: that is a look without a sample.
            self.assess(myself, &Reading { sample: None, switch: None }, mark);
        }
        let next = clock::now().checked_add(self.args.settings.period);
        self.timer.set(myself, next);
    }

    fn looked(&mut self, myself: &ActorRef<WatchdogMsg>, reading: &Reading, mark: Mark) {
        if let Some(switch) = &reading.switch {
            let because = switch.because.as_ref().map(ToString::to_string);
            self.args.bus.tell(EventKind::ProbeSwitched { from: switch.from, to: switch.to, because });
        }
        self.assess(myself, reading, mark);
    }

    fn assess(&mut self, myself: &ActorRef<WatchdogMsg>, reading: &Reading, mark: Mark) {
        let now = clock::now();
        self.monitor.change_thresholds(self.args.limits.get().thresholds);
        let assessment = self.monitor.assess(reading.sample.as_ref(), mark, now);
        self.note_growth();
        self.tell(&assessment);
        if assessment.actions.trim {
            self.trim();
        }
        self.remedy(myself, &assessment);
        if std::mem::take(&mut self.settling) {
            let verdict = self.monitor.slot_settled();
            self.monitor.slot_ended();
            verdict.into_iter().for_each(|verdict| self.leak_checked(verdict));
        }
        if !std::mem::replace(&mut self.looked_once, true) {
            self.snapshot(Occasion::Startup);
        }
    }

    /// What the last usable look says about each model and about restarts.
    fn note_growth(&mut self) {
        let Some(sample) = self.monitor.fresh(clock::now()).copied() else { return };
        let usage = self.args.ledger.usage();
        let own = MemoryView::own_use(&sample);
        let busy = self.args.registry.states().map(|_, state| state == ModelState::Busy);
        let mut record = self.args.record.lock();
        if usage.leases == 0 && !self.looked_once {
            record.base = record.base.max(own);
        }
        record.observe(own, &usage, &busy);
        let view = record.view(own, sample.taken_at);
        drop(record);
        self.args.memory.send_replace(Some(view));
        self.args.bus.tell(EventKind::Memory { sample });
    }

    fn tell(&mut self, assessment: &Assessment) {
        if let Some(crossing) = assessment.crossing {
            self.args.bus.tell(EventKind::MemoryPressure(crossing));
        }
        let was_blind = std::mem::replace(&mut self.blind, assessment.blind.is_some());
        if let Some(waited) = assessment.blind.filter(|_| !was_blind) {
            self.args.bus.tell(EventKind::Blind { waited });
        }
        self.mend_blindness(assessment.blind);
        let pressure = self.args.gauge.last();
        if self.told.replace(pressure) != Some(pressure) {
            self.args.registry.tell_orchestrator(OrchestratorMsg::PressureChanged(pressure));
        }
    }

    /// Blind for long: the probes are made anew, and where that does not help the device is given up.
    fn mend_blindness(&mut self, blind: Option<Duration>) {
        let Some(waited) = blind else {
            self.rebuilt = false;
            return;
        };
        let settings = &self.args.settings;
        if waited >= settings.blind_at_most {
            let (exit, cause) = (Exit::DeviceLost, format!("memory could not be seen for {waited:.0?}"));
            self.args.registry.tell_device_supervisor(DeviceMsg::Escalate { exit, cause });
        } else if waited >= settings.blind_rebuild && !std::mem::replace(&mut self.rebuilt, true) {
            let rebuilt = self.args.sampler.rebuild();
            self.args.bus.tell(EventKind::ProbesRebuilt { waited, rebuilt });
        }
    }

    fn trim(&self) {
        self.args.registry.tell_models(|| ModelMsg::Trim);
    }

    /// Does what is due against pressure of our own making, and says whose it is where that changes.
    fn remedy(&mut self, myself: &ActorRef<WatchdogMsg>, assessment: &Assessment) {
        let now = clock::now();
        let Some(sample) = self.monitor.fresh(now).copied() else { return };
        let mut record = self.args.record.lock();
        if assessment.level == Level::Hard && assessment.actions.trim {
            // Who has grown in the stretch that still lasts counts as well.
            record.growth.settle();
        }
        let scene = self.scene(assessment, &sample, &record);
        let remedy = record.remedies.assess(&scene, now);
        drop(record);
        self.attribute(myself, &scene, now);
        let Some(remedy) = remedy else { return };
        let used = |model| {
            let Suspect { resident, unexplained, .. } = scene.suspects[model];
            resident.saturating_add(unexplained)
        };
        self.args.bus.tell(EventKind::MemoryRemedy {
            remedy,
            used: remedy.model().map(used),
            budget: remedy.model().map(|model| self.args.models[model]),
        });
        match remedy {
            MemoryRemedy::PlanRestart(model) => {
                self.args.registry.tell_orchestrator(OrchestratorMsg::PlanRestart(model));
            }
            MemoryRemedy::Restart(model) => {
                self.args.registry.tell_supervisor(SupervisorMsg::Restart(model, Fault::Victim));
            }
            MemoryRemedy::GiveUpDevice => {
                let kept_from = match scene.level {
                    Level::Normal => "gave a waiting run its memory".to_owned(),
                    level => format!("brought use below the {} limit", level.name()),
                };
                let cause = format!(
                    "{} of memory are this process's beyond what its leases stand for, and no restart of a model \
                     {kept_from}",
                    scene.unexplained()
                );
                let exit = Exit::DeviceLost;
                self.args.registry.tell_device_supervisor(DeviceMsg::Escalate { exit, cause });
            }
        }
    }

    /// Says whose memory it is where that changes, and to whoever asks for a slot when it may be over.
    fn attribute(&mut self, myself: &ActorRef<WatchdogMsg>, scene: &Scene, now: std::time::Instant) {
        let cause = (!scene.is_calm()).then(|| scene.cause());
        let by_others = cause == Some(PressureCause::Others);
        let relief = if by_others {
            self.relief.observe(scene.others(), now);
            let dwell = self.monitor.thresholds().dwell();
            self.relief.expected(scene.used.saturating_sub(scene.floor), dwell, now)
        } else {
            self.relief.over();
            None
        };
        self.args.registry.set_pressing(cause.map(|cause| Pressing { cause, relief }));
        if std::mem::replace(&mut self.cause, cause) == cause {
            return;
        }
        if let Some(cause) = cause {
            self.args.bus.tell(EventKind::PressureCaused { cause, unexplained: scene.unexplained() });
        }
        if by_others {
            let mailbox = myself.clone();
            self.args.sampler.occupants(Box::new(move |occupants| {
                let _ = mailbox.cast(WatchdogMsg::Occupied(occupants));
            }));
        }
    }

    /// By now it may be over; where the probe cannot tell, nothing is said.
    fn occupied(&self, occupants: Vec<Occupant>) {
        if self.cause == Some(PressureCause::Others) && !occupants.is_empty() {
            self.args.bus.tell(EventKind::MemoryOccupied { occupants });
        }
    }

    fn scene(&self, assessment: &Assessment, sample: &Sample, record: &MemoryRecord) -> Scene {
        let (usage, growth) = (self.args.ledger.usage(), record.growth.of_models());
        let states = self.args.registry.states();
        let suspects = PerModel::from_fn(|model| {
            let (state, resident) = (states[model], usage.resident[model]);
            Suspect {
                resident,
                beyond_budget: resident.saturating_add(growth[model]).saturating_sub(self.args.models[model]),
                unexplained: growth[model],
                is_up: matches!(state, ModelState::Ready | ModelState::Busy | ModelState::Trimming)
                    && resident > Bytes::ZERO,
                is_coming: matches!(
                    state,
                    ModelState::Loading | ModelState::Warming | ModelState::Restarting
                ) && self.args.models[model] > Bytes::ZERO,
            }
        });
        let own = sample.used_by_others().map(|_| MemoryView::own_use(sample));
        let slack = sample.pool.map(Pool::slack).unwrap_or_default();
        Scene {
            level: assessment.level,
            used: sample.used.saturating_sub(slack),
            own,
            expected: record.base.saturating_add(usage.reserved),
            floor: self.monitor.thresholds().floor_of(assessment.level),
            tolerance: self.args.tolerance,
            suspects,
            missing: self.missing(),
            is_idle: !self.args.registry.is_at_work(),
        }
    }

    /// What a run lacks that was refused its memory, even with every other run over.
    fn missing(&self) -> Bytes {
        let wanted = self.args.registry.wanted();
        if wanted == Bytes::ZERO { Bytes::ZERO } else { self.args.ledger.shortfall(wanted) }
    }

    fn leak_checked(&mut self, verdict: LeakVerdict) {
        let growth = self.args.record.lock().growth.of_models();
        self.args.bus.tell(EventKind::LeakChecked { verdict, grown: growth });
        // The fit says that the process leaks; whose it is, what grew while who was at work says.
        let most = ModelId::ALL.into_iter().max_by_key(|model| growth[*model]);
        if verdict.leaking
            && let Some(model) = most
        {
            self.args.registry.tell_orchestrator(OrchestratorMsg::PlanRestart(model));
        }
    }

    fn work_began(&mut self) {
        self.settling = false;
        self.monitor.slot_began();
    }

    fn model_dropped(&mut self, model: ModelId) {
        let mut record = self.args.record.lock();
        record.dropped(model, clock::now());
        drop(record);
        self.monitor.restarted();
    }

    fn snapshot(&mut self, occasion: Occasion) {
        let snapshot = self.monitor.snapshot(occasion, clock::now(), clock::unix_time());
        self.args.bus.tell(EventKind::MemorySnapshot(Box::new(snapshot)));
    }
}
