//! The played host: the same contract as a tokio task, so that a paused clock can run hours in milliseconds.
//!
//! A [`Script`] says as plain data how a load, a canary or a job goes (an [`Act`]); the task sleeps, steps and ends as
//! it says. [`Scripted`] plays the same script as a real [`Model`], for [`ThreadHost`](super::ThreadHost) in real time.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{
    Assignment, Host, HostCommand, HostEvent, Launch, LifeGuard, NoteSink, Pulse, RunFailure, Setup, Stamp,
    cover, panic_text, settle,
};
use crate::contract::{CancelFlag, ErrorClass, Model, ModelError, Progress, Run};
use crate::types::Bytes;

/// One wait and the step after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    /// How long it takes.
    pub wait: Duration,
    /// The progress then made; `None` makes no step, so that neither health nor cancellation is looked at.
    pub step: Option<Progress>,
}

/// How an act ends.
#[derive(Debug)]
pub(crate) enum Ending<T> {
    /// With this.
    Bring(T),
    /// With an error.
    Fail(ModelError),
    /// With a panic of this text.
    Panic(String),
    /// Never, whatever anybody says.
    Hang,
}

/// How something goes: beats, what is held meanwhile (memory), and the end.
pub(crate) struct Act<T> {
    /// In order.
    pub beats: Vec<Beat>,
    /// Dropped when the act is over.
    pub holds: Option<Box<dyn Any + Send>>,
    /// The end.
    pub ending: Ending<T>,
}

impl<T> Act<T> {
    /// At once, holding nothing.
    pub(crate) fn at_once(ending: Ending<T>) -> Self {
        Self { beats: Vec::new(), holds: None, ending }
    }
}

/// A model's part in a rehearsal.
pub(crate) trait Script: Send + 'static {
    /// As [`Model::Job`].
    type Job: Send + 'static;
    /// As [`Model::Output`].
    type Output: Send + 'static;
    /// Loading; what it allocates for good it keeps itself.
    fn load(&mut self) -> Act<()>;
    /// As [`Model::resident`], after the load.
    fn resident(&self) -> Bytes;
    /// As [`Model::workspace`].
    fn workspace(&self, job: &Self::Job) -> Bytes;
    /// As [`Model::run`].
    fn run(&mut self, job: Self::Job) -> Act<Self::Output>;
    /// As [`Model::canary`].
    fn canary(&mut self) -> Act<()>;
    /// As [`Model::trim`].
    fn trim(&mut self) -> Bytes;
}

/// Makes the script of a fresh host: the counterpart of a loader.
pub(super) type Casting<S> = Arc<dyn Fn() -> S + Send + Sync>;

/// Hosts scripts on tokio tasks.
pub(crate) struct ScriptHost<S> {
    casting: Casting<S>,
}

impl<S: Script> ScriptHost<S> {
    /// One whose every host plays a fresh script of `casting`.
    pub(crate) fn new(casting: Casting<S>) -> Self {
        Self { casting }
    }
}

struct Handle<J> {
    orders: mpsc::UnboundedSender<HostCommand<J>>,
    cancel: CancelFlag,
}

impl<J: Send> Host<J> for Handle<J> {
    fn order(&self, order: HostCommand<J>) -> bool {
        self.orders.send(order).is_ok()
    }
}

impl<J> Drop for Handle<J> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl<S: Script> Launch<S::Job, S::Output> for ScriptHost<S> {
    fn launch(&self, setup: Setup<S::Output>) -> Result<Box<dyn Host<S::Job>>, ModelError> {
        let (orders, inbox) = mpsc::unbounded_channel();
        let handle = Handle { orders, cancel: setup.cancel.clone() };
        tokio::spawn(live((self.casting)(), setup, inbox));
        Ok(Box::new(handle))
    }
}

/// How a played act turned out.
enum Outcome<T> {
    Done(Result<T, ModelError>),
    Panicked(String),
}

async fn live<S: Script>(
    script: S,
    setup: Setup<S::Output>,
    mut inbox: mpsc::UnboundedReceiver<HostCommand<S::Job>>,
) {
    let Setup { mut lease, cancel, pulse, notes, life, .. } = setup;
    let run = Run::new(cancel, Arc::new(Stamp { pulse: Arc::clone(&pulse), next: None }));
    let mut script = script;
    let last = 'life: {
        match play(script.load(), &run).await {
            Outcome::Done(Ok(())) => {}
            Outcome::Done(Err(error)) => break 'life Some(HostEvent::Unfit(error)),
            Outcome::Panicked(message) => break 'life Some(HostEvent::Panicked { message }),
        }
        if let Err(error) = settle(lease.as_mut(), script.resident()) {
            break 'life Some(HostEvent::Unfit(error));
        }
        notes(HostEvent::Loaded { resident: script.resident() });
        if let Some(note) = canary(&mut script, &run, &notes).await {
            break 'life Some(note);
        }
        while let Some(order) = inbox.recv().await {
            pulse.stamp(crate::clock::now());
            let ended = match order {
                HostCommand::Run(assignment) => work(&mut script, assignment, &pulse, &notes).await,
                HostCommand::Canary => canary(&mut script, &run, &notes).await,
                HostCommand::Trim => {
                    notes(HostEvent::Trimmed { freed: script.trim() });
                    None
                }
            };
            if ended.is_some() {
                break 'life ended;
            }
        }
        None
    };
    bury(script, lease, last, &notes, life);
}

