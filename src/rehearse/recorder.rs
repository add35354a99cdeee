//! Hears everything that a rehearsed node tells and counts it for the report. Steers nothing.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::report::{Refused, Report, Unaccounted};
use crate::clock;
use crate::events::{Event, EventKind, Subscriber};
use crate::journal::{Ending, Terminal};
use crate::types::{Bytes, DeviceId, SlotId};

#[derive(Debug, Default)]
struct Heard {
    report: Report,
    completions: Vec<Instant>,
    terminals: u64,
    promised: HashSet<SlotId>,
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

    /// The code with which `device` was given up, where it was and others were left.
    pub(crate) fn given_up(&self, device: DeviceId) -> Option<u64> {
        self.heard().report.cards_lost.get(&device.to_string()).copied()
    }

    /// An actor's or a model's name, told apart from that of the same on another device.
    fn named(&self, device: DeviceId, name: &str) -> String {
        if self.several { format!("{device}/{name}") } else { name.to_owned() }
    }

    /// How many slots have ended, to be waited on.
    pub(crate) fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// Somebody was told that this slot is accepted.
    pub(crate) fn promised(&self, slot: SlotId) {
        self.heard().promised.insert(slot);
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

    /// The report so far, with what only the journal knows: how slots ended, and which are open. Where `closed`, the last
    /// process was to leave none open, and what it left is nobody's.
    pub(crate) fn report(&self, accepted: u64, ended: &[Terminal], open: &[SlotId], closed: bool) -> Report {
        let heard = self.heard();
        let mut report = heard.report.clone();
        report.accepted = accepted;
        let known: HashSet<SlotId> =
            ended.iter().map(|terminal| terminal.slot).chain(open.iter().copied()).collect();
        report.lost = heard.promised.difference(&known).count() as u64;
        let left = open.len() as u64;
        if closed {
            report.lost += left;
        } else {
            report.kept = left;
        }
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
            EventKind::MemorySnapshot(snapshot) => {
                if let Some(bytes) = snapshot.ledger.unaccounted {
                    let slope = snapshot.ledger.unaccounted_slope;
                    report.unaccounted.insert(device.to_string(), Unaccounted { bytes, slope });
                }
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
