//! The five models on threads of their own, as the node has them: same hosts, same leases, same meter.
//!
//! Owns the ledger under the configured limit and what is needed to start a model again.

use std::num::NonZeroU32;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::actors::host::{
    Assignment, Host, HostCommand, HostEvent, Launch, Life, Loader, Pulse, RunFailure, RunId, Setup,
    ThreadHost,
};
use crate::clock;
use crate::contract::{
    Animate, Animation, CancelFlag, Model, ModelError, Paint, Painting, Score, Scores, Speak, Speech,
};
use crate::models::bundle::Bundle;
use crate::models::catalog::load;
use crate::models::device;
use crate::types::{Bytes, DeviceId, ModelId};
use crate::vram::{Claim, Ledger, Meter};

use super::report::Footprint;

/// A model on its thread.
pub(super) struct HostedModel<J, O> {
    model: ModelId,
    host: Box<dyn Host<J>>,
    notes: mpsc::Receiver<(Instant, HostEvent<O>)>,
    life: Life,
    ledger: Ledger,
    /// What it holds.
    pub resident: Bytes,
    /// From the start of its load to its passed canary.
    pub ready_after: Duration,
}

/// A finished run.
pub(super) struct Done<O> {
    /// What it brought.
    pub output: O,
    /// When it ended.
    pub at: Instant,
    /// The most it held beyond what is resident, where that could be measured.
    pub peak: Option<Bytes>,
}

/// The five of them.
pub(super) struct HostedModels {
    /// Paints.
    pub flux: HostedModel<Paint, Painting>,
    /// Speaks.
    pub kokoro: HostedModel<Speak, Speech>,
    /// Animates.
    pub liveportrait: HostedModel<Animate, Animation>,
    /// Judges.
    pub clip_b: HostedModel<Score, Scores>,
    /// Judges too.
    pub clip_l: HostedModel<Score, Scores>,
}

/// Where they live.
pub(super) struct Bench {
    /// What they are loaded from.
    pub bundle: Arc<Bundle>,
    /// On what.
    pub device: DeviceId,
    /// Under which limit.
    pub ledger: Ledger,
    batch: NonZeroU32,
    pool: Bytes,
    meter: Option<Meter>,
}

impl Bench {
    /// Nothing loaded.
    pub(super) fn new(
        bundle: Bundle,
        device: DeviceId,
        limit: Bytes,
        batch: NonZeroU32,
        pool: Bytes,
    ) -> Self {
        let (ledger, meter) = (Ledger::new(device, limit, Bytes::ZERO), Meter::of_device(device));
        Self { bundle: Arc::new(bundle), device, ledger, batch, pool, meter }
    }

    /// Starts all five, one after the other, and says what each holds.
    pub(super) fn load(&mut self, footprint: &mut Vec<Footprint>) -> Result<HostedModels, ModelError> {
        Ok(HostedModels {
            flux: {
                let options = load::flux_options(self.bundle.model(ModelId::Flux)?);
                let load = move |bundle: &_, device: &_, run: &_| load::flux(bundle, &options, device, run);
                self.hosted(ModelId::Flux, footprint, load)?
            },
            kokoro: self.kokoro(footprint)?,
            liveportrait: {
                let batch = self.batch;
                let load =
                    move |bundle: &_, device: &_, run: &_| load::liveportrait(bundle, batch, device, run);
                self.hosted(ModelId::LivePortrait, footprint, load)?
            },
            clip_b: self.clip(ModelId::ClipB, footprint)?,
            clip_l: self.clip(ModelId::ClipL, footprint)?,
        })
    }

    /// Starts Kokoro, also again.
    pub(super) fn kokoro(
        &self,
        footprint: &mut Vec<Footprint>,
    ) -> Result<HostedModel<Speak, Speech>, ModelError> {
        self.hosted(ModelId::Kokoro, footprint, load::kokoro)
    }

    fn clip(
        &self,
        model: ModelId,
        footprint: &mut Vec<Footprint>,
    ) -> Result<HostedModel<Score, Scores>, ModelError> {
        let load = move |bundle: &_, device: &_, run: &_| load::clip(bundle, model, device, run);
        self.hosted(model, footprint, load)
    }

    fn hosted<M: Model>(
        &self,
        model: ModelId,
        footprint: &mut Vec<Footprint>,
        load: impl Fn(&Bundle, &candle_core::Device, &crate::contract::Run) -> Result<M, ModelError>
        + Send
        + Sync
        + 'static,
    ) -> Result<HostedModel<M::Job, M::Output>, ModelError> {
        let entry = self.bundle.model(model)?;
        let (budget, precision) = (entry.budget, entry.precision);
        let (bundle, id, pool) = (Arc::clone(&self.bundle), self.device, self.pool);
        let loader: Loader<M> = Arc::new(move |run| {
            // On the model's own thread, with a stream of its own.
            let device = device::open(id, pool)?;
            load(&bundle, &device, run)
        });
        let host = ThreadHost::new(loader).metered(self.meter.clone());
        let hosted = HostedModel::start(&host, model, budget, &self.ledger)?;
        footprint.push(Footprint {
            model,
            precision: precision.name().to_owned(),
            resident: hosted.resident,
            budget,
            ready_seconds: hosted.ready_after.as_secs_f64(),
            peak: None,
            within_budget: hosted.resident <= budget,
        });
        Ok(hosted)
    }
}