/// The model goes, then its lease, then it is told: as on a thread.
fn bury<S: Script>(
    script: S,
    lease: Option<crate::vram::Lease>,
    last: Option<HostEvent<S::Output>>,
    notes: &NoteSink<S::Output>,
    life: LifeGuard,
) {
    drop(script);
    drop(lease);
    if let Some(note) = last {
        notes(note);
    }
    drop(life);
}

async fn canary<S: Script>(
    script: &mut S,
    run: &Run,
    notes: &NoteSink<S::Output>,
) -> Option<HostEvent<S::Output>> {
    match play(script.canary(), run).await {
        Outcome::Done(Ok(())) => {
            notes(HostEvent::Fit);
            None
        }
        Outcome::Done(Err(error)) => Some(HostEvent::Unfit(error)),
        Outcome::Panicked(message) => Some(HostEvent::Panicked { message }),
    }
}

async fn work<S: Script>(
    script: &mut S,
    assignment: Assignment<S::Job>,
    pulse: &Arc<Pulse>,
    notes: &NoteSink<S::Output>,
) -> Option<HostEvent<S::Output>> {
    let Assignment { run: id, job, mut lease, cancel, measured, observer, span } = assignment;
    let run = Run::new(cancel, Arc::new(Stamp { pulse: Arc::clone(pulse), next: observer }));
    let need = if measured { Bytes::ZERO } else { script.workspace(&job) };
    let result = match cover(lease.as_mut(), need) {
        Ok(()) => match play(script.run(job), &run).await {
            Outcome::Done(result) => result.map_err(RunFailure::Model),
            Outcome::Panicked(message) => return Some(HostEvent::Panicked { message }),
        },
        Err(refused) => Err(refused),
    };
    drop(lease);
    drop(span);
    let poisoned = matches!(&result, Err(RunFailure::Model(error)) if error.class() == ErrorClass::Poisoned);
    notes(HostEvent::Ended { run: id, result, peak: None });
    poisoned.then(|| HostEvent::Unfit(ModelError::poisoned("the device context is unusable")))
}

async fn play<T>(act: Act<T>, run: &Run) -> Outcome<T> {
    let Act { beats, holds, ending } = act;
    for Beat { wait, step } in beats {
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if let Some(Err(cancelled)) = step.map(|progress| run.step(progress)) {
            return Outcome::Done(Err(cancelled.into()));
        }
    }
    if matches!(ending, Ending::Hang) {
        std::future::pending::<()>().await;
    }
    drop(holds);
    // A real unwind, so that what a panic does to a host is what happens here.
    match catch_unwind(AssertUnwindSafe(|| finish(ending))) {
        Ok(result) => Outcome::Done(result),
        Err(payload) => Outcome::Panicked(panic_text(&*payload)),
    }
}

fn finish<T>(ending: Ending<T>) -> Result<T, ModelError> {
    match ending {
        Ending::Bring(output) => Ok(output),
        Ending::Fail(error) => Err(error),
        // Past the panic hook: a rehearsed panic is no news for the console.
        Ending::Panic(text) => resume_unwind(Box::new(text)),
        Ending::Hang => Err(ModelError::own("a hang that ended")),
    }
}

/// A script as a [`Model`]: plays by sleeping on the thread it is called on.
pub(crate) struct Scripted<S>(S);

impl<S: Script> Scripted<S> {
    /// Loads `script` as a model's loader would.
    pub(crate) fn load(mut script: S, run: &Run) -> Result<Self, ModelError> {
        play_here(script.load(), run)?;
        Ok(Self(script))
    }
}

impl<S: Script> Model for Scripted<S> {
    type Job = S::Job;
    type Output = S::Output;

    fn resident(&self) -> Bytes {
        self.0.resident()
    }

    fn workspace(&self, job: &S::Job) -> Bytes {
        self.0.workspace(job)
    }

    fn run(&mut self, job: S::Job, run: &Run) -> Result<S::Output, ModelError> {
        play_here(self.0.run(job), run)
    }

    fn canary(&mut self, run: &Run) -> Result<(), ModelError> {
        play_here(self.0.canary(), run)
    }

    fn trim(&mut self) -> Bytes {
        self.0.trim()
    }
}

fn play_here<T>(act: Act<T>, run: &Run) -> Result<T, ModelError> {
    let Act { beats, holds, ending } = act;
    for Beat { wait, step } in beats {
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        if let Some(progress) = step {
            run.step(progress)?;
        }
    }
    if matches!(ending, Ending::Hang) {
        loop {
            // Parking may end without a reason.
            std::thread::park();
        }
    }
    drop(holds);
    finish(ending)
}
