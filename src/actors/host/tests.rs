//! Both hosts keep one contract; the thread's panics, hangs and cancellations run in real milliseconds.

use std::sync::mpsc;

use super::*;
use crate::contract::{ErrorClass, Model, Run, Unit};
use crate::types::DeviceId;
use crate::vram::{Claim, Ledger};

/// Long enough for any machine that still makes progress; no test waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);

/// Does what its job says.
struct Obedient;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Say {
    Answer(u32),
    Fail,
    Panic,
    Poison,
    StepUntilCancelled,
    Hang,
}

impl Model for Obedient {
    type Job = Say;
    type Output = u32;

    fn resident(&self) -> Bytes {
        Bytes::mb(90)
    }

    fn workspace(&self, _: &Say) -> Bytes {
        Bytes::mb(20)
    }

    fn run(&mut self, job: Say, run: &Run) -> Result<u32, ModelError> {
        match job {
            Say::Answer(answer) => Ok(answer),
            Say::Fail => Err(ModelError::own("told to")),
            Say::Panic => panic!("told to"),
            Say::Poison => Err(ModelError::poisoned("told to")),
            Say::StepUntilCancelled => loop {
                run.step(Progress::new(Unit::Steps, 1, 2))?;
                std::thread::yield_now();
            },
            Say::Hang => loop {
                std::thread::park();
            },
        }
    }

    fn canary(&mut self, run: &Run) -> Result<(), ModelError> {
        run.step(Progress::new(Unit::Images, 1, 1))?;
        Ok(())
    }

    fn trim(&mut self) -> Bytes {
        Bytes::mb(5)
    }
}

struct Started {
    host: Box<dyn Host<Say>>,
    notes: mpsc::Receiver<HostEvent<u32>>,
    life: Life,
    ledger: Ledger,
    cancel: CancelFlag,
}

fn start(loader: Loader<Obedient>) -> Started {
    let ledger = Ledger::new(DeviceId::Scripted(0), Bytes::mb(200), Bytes::ZERO);
    let (sender, notes) = mpsc::channel();
    let (guard, life) = Life::begin();
    let cancel = CancelFlag::new();
    let setup = Setup {
        model: ModelId::Kokoro,
        lease: Some(ledger.reserve(Claim::resident(ModelId::Kokoro, Bytes::mb(100))).unwrap()),
        cancel: cancel.clone(),
        pulse: Arc::new(Pulse::new(crate::clock::now())),
        notes: Arc::new(move |note| drop(sender.send(note))),
        life: guard,
    };
    let host = ThreadHost::new(loader).launch(setup).unwrap();
    Started { host, notes, life, ledger, cancel }
}

fn ready() -> Started {
    let started = start(Arc::new(|_: &Run| Ok(Obedient)));
    assert!(matches!(started.next(), HostEvent::Loaded { resident } if resident == Bytes::mb(90)));
    assert!(matches!(started.next(), HostEvent::Fit));
    started
}

impl Started {
    fn next(&self) -> HostEvent<u32> {
        self.notes.recv_timeout(PATIENCE).unwrap()
    }

    fn run(&self, number: u64, job: Say, lease: u64) -> CancelFlag {
        let cancel = CancelFlag::new();
        let lease = self.ledger.reserve(Claim::workspace(ModelId::Kokoro, None, Bytes::mb(lease))).unwrap();
        let span = tracing::Span::none();
        let (run, observer) = (RunId(number), None);
        let (cancel_, measured, lease) = (cancel.clone(), false, Some(lease));
        let assignment = Assignment { run, job, lease, cancel: cancel_, measured, observer, span };
        assert!(self.host.order(HostCommand::Run(assignment)));
        cancel
    }

    fn reserved(&self) -> Bytes {
        self.ledger.usage().reserved
    }

