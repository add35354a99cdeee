//! VramWatchdog: looks at one device's memory every period and has done what the assessment says is due.
//!
//! Owns the monitor, the growth tracker and the rhythm. What follows from a look is decided by [`crate::vram`]; this
//! carries it out: pressure to admission (by message; the gauge is the channel), trims, the victim's restart, the leak's
//! planned restart, snapshots. Looking itself may block, so it happens wherever the [`Sampler`] does it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::watch;

use super::deadline_timer::DeadlineTimer;
use super::memory::{Growth, MemoryView};
use super::messages::{ModelMsg, OrchestratorMsg, SupervisorMsg, WatchdogMsg};
use super::registry::{ModelState, Registry};
use crate::clock;
use crate::events::{Bus, EventKind, Fault};
use crate::types::{Bytes, ModelId, PerModel};
use crate::vram::policy::{Assessment, LeakVerdict, ModelUse, choose_victim};
use crate::vram::{
    Ledger, Mark, Monitor, MonitorSettings, Occasion, Pressure, PressureGauge, ProbeChain, Reading,
};

/// Where looks are made. One that is still at it refuses the next.
pub trait Sampler: Send + Sync + 'static {
    /// Looks, and hands the reading to `done`; false where an earlier look is still under way.
    fn look(&self, done: Box<dyn FnOnce(Reading) + Send>) -> bool;
}

/// Looks where it is asked: for scripted probes, which do not block.
pub(crate) struct InlineSampler(Mutex<ProbeChain>);

impl InlineSampler {
    /// Through `chain`.
    pub(crate) fn new(chain: ProbeChain) -> Self {
        Self(Mutex::new(chain))
    }
}

impl Sampler for InlineSampler {
    fn look(&self, done: Box<dyn FnOnce(Reading) + Send>) -> bool {
        let Some(mut chain) = self.0.try_lock() else { return false };
        let reading = chain.sample(clock::now());
        drop(chain);
        done(reading);
        true
    }
}

type Done = Box<dyn FnOnce(Reading) + Send>;

/// Looks on an OS thread of its own: for drivers, which may block, or hang for good.
pub(crate) struct ThreadSampler {
    asked: mpsc::Sender<Done>,
    /// No queue: a look asked for while another is under way is refused, not owed.
    busy: Arc<AtomicBool>,
}

impl ThreadSampler {
    /// Through `chain`, on a thread that ends when this is dropped.
    pub(crate) fn start(mut chain: ProbeChain) -> std::io::Result<Self> {
        let (asked, inbox) = mpsc::channel::<Done>();
        let busy = Arc::new(AtomicBool::new(false));
        let done_with = Arc::clone(&busy);
        std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
            while let Ok(done) = inbox.recv() {
                let reading = chain.sample(clock::now());
                // Before it is told: whoever hears it may ask for the next at once.
                done_with.store(false, Ordering::Release);
                done(reading);
            }
        })?;
        Ok(Self { asked, busy })
    }
}

impl Sampler for ThreadSampler {
    fn look(&self, done: Done) -> bool {
        !self.busy.swap(true, Ordering::AcqRel) && self.asked.send(done).is_ok()
    }
}

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
    pub(super) registry: Registry,
    pub(super) bus: Bus,
}

/// The actor's state.
pub(super) struct WatchdogState {
    args: WatchdogArgs,
    monitor: Monitor,
    growth: Growth,
    base: Bytes,
    looked_once: bool,
    settling: bool,
    told: Option<Pressure>,
    blind: bool,
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
        // Of an earlier watchdog: what it knew about the time before the models is still so.
        let base = args.memory.borrow().map_or(args.settings.overhead, |view| view.base);
        let next_snapshot = clock::now() + args.settings.snapshot_every;
        let mut state = WatchdogState {
            args,
            monitor,
            growth: Growth::default(),
            base,
            looked_once: false,
            settling: false,
            told: None,
            blind: false,
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
            WatchdogMsg::Looked(reading, mark) => state.looked(&reading, mark),
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
            self.assess(&Reading { sample: None, switch: None }, mark);
        }
        let next = clock::now().checked_add(self.args.settings.period);
        self.timer.set(myself, next);
    }

    fn looked(&mut self, reading: &Reading, mark: Mark) {
        if let Some(switch) = &reading.switch {
            let because = switch.because.as_ref().map(ToString::to_string);
            self.args.bus.tell(EventKind::ProbeSwitched { from: switch.from, to: switch.to, because });
        }
        self.assess(reading, mark);
    }

    fn assess(&mut self, reading: &Reading, mark: Mark) {
        let now = clock::now();
        let assessment = self.monitor.assess(reading.sample.as_ref(), mark, now);
        self.note_growth();
        self.tell(&assessment);
        if assessment.actions.trim {
            self.trim();
        }
        if assessment.actions.restart_victim {
            self.restart_victim();
        }
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
        if usage.leases == 0 && !self.looked_once {
            self.base = self.base.max(own);
        }
        let busy = self.args.registry.states().map(|_, state| state == ModelState::Busy);
        self.growth.observe(own, &usage, &busy);
        let growth = self.growth.of_models();
        let view = MemoryView { own, taken_at: sample.taken_at, base: self.base, growth };
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
        let pressure = self.args.gauge.last();
        if self.told.replace(pressure) != Some(pressure) {
            self.args.registry.tell_orchestrator(OrchestratorMsg::PressureChanged(pressure));
        }
    }

    fn trim(&self) {
        self.args.registry.tell_models(|| ModelMsg::Trim);
    }

    fn uses(&self) -> Vec<ModelUse> {
        let (usage, growth) = (self.args.ledger.usage(), self.growth.of_models());
        ModelId::ALL
            .into_iter()
            .filter(|model| usage.resident[*model] > Bytes::ZERO)
            .map(|model| ModelUse {
                model,
                budget: self.args.models[model],
                used: usage.resident[model].saturating_add(growth[model]),
            })
            .collect()
    }

    fn restart_victim(&mut self) {
        self.growth.settle();
        let Some(victim) = choose_victim(&self.uses()) else {
            self.args.bus.tell(EventKind::VictimNone);
            return;
        };
        self.args.bus.tell(EventKind::VictimChosen(victim));
        self.args.registry.tell_supervisor(SupervisorMsg::Restart(victim.model, Fault::Victim));
    }

    fn leak_checked(&mut self, verdict: LeakVerdict) {
        let growth = self.growth.of_models();
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
        self.growth.forget(model);
        self.monitor.restarted();
    }

    fn snapshot(&mut self, occasion: Occasion) {
        let snapshot = self.monitor.snapshot(occasion, clock::now(), clock::unix_time());
        self.args.bus.tell(EventKind::MemorySnapshot(Box::new(snapshot)));
    }
}
