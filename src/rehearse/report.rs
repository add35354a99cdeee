//! What came of a rehearsal, and whether that is what was expected.
//!
//! Owns the report and its comparison with the expectations. Gathers nothing itself.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::scenario::Expectations;
use crate::journal::Failure;
use crate::types::{Bytes, DeviceId};
use crate::vram::policy::Slope;

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

/// Time at or above a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Above {
    /// By everything on the device.
    pub any: Duration,
    /// By this process's own use alone.
    pub own: Duration,
}

/// What no lease stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Unaccounted {
    /// How much, others' included.
    pub bytes: Bytes,
    /// How fast it grows; none in the first minutes.
    pub slope: Option<Slope>,
}

/// A device took nothing in though nothing was open there, or did nothing for what was open, and neither others nor the
/// scenario kept it from that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standstill {
    /// The device.
    pub device: DeviceId,
    /// Simulated time at which it began.
    pub since: Duration,
    /// How long it lasted.
    pub lasted: Duration,
    /// How its memory stood, and what it answered where it was asked for a slot.
    pub cause: String,
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
    /// Slots that somebody was promised and that neither have ended nor are open in the journal for a next start: lost.
    /// Always zero, or the rehearsal has failed.
    pub lost: u64,
    /// Slots open in the journal after the last process: the next start goes on with them.
    pub kept: u64,
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
    /// What no lease stood for at each device's last snapshot, and how fast that grew.
    pub unaccounted: BTreeMap<String, Unaccounted>,
    /// Simulated time at or above the soft limit, all devices together, by what they truly held.
    pub above_soft: Above,
    /// The same of the hard limit.
    pub above_hard: Above,
    /// Longest time from this process's own use reaching the hard limit to the first remedy, or to being below again.
    pub until_remedy: Duration,
    /// Longest time that this process's own use stood at the hard limit.
    pub until_relief: Duration,
    /// Longest time that a device took nothing in though nothing was open there, for reasons of the node's own.
    pub not_accepting: Option<Standstill>,
    /// Longest time that slots were open on a device and nothing was done for any of them, for reasons of the node's own.
    pub not_working: Option<Standstill>,
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
    /// Whether it ran into its limit, or did not end when told to.
    pub broken_off: bool,
    /// What panicked that the scenario did not make panic. Always empty, or the rehearsal has failed.
    pub panics: Vec<String>,
    /// What was not as expected; empty where the rehearsal has passed.
    pub missed: Vec<String>,
}

impl Report {
    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.missed.is_empty()
    }

    /// Fills in what was not as expected. Lost slots, leaked leases, panics and a broken-off run are never expected.
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
        count("panics", Some(0), self.panics.len() as u64);
        count("accepted", expect.accepted, self.accepted);
        count("completed", expect.completed, self.completed);
        count("in_time", expect.in_time, self.in_time);
        count("cancelled", expect.cancelled, self.cancelled.values().sum());
        count("kept", expect.kept, self.kept);
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
        let lasted = |it: &Option<Standstill>| it.as_ref().map(|it| it.lasted).unwrap_or_default();
        for (what, most, got) in [
            ("until_remedy", expect.until_remedy, self.until_remedy),
            ("until_relief", expect.until_relief, self.until_relief),
            ("not_accepting", expect.not_accepting, lasted(&self.not_accepting)),
            ("not_working", expect.not_working, lasted(&self.not_working)),
        ] {
            if let Some(most) = most.filter(|most| got > *most) {
                wrong(what, format!("at most {most:.1?}"), format!("{got:.1?}"));
            }
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
        if self.kept > 0 {
            writeln!(f, "  kept            {} for the next start", self.kept)?;
        }
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
        for (device, Unaccounted { bytes, slope }) in &self.unaccounted {
            write!(f, "  unaccounted     {device}: {bytes}")?;
            match slope {
                Some(Slope { per_hour, standard_error }) => {
                    let sign = if *per_hour < 0 { "-" } else { "+" };
                    let (slope, error) = (Bytes::new(per_hour.unsigned_abs()), Bytes::new(*standard_error));
                    writeln!(f, ", {sign}{slope} an hour, standard error {error}")?;
                }
                None => writeln!(f)?,
            }
        }
        for (name, above) in [("above soft", self.above_soft), ("above hard", self.above_hard)] {
            if above.any > Duration::ZERO {
                writeln!(f, "  {name}      {:.1?}, by own use {:.1?}", above.any, above.own)?;
            }
        }
        if self.until_relief > Duration::ZERO {
            let (remedy, relief) = (self.until_remedy, self.until_relief);
            writeln!(f, "  own, above hard {remedy:.1?} to the first remedy, {relief:.1?} to relief")?;
        }
        if let Some(Standstill { device, lasted, cause, .. }) = &self.not_accepting {
            writeln!(f, "  not accepting   {lasted:.1?} on {device}, nothing open: {cause}")?;
        }
        if let Some(Standstill { device, lasted, cause, .. }) = &self.not_working {
            writeln!(f, "  not working     {lasted:.1?} on {device}, slots open: {cause}")?;
        }
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
        for panic in &self.panics {
            writeln!(f, "  PANICKED        {panic}")?;
        }
        for missed in &self.missed {
            writeln!(f, "  MISSED          {missed}")?;
        }
        write!(f, "  {}", if self.passed() { "passed" } else { "failed" })
    }
}
