//! Chaos: scenarios that nobody wrote, drawn from seeds, each held to the same few promises; one that breaks them is made
//! smaller and kept as a file to play again.
//!
//! Owns the run over many seeds on several threads and its figures. What is drawn stands in `draw`, what counts as failed in
//! `verdict`, how a failing one gets smaller in `shrink`. Seeds are independent of each other and of the threads.

mod dice;
mod draw;
mod report;
mod shrink;
mod verdict;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use draw::draw;
pub use report::{ChaosReport, Found, Longest};
pub use shrink::shrink;
pub use verdict::{Bounds, Way};

use super::drive::{Pace, rehearse};
use super::report::Report;
use super::scenario::Scenario;
use crate::clock;
use verdict::judge;

/// What is to be played.
#[derive(Clone, Debug)]
pub struct Chaos {
    /// Which seeds, in order.
    pub seeds: Range<u64>,
    /// No new seed begins after this much real time.
    pub within: Option<Duration>,
    /// No new seed begins after so many failures.
    pub failures: NonZeroUsize,
    /// Threads side by side.
    pub threads: NonZeroUsize,
    /// What every scenario is held to.
    pub bounds: Bounds,
}

/// What is told while it goes on, from whichever thread.
#[derive(Debug)]
pub enum Told<'a> {
    /// So many seeds are done, and so many of them failed.
    Played {
        /// Done.
        played: u64,
        /// Failed.
        failed: usize,
    },
    /// A seed failed and has been made smaller.
    Found(&'a Found),
    /// A seed has been played for this long in real time, and is not over.
    Slow {
        /// The seed that draws the scenario.
        seed: u64,
        /// Since when.
        since: Duration,
    },
}

/// Real time after which a seed counts as slow: a thousand times what one usually takes. One that never ends would
/// otherwise be a run that says nothing.
const SLOW: Duration = Duration::from_secs(60);
/// Between two looks at whether a seed is slow.
const LOOK: Duration = Duration::from_secs(1);

impl Chaos {
    /// Plays. `tell` hears of every seed, and of every failure at once, so that it can be kept whatever happens later.
    pub fn play(&self, tell: &(dyn Fn(Told<'_>) + Sync)) -> ChaosReport {
        let began = clock::now();
        let run = Run {
            chaos: self,
            began,
            next: AtomicU64::new(self.seeds.start),
            failed: AtomicUsize::new(0),
            playing: Mutex::default(),
            report: Mutex::new(ChaosReport::new(self.seeds.clone(), self.bounds)),
        };
        std::thread::scope(|scope| {
            // Nothing is sent: that every thread has dropped its end says that all are done.
            let (at_work, done) = mpsc::channel::<()>();
            for _ in 0..self.threads.get() {
                let (run, at_work) = (&run, at_work.clone());
                scope.spawn(move || {
                    run.work(tell);
                    drop(at_work);
                });
            }
            drop(at_work);
            while done.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                run.tell_slow(tell);
            }
        });
        let mut report = run.report.into_inner();
        report.found.sort_by_key(|found| found.seed);
        report.took = clock::now().saturating_duration_since(began);
        report
    }
}

struct Run<'a> {
    chaos: &'a Chaos,
    began: Instant,
    next: AtomicU64,
    failed: AtomicUsize,
    /// Seeds under way, since when, and whether it was told that they are slow.
    playing: Mutex<BTreeMap<u64, (Instant, bool)>>,
    report: Mutex<ChaosReport>,
}

impl Run<'_> {
    fn work(&self, tell: &(dyn Fn(Told<'_>) + Sync)) {
        while let Some(seed) = self.seed() {
            self.playing.lock().insert(seed, (clock::now(), false));
            let outcome = play(seed, &self.chaos.bounds);
            self.playing.lock().remove(&seed);
            if let Some(found) = &outcome.found {
                self.failed.fetch_add(1, Ordering::Relaxed);
                tell(Told::Found(found));
            }
            let mut report = self.report.lock();
            report.add(seed, outcome);
            let (played, failed) = (report.played, report.found.len());
            drop(report);
            tell(Told::Played { played, failed });
        }
    }

    fn tell_slow(&self, tell: &(dyn Fn(Told<'_>) + Sync)) {
        let now = clock::now();
        for (seed, (began, told)) in self.playing.lock().iter_mut() {
            let since = now.saturating_duration_since(*began);
            if since >= SLOW && !std::mem::replace(told, true) {
                tell(Told::Slow { seed: *seed, since });
            }
        }
    }

    /// The next seed, if one is to be played still.
    fn seed(&self) -> Option<u64> {
        let late = |within| clock::now().saturating_duration_since(self.began) >= within;
        let over = self.failed.load(Ordering::Relaxed) >= self.chaos.failures.get()
            || self.chaos.within.is_some_and(late);
        if over {
            return None;
        }
        let seed = self.next.fetch_add(1, Ordering::Relaxed);
        (seed < self.chaos.seeds.end).then_some(seed)
    }
}

/// What came of one seed.
struct Outcome {
    /// None where it could not be played.
    report: Option<Report>,
    found: Option<Found>,
}

/// Plays the scenario of `seed` as its text says, and makes it smaller where it fails.
fn play(seed: u64, bounds: &Bounds) -> Outcome {
    let drawn = Scenario { expect: bounds.expectations(), ..draw(seed) };
    let (report, failings) = attempt(&drawn.to_toml(), bounds);
    let found = failings.first().map(|(way, _)| found(seed, &drawn, *way, bounds));
    Outcome { report, found }
}

/// Makes `drawn` smaller, which has failed in this `way`.
fn found(seed: u64, drawn: &Scenario, way: Way, bounds: &Bounds) -> Found {
    let failings = |text: &str| attempt(text, bounds).1;
    let fails = |scenario: &Scenario| failings(&scenario.to_toml()).iter().any(|(it, _)| *it == way);
    let (smallest, tries) = match way {
        // What cannot be played cannot be made smaller by playing.
        Way::Unplayable => (drawn.clone(), 0),
        _ => shrink(drawn, &mut |candidate| fails(candidate)),
    };
    let text = smallest.to_toml();
    let why = failings(&text);
    Found::new(seed, way, why, smallest.faults.len(), tries, &text)
}

/// Plays the scenario that `text` says: what came of it, and every way in which it failed.
fn attempt(text: &str, bounds: &Bounds) -> (Option<Report>, Vec<(Way, String)>) {
    let unplayable = |error: String| (None, vec![(Way::Unplayable, error)]);
    let scenario: Scenario = match text.parse() {
        Ok(scenario) => scenario,
        Err(error) => return unplayable(format!("{error}")),
    };
    match rehearse(&scenario, Pace::Accelerated, Vec::new()) {
        Ok(report) => {
            let failings = judge(&report, bounds);
            (Some(report), failings)
        }
        Err(error) => unplayable(error.to_string()),
    }
}
