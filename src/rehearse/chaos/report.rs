//! The figures of a run over many seeds, and the failures it found as files to play again.

use std::fmt::{self, Write};
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use super::Outcome;
use super::verdict::{Bounds, Way};

/// A seed that failed, made as small as it still fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The seed that draws the scenario.
    pub seed: u64,
    /// How it failed; what is left of it fails in the same way.
    pub way: Way,
    /// Every way in which what is left of it fails, with the values.
    pub why: Vec<(Way, String)>,
    /// Misfortunes that are left of it.
    pub misfortunes: usize,
    /// Smaller scenarios that were tried.
    pub tries: usize,
    /// The smallest, as a file for `vortex-node rehearse`.
    pub text: String,
}

impl Found {
    pub(super) fn new(
        seed: u64,
        way: Way,
        why: Vec<(Way, String)>,
        misfortunes: usize,
        tries: usize,
        text: &str,
    ) -> Self {
        let mut head = format!("# Found by seed {seed} of `vortex-node rehearse --chaos`: {way}.\n");
        for (way, why) in &why {
            for (place, line) in why.lines().enumerate() {
                let lead = if place == 0 { format!("{way}: ") } else { "  ".to_owned() };
                // Writing into a text does not fail.
                let _ = writeln!(head, "# {lead}{line}");
            }
        }
        Self { seed, way, why, misfortunes, tries, text: format!("{head}{text}") }
    }

    /// The file's name.
    pub fn file_name(&self) -> String {
        format!("chaos-{}.toml", self.seed)
    }
}

/// The longest that something lasted, and in which seed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Longest {
    /// How long, simulated.
    pub lasted: Duration,
    /// In which seed; none where it never happened.
    pub seed: Option<u64>,
    /// What the node answered meanwhile, where that is known.
    pub cause: Option<String>,
}

impl Longest {
    fn add(&mut self, seed: u64, lasted: Duration, cause: Option<&String>) {
        // Of equals the first seed, whichever thread was faster.
        let earlier = lasted == self.lasted && self.seed.is_some_and(|first| seed < first);
        if lasted > self.lasted || earlier {
            *self = Self { lasted, seed: Some(seed), cause: cause.cloned() };
        }
    }
}

/// What came of many seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChaosReport {
    /// Which were to be played.
    pub seeds: Range<u64>,
    /// What each was held to.
    pub bounds: Bounds,
    /// Seeds played.
    pub played: u64,
    /// Those that failed, by seed.
    pub found: Vec<Found>,
    /// Slots accepted.
    pub accepted: u64,
    /// Slots handed over.
    pub completed: u64,
    /// Slots left in the journal for the next start.
    pub kept: u64,
    /// Slots lost.
    pub lost: u64,
    /// Leases leaked.
    pub leaked: u64,
    /// Scenarios that did not end.
    pub wedged: u64,
    /// Panics that nobody played.
    pub panics: u64,
    /// Processes that ended, all together.
    pub processes: u64,
    /// Longest time from own use reaching the hard limit to the first remedy.
    pub until_remedy: Longest,
    /// Longest time that own use stood at the hard limit.
    pub until_relief: Longest,
    /// Longest time that a device took nothing in, for reasons of the node's own.
    pub not_accepting: Longest,
    /// Longest time that nothing was done for open slots, for reasons of the node's own.
    pub not_working: Longest,
    /// Simulated time in all.
    pub simulated: Duration,
    /// Real time in all.
    pub took: Duration,
}

impl ChaosReport {
    pub(super) fn new(seeds: Range<u64>, bounds: Bounds) -> Self {
        Self {
            seeds,
            bounds,
            played: 0,
            found: Vec::new(),
            accepted: 0,
            completed: 0,
            kept: 0,
            lost: 0,
            leaked: 0,
            wedged: 0,
            panics: 0,
            processes: 0,
            until_remedy: Longest::default(),
            until_relief: Longest::default(),
            not_accepting: Longest::default(),
            not_working: Longest::default(),
            simulated: Duration::ZERO,
            took: Duration::ZERO,
        }
    }

    pub(super) fn add(&mut self, seed: u64, outcome: Outcome) {
        self.played += 1;
        self.found.extend(outcome.found);
        let Some(report) = outcome.report else { return };
        self.accepted += report.accepted;
        self.completed += report.completed;
        self.kept += report.kept;
        self.lost += report.lost;
        self.leaked += report.leases_leaked;
        self.wedged += u64::from(report.broken_off);
        self.panics += report.panics.len() as u64;
        self.processes += report.exits.len() as u64;
        self.simulated += report.simulated;
        self.until_remedy.add(seed, report.until_remedy, None);
        self.until_relief.add(seed, report.until_relief, None);
        for (longest, standstill) in
            [(&mut self.not_accepting, &report.not_accepting), (&mut self.not_working, &report.not_working)]
        {
            if let Some(it) = standstill {
                longest.add(seed, it.lasted, Some(&it.cause));
            }
        }
    }

    /// Whether no seed failed.
    pub fn passed(&self) -> bool {
        self.found.is_empty()
    }
}

impl fmt::Display for ChaosReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, played, .. } = self;
        let per_second = *played as f64 / self.took.as_secs_f64().max(1e-9);
        let end = seeds.end.min(seeds.start.saturating_add(*played));
        writeln!(f, "chaos           {played} scenarios, seeds {}..{end}", seeds.start)?;
        writeln!(f, "  failed        {}", self.found.len())?;
        for found in &self.found {
            let Found { seed, way, misfortunes, .. } = found;
            writeln!(f, "    seed {seed}: {way} ({misfortunes} misfortunes left)")?;
            for (way, why) in &found.why {
                writeln!(f, "      {way}: {why}")?;
            }
        }
        writeln!(
            f,
            "  slots         {} accepted, {} completed, {} kept",
            self.accepted, self.completed, self.kept
        )?;
        writeln!(f, "  lost          {}", self.lost)?;
        writeln!(f, "  leaked        {}", self.leaked)?;
        writeln!(f, "  wedged        {}", self.wedged)?;
        writeln!(f, "  panics        {}", self.panics)?;
        writeln!(f, "  processes     {}", self.processes)?;
        for (name, longest, most) in [
            ("to a remedy ", &self.until_remedy, self.bounds.until_remedy),
            ("to relief   ", &self.until_relief, self.bounds.until_relief),
            ("no accepting", &self.not_accepting, self.bounds.not_accepting),
            ("no working  ", &self.not_working, self.bounds.not_working),
        ] {
            write!(f, "  {name}  at most {:.1?} of {most:.0?}", longest.lasted)?;
            match longest.seed {
                Some(seed) => writeln!(f, ", seed {seed}")?,
                None => writeln!(f)?,
            }
        }
        writeln!(f, "  simulated     {:.1} h", self.simulated.as_secs_f64() / 3600.0)?;
        writeln!(f, "  took          {:.1?}, {per_second:.1} scenarios a second", self.took)?;
        write!(f, "  {}", if self.passed() { "passed" } else { "failed" })
    }
}
