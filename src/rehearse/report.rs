//! What came of a rehearsal, and whether that is what was expected.
//!
//! Owns the recorder that hears every event, the report, and its comparison with the expectations. Steers nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use tokio::sync::watch;

use super::scenario::Expectations;
use crate::clock;
use crate::events::{Event, EventKind, Subscriber};
use crate::exit::Exit;
use crate::journal::{Ending, Failure, Terminal};
use crate::types::{Bytes, DeviceId, SlotId};

/// How often something was refused, and when for the first and last time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Refused {
    /// How often.
    pub count: u64,
    /// Simulated time of the first.
    pub first: Duration,
    /// Simulated time of the last.
    pub last: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// What the scenario shows.
    pub about: String,
    /// Slots accepted.
    pub accepted: u64,
    /// Slots handed over.
    pub completed: u64,
    /// Of these, in time.
    pub in_time: u64,
    /// Refusals, by reason.
    pub refused: BTreeMap<String, Refused>,
    /// Slots failed, by cause.
    pub failed: BTreeMap<Failure, u64>,
    /// Slots cancelled, by cause.
    pub cancelled: BTreeMap<String, u64>,
    /// Accepted slots without a terminal record: lost. Always zero, or the rehearsal has failed.
    pub lost: u64,
    /// Slots taken up again by a new orchestrator or process.
    pub resumed: u64,
    /// Slots that each device took in, also from another; empty where there is one device.
    pub placed: BTreeMap<String, u64>,
    /// Exit code of each device that was lost; empty where there is one device.
    pub cards_lost: BTreeMap<String, u64>,
    /// Restarts, by actor; where there are several devices, with the device in front (`scripted:1/flux`).
    pub restarts: BTreeMap<String, u64>,
    /// Longest time from a fault to being ready again, by model, named as in `restarts`.
    pub recovery: BTreeMap<String, Duration>,
    /// Highest use of the device at any look.
    pub highest_use: Bytes,
    /// Looks at which this process used more than the hard limit.
    pub limit_violations: u64,
    /// Leases refused before anything was allocated.
    pub leases_refused: u64,
    /// Leases still out after the end: leaked.
    pub leases_leaked: u64,
    /// Pressure's changes, in order.
    pub pressure: Vec<String>,
    /// Why the process had to end, each time.
    pub escalations: Vec<String>,
    /// Exit code of each process, in order.
    pub exits: Vec<u8>,
    /// Mean time between completions, without the first and last tenth.
    pub period: Option<Duration>,
    /// Simulated time in all.
    pub simulated: Duration,
    /// Whether it ran into its limit.
    pub broken_off: bool,
    /// What was not as expected; empty where the rehearsal has passed.
    pub missed: Vec<String>,
}

#[derive(Debug, Default)]
struct Heard {
    report: Report,
    completions: Vec<Instant>,
    terminals: u64,
}

/// Hears everything and counts.
#[derive(Debug)]
pub(crate) struct Recorder {
    start: Instant,
    hard_limit: Bytes,
    several: bool,
    heard: Mutex<Heard>,
    ended: watch::Sender<u64>,
}

impl Recorder {
    /// From `start`, on devices with this hard limit, of which there may be `several`.
    pub(crate) fn new(start: Instant, hard_limit: Bytes, several: bool) -> Self {
        Self { start, hard_limit, several, heard: Mutex::default(), ended: watch::Sender::new(0) }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        // Counters; a panic elsewhere leaves them readable.
        self.heard.lock()
    }

    /// Whether `device` was lost with a code that leaves nothing of it to rely on.
    pub(crate) fn is_lost(&self, device: DeviceId) -> bool {
        self.heard().report.cards_lost.get(&device.to_string()) == Some(&u64::from(Exit::DeviceLost.code()))
    }

    /// An actor's or a model's name, told apart from that of the same on another device.
    fn named(&self, device: DeviceId, name: &str) -> String {
        if self.several { format!("{device}/{name}") } else { name.to_owned() }
    }

    /// How many slots have ended, to be waited on.
    pub(crate) fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// Somebody asked for a slot and was refused.
    pub(crate) fn refused(&self, reason: &str) {
        let at = clock::now() - self.start;
        let mut heard = self.heard();
        let entry = heard.report.refused.entry(reason.to_owned());
        let refused = entry.or_insert(Refused { count: 0, first: at, last: at });
        refused.count += 1;
        refused.last = at;
    }

    /// A process has ended with this code.
    pub(crate) fn exited(&self, code: u8) {
        self.heard().report.exits.push(code);
    }

