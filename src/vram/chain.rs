//! Several probes of one device, best first: judges what they answer and takes the first that can be believed.
//!
//! A probe that fails, lies or answers with something old is left alone for a while, then tried again and taken back.
//! The sample says whether its probe stands in for a better one. Owns the probes and their trouble; decides nothing
//! about memory.

use std::time::{Duration, Instant};

use crate::types::Bytes;

use super::probe::{Occupant, Probe, ProbeError, ProbeErrorKind};
use super::sample::{Flaw, Sample, Standing};

/// How probes are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChainSettings {
    /// The oldest a sample may be.
    pub max_age: Duration,
    /// How long a probe in trouble is left alone.
    pub retry_after: Duration,
    /// How far a device's total may move from what it was, as a share; more is a lie.
    pub total_tolerance: f64,
}

impl Default for ChainSettings {
    /// Samples of up to 5 s; trouble is looked at again after 30 s (a driver reload takes about ten); totals may move
    /// by 1 % (drivers change what they keep back).
    fn default() -> Self {
        Self { max_age: Duration::from_secs(5), retry_after: Duration::from_secs(30), total_tolerance: 0.01 }
    }
}

/// A changed total is believed once it was answered this often in a row: the device may really be another one.
const CONVINCING: u32 = 3;

struct Link {
    probe: Box<dyn Probe>,
    total: Option<Bytes>,
    claimed: Option<(Bytes, u32)>,
    trouble: Option<(ProbeError, Instant)>,
    asked_in: u64,
}

impl Link {
    fn sample(&mut self, now: Instant, settings: &ChainSettings) -> Result<Sample, ProbeError> {
        let sample = self.probe.sample(now)?;
        let flaw = sample
            .flaw(now, settings.max_age)
            .or_else(|| self.changed_total(sample.total, settings.total_tolerance));
        match flaw {
            None => Ok(sample),
            Some(flaw) => {
                let stale = matches!(flaw, Flaw::Stale { .. });
                let kind = if stale { ProbeErrorKind::Stale } else { ProbeErrorKind::Lied };
                Err(ProbeError::new(self.probe.name(), kind, flaw.to_string()))
            }
        }
    }

    fn changed_total(&mut self, is: Bytes, tolerance: f64) -> Option<Flaw> {
        let near = |was: Bytes| {
            let difference = was.max(is).saturating_sub(was.min(is));
            difference.as_f64() <= was.as_f64() * tolerance
        };
        let Some(was) = self.total.filter(|was| !near(*was)) else {
            (self.total, self.claimed) = (Some(self.total.unwrap_or(is)), None);
            return None;
        };
        let times = self.claimed.filter(|(claimed, _)| near(*claimed)).map_or(1, |(_, times)| times + 1);
        if times >= CONVINCING {
            (self.total, self.claimed) = (Some(is), None);
            return None;
        }
        self.claimed = Some((is, times));
        Some(Flaw::TotalChanged { was, is })
    }

    fn rests(&self, now: Instant, settings: &ChainSettings) -> bool {
        self.trouble
            .as_ref()
            .is_some_and(|(_, since)| now.saturating_duration_since(*since) < settings.retry_after)
    }
}

/// Another probe answers than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Who answered before; `None` where nobody did.
    pub from: Option<&'static str>,
    /// Who answers now; `None` where nobody does.
    pub to: Option<&'static str>,
    /// What is wrong with the one before; `None` where a better one is back.
    pub because: Option<ProbeError>,
}

/// What one check brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// A sample that was examined, or none.
    pub sample: Option<Sample>,
    /// Whether another probe answers than at the check before.
    pub switch: Option<Switch>,
}

/// The probes of one device, best first. All look at the same memory: the host's is no stand-in for a card's.
pub struct ProbeChain {
    links: Vec<Link>,
    settings: ChainSettings,
    answering: Option<usize>,
    round: u64,
}

impl ProbeChain {
    /// Of these probes, best first.
    pub fn new(probes: Vec<Box<dyn Probe>>, settings: ChainSettings) -> Self {
        let link = |probe| Link { probe, total: None, claimed: None, trouble: None, asked_in: 0 };
        Self { links: probes.into_iter().map(link).collect(), settings, answering: None, round: 0 }
    }

    /// Looks through the best probe that can be believed. Allocates nothing where it is the same as before.
    pub fn sample(&mut self, now: Instant) -> Reading {
        let found = self.first_believed(now);
        let answering = found.map(|(place, _)| place);
        let before = std::mem::replace(&mut self.answering, answering);
        let name = |place: usize| self.links.get(place).map(|link| link.probe.name());
        let switch = (before != answering).then(|| Switch {
            from: before.and_then(name),
            to: answering.and_then(name),
            because: before
                .or(answering.is_none().then_some(0))
                .and_then(|place| self.links.get(place))
                .and_then(|link| link.trouble.as_ref().map(|(error, _)| error.clone())),
        });
        Reading { sample: found.map(|(_, sample)| sample), switch }
    }

    /// The other processes that hold most of the device's memory, as the probe that answers has them.
    pub fn occupants(&mut self) -> Vec<Occupant> {
        let answering = self.answering.and_then(|place| self.links.get_mut(place));
        answering.map(|link| link.probe.occupants()).unwrap_or_default()
    }

    /// Every probe's name and what is wrong with it, best first.
    pub fn standing(&self) -> impl Iterator<Item = (&'static str, Option<&ProbeError>)> {
        self.links.iter().map(|link| (link.probe.name(), link.trouble.as_ref().map(|(error, _)| error)))
    }

    fn first_believed(&mut self, now: Instant) -> Option<(usize, Sample)> {
        self.round += 1;
        // Those in trouble rest, unless nobody else is left to ask.
        for wake_resting in [false, true] {
            for (place, link) in self.links.iter_mut().enumerate() {
                let asked = link.asked_in == self.round;
                if asked || (link.rests(now, &self.settings) && !wake_resting) {
                    continue;
                }
                link.asked_in = self.round;
                match link.sample(now, &self.settings) {
                    Ok(sample) => {
                        link.trouble = None;
                        let standing = if place == 0 { Standing::Primary } else { Standing::Fallback };
                        return Some((place, Sample { standing, ..sample }));
                    }
                    Err(error) => link.trouble = Some((error, now)),
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
