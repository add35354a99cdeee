//! What the runtime itself costs: slots a second, added latency, simulated time against wall time.
//!
//! Prints a table; the targets are the project's own. `cargo bench --bench runtime`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use vortex_node::clock;
use vortex_node::events::{Event, EventKind, Subscriber};
use vortex_node::rehearse::scenario::Arrivals;
use vortex_node::rehearse::{Pace, Report, Scenario, rehearse};
use vortex_node::types::Bytes;

/// How long each slot took from acceptance to its end.
#[derive(Default)]
struct Latencies(Mutex<Vec<Duration>>);

impl Subscriber for Latencies {
    fn hear(&self, event: &Event) {
        if let EventKind::GenerationComplete { elapsed, .. } = &event.kind {
            self.0.lock().unwrap().push(*elapsed);
        }
    }
}

fn slots(count: u64, every: Duration) -> Scenario {
    let arrivals = Arrivals {
        at: Duration::from_secs(10),
        count,
        every,
        deadline: Duration::from_secs(30 * 86_400),
        patient: true,
        cancel_after: None,
    };
    let queue = NonZeroUsize::new(usize::try_from(count).unwrap()).unwrap();
    let limit = Duration::from_secs(60 * 86_400);
    Scenario { arrivals: vec![arrivals], queue, limit, settle: Duration::ZERO, ..Scenario::default() }
}

/// Stages that cost nothing, with their leases.
fn free(count: u64, every: Duration) -> Scenario {
    let mut scenario = slots(count, every);
    for part in scenario.parts.values_mut() {
        part.run = Duration::ZERO;
        (part.load, part.canary) = (Duration::from_millis(1), Duration::from_millis(1));
    }
    for row in scenario.stages.values_mut() {
        row.estimate = Duration::ZERO;
    }
    scenario
}

fn timed(scenario: &Scenario, pace: Pace, more: Vec<Arc<dyn Subscriber>>) -> (Report, Duration) {
    let start = clock::now();
    let report = rehearse(scenario, pace, more).unwrap();
    (report, clock::now() - start)
}

fn main() {
    let line = |what: &str, got: String, target: &str| println!("{what:<58} {got:>16}   target {target}");

    let count = 50_000;
    let (report, wall) = timed(&free(count, Duration::ZERO), Pace::Accelerated, Vec::new());
    assert_eq!(report.completed, count, "{report}");
    let rate = count as f64 / wall.as_secs_f64();
    line("zero-cost slots, played hosts, one core, logging off", format!("{rate:.0} /s"), ">= 5000 /s");

    let latencies = Arc::new(Latencies::default());
    let mut scenario = free(1_000, Duration::from_millis(10));
    scenario.arrivals[0].at = Duration::from_millis(500);
    let (report, _) = timed(&scenario, Pace::RealTime, vec![latencies.clone()]);
    assert_eq!(report.completed, 1_000, "{report}");
    let mut all = latencies.0.lock().unwrap().clone();
    all.sort();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
    line("added latency at 100 slots/s, real threads: median", format!("{:.0?}", at(0.5)), "");
    line("added latency at 100 slots/s, real threads: p99", format!("{:.0?}", at(0.99)), "<= 1 ms");

    let (report, _) = timed(&slots(500, Duration::ZERO), Pace::Accelerated, Vec::new());
    let period = report.period.unwrap();
    line("stages of 2, 12, 8, 1 s: a slot every", format!("{period:.3?}"), "12 s +- 2 %");

    let start: Instant = clock::now();
    let (report, _) = timed(&slots(10_000, Duration::ZERO), Pace::Accelerated, Vec::new());
    let wall = clock::now() - start;
    assert_eq!((report.completed, report.lost), (10_000, 0), "{report}");
    assert!(report.highest_use > Bytes::ZERO, "memory was looked at");
    line("10,000 such slots, a look every simulated second", format!("{wall:.2?}"), "< 10 s");
}