    /// The report so far, with what only the journal and the ledger know.
    pub(crate) fn report(
        &self,
        about: &str,
        ended: &[Terminal],
        accepted: u64,
        lost: u64,
        leaked: u64,
    ) -> Report {
        let heard = self.heard();
        let mut report = heard.report.clone();
        report.about = about.to_owned();
        (report.accepted, report.lost, report.leases_leaked) = (accepted, lost, leaked);
        report.simulated = clock::now() - self.start;
        report.period = period(&heard.completions);
        for terminal in ended {
            match &terminal.ending {
                Ending::Completed { deadline_met } => {
                    report.completed += 1;
                    report.in_time += u64::from(*deadline_met);
                }
                Ending::Failed { cause, .. } => *report.failed.entry(*cause).or_default() += 1,
                Ending::Cancelled { cause } => {
                    let name = format!("{cause:?}").to_lowercase();
                    *report.cancelled.entry(name).or_default() += 1;
                }
            }
        }
        report
    }
}

/// Mean distance of the middle eight tenths.
fn period(completions: &[Instant]) -> Option<Duration> {
    let edge = completions.len() / 10;
    let middle = completions.get(edge..completions.len() - edge)?;
    let (first, last) = (middle.first()?, middle.last()?);
    let gaps = u32::try_from(middle.len() - 1).ok().filter(|gaps| *gaps > 0)?;
    Some((*last - *first) / gaps)
}

impl Subscriber for Recorder {
    fn hear(&self, event: &Event) {
        if matches!(event.kind, EventKind::GenerationComplete { .. }) {
            self.heard().completions.push(clock::now());
        }
        if event.kind.ends_slot() {
            return self.one_more();
        }
        let Some(device) = event.device else { return };
        let mut heard = self.heard();
        let report = &mut heard.report;
        match &event.kind {
            EventKind::Accepted { resumed, .. } => {
                report.resumed += u64::from(*resumed);
                if self.several {
                    *report.placed.entry(device.to_string()).or_default() += 1;
                }
            }
            EventKind::ActorRestarted { actor } => {
                *report.restarts.entry(self.named(device, actor)).or_default() += 1;
            }
            EventKind::ModelReady { model, after: Some(after) } => {
                let longest = report.recovery.entry(self.named(device, model.name())).or_default();
                *longest = (*longest).max(*after);
            }
            EventKind::Memory { sample } => {
                report.highest_use = report.highest_use.max(sample.used);
                let own = sample.own.unwrap_or(sample.used);
                report.limit_violations += u64::from(own > self.hard_limit);
            }
            EventKind::MemoryPressure(crossing) => {
                let at = (clock::now() - self.start).as_secs_f64();
                report.pressure.push(format!("{:.1} s: {}", at, self.named(device, crossing.to.name())));
            }
            EventKind::LeaseRefused(_) => report.leases_refused += 1,
            EventKind::Escalated { cause, .. } => report.escalations.push(cause.clone()),
            EventKind::CardLost { exit, .. } if self.several => {
                report.cards_lost.insert(device.to_string(), u64::from(exit.code()));
            }
            _ => {}
        }
    }

    fn wants_steps(&self) -> bool {
        false
    }
}

impl Recorder {
    fn one_more(&self) {
        let mut heard = self.heard();
        heard.terminals += 1;
        self.ended.send_replace(heard.terminals);
    }
}