impl<J: Send + 'static, O: Send + 'static> HostedModel<J, O> {
    fn start(
        launch: &impl Launch<J, O>,
        model: ModelId,
        budget: Bytes,
        ledger: &Ledger,
    ) -> Result<Self, ModelError> {
        let lease = ledger
            .reserve(Claim::resident(model, budget))
            .map_err(|refusal| ModelError::out_of_memory(format!("loading {model}")).because(refusal))?;
        let (sender, notes) = mpsc::channel();
        let (guard, life) = Life::begin();
        let began = clock::now();
        let host = launch.launch(Setup {
            model,
            lease: Some(lease),
            cancel: CancelFlag::new(),
            pulse: Arc::new(Pulse::new(began)),
            // Stamped where it happens: whoever waits may be waiting for another first.
            notes: Arc::new(move |note| drop(sender.send((clock::now(), note)))),
            life: guard,
        })?;
        let (ledger, resident, ready_after) = (ledger.clone(), Bytes::ZERO, Duration::ZERO);
        let mut hosted = Self { model, host, notes, life, ledger, resident, ready_after };
        loop {
            match hosted.note()? {
                (_, HostEvent::Loaded { resident }) => hosted.resident = resident,
                (at, HostEvent::Fit) => {
                    hosted.ready_after = at.saturating_duration_since(began);
                    return Ok(hosted);
                }
                (_, HostEvent::Unfit(error)) => return Err(error),
                (_, HostEvent::Panicked { message }) => return Err(hosted.panicked(&message)),
                (_, HostEvent::Ended { .. } | HostEvent::Trimmed { .. }) => {}
            }
        }
    }

    fn note(&self) -> Result<(Instant, HostEvent<O>), ModelError> {
        self.notes
            .recv()
            .map_err(|_| ModelError::own(format!("{}'s thread ended without a word", self.model)))
    }

    fn panicked(&self, message: &str) -> ModelError {
        ModelError::own(format!("{} panicked: {message}", self.model))
    }

    /// Hands over a job; its lease is grown to the model's own estimate on its thread.
    pub(super) fn begin(&self, job: J) -> Result<(), ModelError> {
        let lease = self
            .ledger
            .reserve(Claim::workspace(self.model, None, Bytes::ZERO))
            .map_err(|refusal| ModelError::out_of_memory("a workspace").because(refusal))?;
        let order = HostCommand::Run(Assignment {
            run: RunId(0),
            job,
            lease: Some(lease),
            cancel: CancelFlag::new(),
            measured: false,
            observer: None,
            span: tracing::Span::none(),
        });
        if self.host.order(order) { Ok(()) } else { Err(ModelError::own("the thread has ended")) }
    }

    /// Waits for the job that was begun.
    pub(super) fn wait(&self) -> Result<Done<O>, ModelError> {
        loop {
            match self.note()? {
                (at, HostEvent::Ended { result, peak, .. }) => {
                    return match result {
                        Ok(output) => Ok(Done { output, at, peak }),
                        Err(RunFailure::Model(error)) => Err(error),
                        Err(RunFailure::Refused(refusal)) => {
                            Err(ModelError::out_of_memory(format!("{}'s workspace", self.model))
                                .because(*refusal))
                        }
                    };
                }
                (_, HostEvent::Unfit(error)) => return Err(error),
                (_, HostEvent::Panicked { message }) => return Err(self.panicked(&message)),
                (_, HostEvent::Loaded { .. } | HostEvent::Fit | HostEvent::Trimmed { .. }) => {}
            }
        }
    }

    /// A job from beginning to end.
    pub(super) fn run(&self, job: J) -> Result<Done<O>, ModelError> {
        self.begin(job)?;
        self.wait()
    }

    /// Has it give back what it need not keep.
    pub(super) fn trim(&self) -> Result<Bytes, ModelError> {
        if !self.host.order(HostCommand::Trim) {
            return Err(ModelError::own("the thread has ended"));
        }
        loop {
            if let (_, HostEvent::Trimmed { freed }) = self.note()? {
                return Ok(freed);
            }
        }
    }

    /// Ends the thread and waits until its memory is given back.
    pub(super) fn leave(self) {
        let Self { host, life, notes, .. } = self;
        drop(host);
        // The channel closes when the thread drops its end of it, which is the last thing it does but one.
        while notes.recv().is_ok() {}
        while !life.is_over() {
            std::thread::yield_now();
        }
    }
}