    fn wait_until_over(&self) {
        let start = crate::clock::now();
        while !self.life.is_over() {
            assert!(crate::clock::now() - start < PATIENCE, "the host did not end");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_load_settles_its_lease_and_a_run_returns_its_own() {
    let host = ready();
    assert_eq!(host.reserved(), Bytes::mb(90), "settled to what was measured");
    host.run(1, Say::Answer(42), 20);
    assert!(matches!(host.next(), HostEvent::Ended { run: RunId(1), result: Ok(42), peak: None }));
    assert_eq!(host.reserved(), Bytes::mb(90), "returned before it was told");
    host.run(2, Say::Fail, 20);
    assert!(matches!(host.next(), HostEvent::Ended { result: Err(RunFailure::Model(error)), .. }
        if error.class() == ErrorClass::Own));
    assert!(host.host.order(HostCommand::Trim));
    assert!(matches!(host.next(), HostEvent::Trimmed { freed } if freed == Bytes::mb(5)));
}

#[test]
fn a_job_that_needs_more_than_its_lease_is_refused_before_it_runs() {
    let host = ready();
    let _rest = host.ledger.reserve(Claim::workspace(ModelId::Flux, None, Bytes::mb(105))).unwrap();
    host.run(1, Say::Panic, 5);
    let HostEvent::Ended { result: Err(RunFailure::Refused(refusal)), .. } = host.next() else {
        panic!("not refused")
    };
    assert_eq!((refusal.needed, refusal.limit), (Bytes::mb(15), Bytes::mb(200)));
    assert!(!refusal.holders.is_empty());
}

#[test]
fn a_panic_drops_model_and_leases_before_it_is_told() {
    let host = ready();
    host.run(1, Say::Panic, 20);
    assert!(matches!(host.next(), HostEvent::Panicked { message } if message == "told to"));
    assert_eq!(host.reserved(), Bytes::ZERO);
    host.wait_until_over();
}

#[test]
fn a_panic_while_loading_is_caught_too() {
    let host = start(Arc::new(|_: &Run| -> Result<Obedient, ModelError> { panic!("no such file") }));
    assert!(matches!(host.next(), HostEvent::Panicked { message } if message == "no such file"));
    assert_eq!(host.reserved(), Bytes::ZERO);
}

#[test]
fn a_cancelled_run_ends_at_its_next_step_and_the_model_stays() {
    let host = ready();
    let cancel = host.run(1, Say::StepUntilCancelled, 20);
    cancel.cancel();
    assert!(matches!(host.next(), HostEvent::Ended { result: Err(RunFailure::Model(error)), .. }
        if error.class() == ErrorClass::Cancelled));
    host.run(2, Say::Answer(7), 20);
    assert!(matches!(host.next(), HostEvent::Ended { result: Ok(7), .. }));
}

#[test]
fn a_poisoned_context_ends_the_host() {
    let host = ready();
    host.run(1, Say::Poison, 20);
    assert!(matches!(host.next(), HostEvent::Ended { .. }));
    assert!(matches!(host.next(), HostEvent::Unfit(error) if error.class() == ErrorClass::Poisoned));
    host.wait_until_over();
}

#[test]
fn a_dropped_handle_ends_the_host_and_returns_its_memory() {
    let host = ready();
    let Started { host: handle, life, ledger, .. } = host;
    drop(handle);
    let start = crate::clock::now();
    while !life.is_over() {
        assert!(crate::clock::now() - start < PATIENCE);
        std::thread::yield_now();
    }
    assert_eq!(ledger.usage().reserved, Bytes::ZERO);
}

#[test]
fn a_hung_run_holds_its_memory_and_is_waited_for_by_nobody() {
    let host = ready();
    let cancel = host.run(1, Say::Hang, 20);
    cancel.cancel();
    let Started { host: handle, life, ledger, .. } = host;
    drop(handle);
    assert!(!life.is_over());
    assert_eq!(ledger.usage().reserved, Bytes::mb(110), "what is still in use stays promised");
}

#[test]
fn a_load_told_to_stop_stops_at_its_next_step() {
    let (sender, begun) = mpsc::channel();
    let host = start(Arc::new(move |run: &Run| {
        let _ = sender.send(());
        loop {
            run.step(Progress::new(Unit::Parts, 1, 9))?;
            std::thread::yield_now();
        }
    }));
    begun.recv_timeout(PATIENCE).unwrap();
    host.cancel.cancel();
    assert!(matches!(host.next(), HostEvent::Unfit(error) if error.class() == ErrorClass::Cancelled));
    assert_eq!(host.reserved(), Bytes::ZERO);
}

#[test]
fn the_pulse_ages_from_its_last_stamp() {
    let now = crate::clock::now();
    let pulse = Pulse::new(now);
    assert_eq!(pulse.age(now + Duration::from_secs(3)), Duration::from_secs(3));
    pulse.stamp(now + Duration::from_secs(2));
    assert_eq!(pulse.age(now + Duration::from_secs(3)), Duration::from_secs(1));
}
