//! Where looks at a device's memory are made: where they are asked for, or on a thread of their own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;

use crate::clock;
use crate::vram::{Occupant, ProbeChain, Reading};

type Done = Box<dyn FnOnce(Reading) + Send>;
type Named = Box<dyn FnOnce(Vec<Occupant>) + Send>;

/// Where looks are made. One that is still at it refuses the next.
pub trait Sampler: Send + Sync + 'static {
    /// Looks, and hands the reading to `done`; false where an earlier look is still under way.
    fn look(&self, done: Done) -> bool;

    /// Finds out which other processes hold most of the device's memory, after a look that is under way.
    fn occupants(&self, done: Named);

    /// Begins with new probes, and lets go of what the old ones are at; false where that cannot be done.
    fn rebuild(&self) -> bool;
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
    fn look(&self, done: Done) -> bool {
        let Some(mut chain) = self.0.try_lock() else { return false };
        let reading = chain.sample(clock::now());
        drop(chain);
        done(reading);
        true
    }

    fn occupants(&self, done: Named) {
        // One that is at it is asked again when the cause changes next.
        if let Some(mut chain) = self.0.try_lock() {
            let occupants = chain.occupants();
            drop(chain);
            done(occupants);
        }
    }

    /// What does not block holds on to nothing.
    fn rebuild(&self) -> bool {
        false
    }
}

/// What the thread is asked.
enum Question {
    Look(Done),
    Occupants(Named),
}

/// The way to a thread that looks; the thread ends when this is dropped.
struct Looking {
    asked: mpsc::Sender<Question>,
    /// No queue: a look asked for while another is under way is refused, not owed.
    busy: Arc<AtomicBool>,
}

impl Looking {
    fn start(mut chain: ProbeChain) -> std::io::Result<Self> {
        let (asked, inbox) = mpsc::channel();
        let busy = Arc::new(AtomicBool::new(false));
        let done_with = Arc::clone(&busy);
        std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
            while let Ok(question) = inbox.recv() {
                match question {
                    Question::Look(done) => {
                        let reading = chain.sample(clock::now());
                        // Before it is told: whoever hears it may ask for the next at once.
                        done_with.store(false, Ordering::Release);
                        done(reading);
                    }
                    Question::Occupants(done) => done(chain.occupants()),
                }
            }
        })?;
        Ok(Self { asked, busy })
    }
}

/// Looks on an OS thread of its own: for drivers, which may block, or hang for good.
pub(crate) struct ThreadSampler {
    looking: Mutex<Looking>,
    again: Box<dyn Fn() -> ProbeChain + Send + Sync>,
}

impl ThreadSampler {
    /// Through `first`, and after a [`rebuild`](Sampler::rebuild) through what `again` makes.
    pub(crate) fn start(
        first: ProbeChain,
        again: impl Fn() -> ProbeChain + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        Ok(Self { looking: Mutex::new(Looking::start(first)?), again: Box::new(again) })
    }
}

impl Sampler for ThreadSampler {
    fn look(&self, done: Done) -> bool {
        let looking = self.looking.lock();
        !looking.busy.swap(true, Ordering::AcqRel) && looking.asked.send(Question::Look(done)).is_ok()
    }

    fn occupants(&self, done: Named) {
        // A thread that has ended answers nothing; the next look says so.
        let _ = self.looking.lock().asked.send(Question::Occupants(done));
    }

    /// The old thread, which may hang in its driver, is left to end by itself.
    fn rebuild(&self) -> bool {
        let started = Looking::start((self.again)());
        started.map(|new| *self.looking.lock() = new).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Instant;

    use super::*;
    use crate::vram::{ChainSettings, Probe, ProbeError, ProbeErrorKind, Sample};

    /// Hangs until it is let go.
    struct Hanging(mpsc::Receiver<()>);

    impl Probe for Hanging {
        fn name(&self) -> &'static str {
            "hanging"
        }

        fn sample(&mut self, _: Instant) -> Result<Sample, ProbeError> {
            let _ = self.0.recv();
            Err(ProbeError::new("hanging", ProbeErrorKind::Failed, Cow::Borrowed("let go")))
        }
    }

    #[test]
    fn a_driver_that_hangs_is_left_behind_by_a_rebuild() {
        let (let_go, hanging) = mpsc::channel();
        let chain = |probe| ProbeChain::new(vec![probe], ChainSettings::default());
        let sampler = ThreadSampler::start(chain(Box::new(Hanging(hanging))), move || {
            let (gone, missing) = mpsc::channel();
            drop(gone);
            chain(Box::new(Hanging(missing)))
        })
        .unwrap();
        assert!(sampler.look(Box::new(|_| ())));
        assert!(!sampler.look(Box::new(|_| ())), "the first look is still under way");
        assert!(sampler.rebuild());
        let (told, reading) = mpsc::channel();
        assert!(sampler.look(Box::new(move |reading| told.send(reading).unwrap())));
        assert_eq!(reading.recv().unwrap().sample, None);
        drop(let_go);
    }
}