impl Report {
    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.missed.is_empty()
    }

    /// Fills in what was not as expected. Lost slots, leaked leases and a broken-off run are never expected.
    pub fn compare(&mut self, expect: &Expectations) {
        let mut missed = Vec::new();
        let mut wrong = |what: &str, wanted: String, got: String| {
            missed.push(format!("{what}: expected {wanted}, got {got}"))
        };
        let mut count = |what: &str, wanted: Option<u64>, got: u64| {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != got) {
                wrong(what, wanted.to_string(), got.to_string());
            }
        };
        count("lost", Some(0), self.lost);
        count("leases_leaked", Some(0), self.leases_leaked);
        count("broken_off", Some(0), u64::from(self.broken_off));
        count("accepted", expect.accepted, self.accepted);
        count("completed", expect.completed, self.completed);
        count("in_time", expect.in_time, self.in_time);
        count("cancelled", expect.cancelled, self.cancelled.values().sum());
        count("resumed", expect.resumed, self.resumed);
        count("limit_violations", expect.limit_violations, self.limit_violations);
        count("leases_refused", expect.leases_refused, self.leases_refused);
        let refused: BTreeMap<String, u64> =
            self.refused.iter().map(|(reason, refused)| (reason.clone(), refused.count)).collect();
        if let Some(wanted) = expect.refused.as_ref().filter(|wanted| **wanted != refused) {
            wrong("refused", format!("{wanted:?}"), format!("{refused:?}"));
        }
        for (reason, least) in &expect.refused_at_least {
            let got = refused.get(reason).copied().unwrap_or_default();
            if got < *least {
                wrong(&format!("refused_at_least.{reason}"), least.to_string(), got.to_string());
            }
        }
        if let Some(wanted) = expect.failed.as_ref().filter(|wanted| **wanted != self.failed) {
            wrong("failed", format!("{wanted:?}"), format!("{:?}", self.failed));
        }
        if let Some(wanted) = expect.placed.as_ref().filter(|wanted| **wanted != self.placed) {
            wrong("placed", format!("{wanted:?}"), format!("{:?}", self.placed));
        }
        if let Some(wanted) = expect.cards_lost.as_ref().filter(|wanted| **wanted != self.cards_lost) {
            wrong("cards_lost", format!("{wanted:?}"), format!("{:?}", self.cards_lost));
        }
        if let Some(wanted) = expect.restarts.as_ref().filter(|wanted| **wanted != self.restarts) {
            wrong("restarts", format!("{wanted:?}"), format!("{:?}", self.restarts));
        }
        let slowest = self.recovery.values().max().copied().unwrap_or_default();
        if let Some(wanted) = expect.ready_within.filter(|wanted| slowest > *wanted) {
            wrong("ready_within", format!("{wanted:.1?}"), format!("{slowest:.1?}"));
        }
        if let Some(wanted) = expect.highest_use.filter(|wanted| self.highest_use > *wanted) {
            wrong("highest_use", format!("at most {wanted}"), self.highest_use.to_string());
        }
        if let Some(wanted) = expect.exits.as_ref().filter(|wanted| **wanted != self.exits) {
            wrong("exits", format!("{wanted:?}"), format!("{:?}", self.exits));
        }
        if let Some((wanted, tolerance)) = expect.period {
            let got = self.period.unwrap_or_default();
            if (got.as_secs_f64() - wanted.as_secs_f64()).abs() > tolerance * wanted.as_secs_f64() {
                wrong("period", format!("{wanted:.3?} ± {:.1} %", tolerance * 100.0), format!("{got:.3?}"));
            }
        }
        self.missed = missed;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<V: fmt::Display>(entries: impl Iterator<Item = (String, V)>) -> String {
            let text: Vec<String> = entries.map(|(name, value)| format!("{name} {value}")).collect();
            if text.is_empty() { "none".to_owned() } else { text.join(", ") }
        }
        writeln!(f, "{}", self.about)?;
        writeln!(f, "  accepted        {}", self.accepted)?;
        writeln!(f, "  completed       {} ({} in time)", self.completed, self.in_time)?;
        let refused = self.refused.iter().map(|(reason, refused)| (reason.clone(), refused.count));
        writeln!(f, "  refused         {}", list(refused))?;
        writeln!(
            f,
            "  failed          {}",
            list(self.failed.iter().map(|(cause, n)| (cause.name().to_owned(), n)))
        )?;
        writeln!(
            f,
            "  cancelled       {}",
            list(self.cancelled.iter().map(|(cause, n)| (cause.clone(), n)))
        )?;
        writeln!(f, "  lost            {}", self.lost)?;
        writeln!(f, "  resumed         {}", self.resumed)?;
        if !self.placed.is_empty() {
            writeln!(f, "  placed          {}", list(self.placed.iter().map(|(card, n)| (card.clone(), n))))?;
        }
        for (card, exit) in &self.cards_lost {
            writeln!(f, "  lost device     {card}, by code {exit}")?;
        }
        writeln!(f, "  restarts        {}", list(self.restarts.iter().map(|(actor, n)| (actor.clone(), n))))?;
        let recovery = self.recovery.iter().map(|(model, time)| (model.clone(), format!("{time:.1?}")));
        writeln!(f, "  fault to ready  {}", list(recovery))?;
        writeln!(f, "  highest use     {}", self.highest_use)?;
        writeln!(f, "  over the limit  {} looks", self.limit_violations)?;
        writeln!(f, "  leases          {} refused, {} leaked", self.leases_refused, self.leases_leaked)?;
        if !self.pressure.is_empty() {
            writeln!(f, "  pressure        {}", self.pressure.join(", "))?;
        }
        for cause in &self.escalations {
            writeln!(f, "  escalated       {cause}")?;
        }
        let exits: Vec<String> = self.exits.iter().map(ToString::to_string).collect();
        writeln!(f, "  exit codes      {}", exits.join(", "))?;
        if let Some(period) = self.period {
            writeln!(f, "  a slot every    {period:.2?}")?;
        }
        writeln!(f, "  simulated       {:.1?}", self.simulated)?;
        for missed in &self.missed {
            writeln!(f, "  MISSED          {missed}")?;
        }
        write!(f, "  {}", if self.passed() { "passed" } else { "failed" })
    }
}

/// The id of slot `number`: the same in every run.
pub(super) fn slot_id(number: u64) -> SlotId {
    SlotId::new(uuid::Uuid::from_u128(u128::from(number)))
}
