//! The real host: a model, its tensors and its leases on one OS thread from load to drop.
//!
//! Catches panics, so that dropping the model happens here and is told. Is never joined: a thread that hangs ends with
//! the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};

use super::{
    Assignment, Host, HostCommand, HostEvent, Launch, NoteSink, Pulse, RunFailure, Setup, Stamp, cover,
    panic_text, settle,
};
use crate::contract::{CancelFlag, ErrorClass, Model, ModelError, Progress, Run, Unit};
use crate::types::Bytes;
use crate::vram::{Meter, Metering};

/// Loads a model on the thread it is called on; steps while doing so.
pub(crate) type Loader<M> = Arc<dyn Fn(&Run) -> Result<M, ModelError> + Send + Sync>;

/// Hosts `M` on OS threads.
pub(crate) struct ThreadHost<M> {
    loader: Loader<M>,
    meter: Option<Meter>,
}

impl<M: Model> ThreadHost<M> {
    /// One that loads by `loader`.
    pub(crate) fn new(loader: Loader<M>) -> Self {
        Self { loader, meter: None }
    }

    /// The same, measuring what its loads and runs take.
    #[must_use]
    pub(crate) fn metered(self, meter: Option<Meter>) -> Self {
        Self { meter, ..self }
    }
}

struct Handle<J> {
    orders: mpsc::Sender<HostCommand<J>>,
    cancel: CancelFlag,
}

impl<J: Send> Host<J> for Handle<J> {
    fn order(&self, order: HostCommand<J>) -> bool {
        self.orders.send(order).is_ok()
    }
}

impl<J> Drop for Handle<J> {
    fn drop(&mut self) {
        // A load in progress has nobody to load for any more.
        self.cancel.cancel();
    }
}

impl<M: Model> Launch<M::Job, M::Output> for ThreadHost<M> {
    fn launch(&self, setup: Setup<M::Output>) -> Result<Box<dyn Host<M::Job>>, ModelError> {
        let (orders, inbox) = mpsc::channel();
        let handle = Handle { orders, cancel: setup.cancel.clone() };
        let (loader, meter) = (Arc::clone(&self.loader), self.meter.clone());
        // Linux keeps 15 bytes of a thread's name: the model's own is what a debugger should show.
        std::thread::Builder::new()
            .name(setup.model.name().to_owned())
            .spawn(move || live(&loader, meter.as_ref(), setup, &inbox))
            .map_err(|error| {
                ModelError::transient("the system gave no thread for the model").because(error)
            })?;
        Ok(Box::new(handle))
    }
}

/// One host's whole life. Locals drop in reverse order: the model inside, then the lease, then the guard.
fn live<M: Model>(
    loader: &Loader<M>,
    meter: Option<&Meter>,
    setup: Setup<M::Output>,
    inbox: &mpsc::Receiver<HostCommand<M::Job>>,
) {
    let Setup { lease, cancel, pulse, notes, life, .. } = setup;
    let last_note = {
        let mut lease = lease;
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let run = Run::new(cancel, Arc::new(Stamp { pulse: Arc::clone(&pulse), next: None }));
            let (mut model, resident) = match load(loader, meter, &run) {
                Ok(loaded) => loaded,
                Err(error) => return Some(HostEvent::Unfit(error)),
            };
            if let Err(error) = settle(lease.as_mut(), resident) {
                return Some(HostEvent::Unfit(error));
            }
            notes(HostEvent::Loaded { resident });
            if let Err(error) = model.canary(&run) {
                return Some(HostEvent::Unfit(error));
            }
            notes(HostEvent::Fit);
            while let Ok(order) = inbox.recv() {
                pulse.stamp(crate::clock::now());
                match order {
                    HostCommand::Run(assignment) => {
                        if let Some(panicked) = work(&mut model, assignment, meter, &pulse, &notes) {
                            return Some(panicked);
                        }
                    }
                    HostCommand::Canary => match model.canary(&run) {
                        Ok(()) => notes(HostEvent::Fit),
                        Err(error) => return Some(HostEvent::Unfit(error)),
                    },
                    HostCommand::Trim => notes(HostEvent::Trimmed { freed: model.trim() }),
                }
            }
            None
        }));
        worked.unwrap_or_else(|payload| Some(HostEvent::Panicked { message: panic_text(&*payload) }))
    };
    // Told only now that model and lease are dropped: whoever hears it may count on the memory.
    if let Some(note) = last_note {
        notes(note);
    }
    drop(life);
}

/// A loaded model and what it holds: by difference where the device counts tensors alone, else as the model says.
fn load<M: Model>(loader: &Loader<M>, meter: Option<&Meter>, run: &Run) -> Result<(M, Bytes), ModelError> {
    let metering = meter.map(|meter| meter.begin_load(|| run.step(Progress::new(Unit::Parts, 0, 1)).is_ok()));
    let model = loader(run)?;
    let taken = metering.and_then(Metering::end).filter(|taken| taken.exact);
    let resident = taken.map_or_else(|| model.resident(), |taken| taken.kept);
    Ok((model, resident))
}

/// One run; its own lease is dropped before anything is told of its end. `Some` ends the host.
fn work<M: Model>(
    model: &mut M,
    assignment: Assignment<M::Job>,
    meter: Option<&Meter>,
    pulse: &Arc<Pulse>,
    notes: &NoteSink<M::Output>,
) -> Option<HostEvent<M::Output>> {
    let Assignment { run: id, job, lease, cancel, measured, observer, span } = assignment;
    let run = Run::new(cancel, Arc::new(Stamp { pulse: Arc::clone(pulse), next: observer }));
    let (worked, peak) = {
        let mut lease = lease;
        let _entered = span.enter();
        let metering = meter.map(Meter::begin);
        let worked = catch_unwind(AssertUnwindSafe(|| {
            if !measured {
                cover(lease.as_mut(), model.workspace(&job))?;
            }
            model.run(job, &run).map_err(RunFailure::Model)
        }));
        // What a failed run held says nothing about what one takes that succeeds.
        let peak = metering.and_then(Metering::end).filter(|_| matches!(worked, Ok(Ok(_))));
        (worked, peak.map(|taken| taken.peak))
    };
    match worked {
        Ok(result) => {
            let poisoned =
                matches!(&result, Err(RunFailure::Model(error)) if error.class() == ErrorClass::Poisoned);
            notes(HostEvent::Ended { run: id, result, peak });
            // Nothing on this thread may touch the context again; the process is about to end.
            poisoned.then(|| HostEvent::Unfit(ModelError::poisoned("the device context is unusable")))
        }
        Err(payload) => Some(HostEvent::Panicked { message: panic_text(&*payload) }),
    }
}
