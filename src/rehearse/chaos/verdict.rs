//! What counts as failed in a scenario that nobody wrote: never anything lost, leaked, wedged or panicking, and an end of
//! every pressure and standstill of the node's own within fixed times. Pure.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::rehearse::report::Report;
use crate::rehearse::scenario::Expectations;

/// The longest that states of the node's own making may last, in simulated time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bounds {
    /// Own use at the hard limit, until the first remedy.
    pub until_remedy: Duration,
    /// Own use at the hard limit, until it is below or the process has ended.
    pub until_relief: Duration,
    /// A device that takes nothing in though nothing is open there.
    pub not_accepting: Duration,
    /// A device on which slots are open, and nothing is done for any of them.
    pub not_working: Duration,
}

impl Bounds {
    /// What every scenario is held to. A remedy is due at the next look, and twice by then it has been seen whether trimming
    /// was enough; ten minutes are a restart of every model one after the other and of the process; a quarter of an hour
    /// is what an operator's first alert waits.
    pub const FIXED: Self = Self {
        until_remedy: Duration::from_secs(60),
        until_relief: Duration::from_secs(600),
        not_accepting: Duration::from_secs(900),
        not_working: Duration::from_secs(900),
    };

    /// The same as a scenario expects it.
    pub(super) fn expectations(self) -> Expectations {
        Expectations {
            until_remedy: Some(self.until_remedy),
            until_relief: Some(self.until_relief),
            not_accepting: Some(self.not_accepting),
            not_working: Some(self.not_working),
            ..Expectations::default()
        }
    }
}

/// A way to fail, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It could not be played at all: a fault of the generator.
    Unplayable,
    /// A promised slot neither ended nor stands in the journal.
    Lost,
    /// A lease never came back.
    Leaked,
    /// Something panicked that was not played.
    Panicked,
    /// It ran into its limit, or did not end when told to.
    Wedged,
    /// Own use at the hard limit, and nothing done about it in time.
    NoRemedy,
    /// Own use at the hard limit for too long.
    NoRelief,
    /// Nothing taken in for too long, though nothing was open and nothing but the node stood in the way.
    NotAccepting,
    /// Nothing done for open slots for too long, though nothing but the node stood in the way.
    NotWorking,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unplayable => "unplayable",
            Self::Lost => "lost",
            Self::Leaked => "leaked",
            Self::Panicked => "panicked",
            Self::Wedged => "wedged",
            Self::NoRemedy => "no remedy",
            Self::NoRelief => "no relief",
            Self::NotAccepting => "not accepting",
            Self::NotWorking => "not working",
        })
    }
}

/// Every way in which `report` has failed, the worst first, each with its values.
pub(super) fn judge(report: &Report, bounds: &Bounds) -> Vec<(Way, String)> {
    let mut found = Vec::new();
    let mut when = |failed: bool, way: Way, why: &dyn Fn() -> String| {
        if failed {
            found.push((way, why()));
        }
    };
    let over =
        |what: &str, is: Duration, most: Duration| format!("{is:.1?} {what}, at most {most:.1?} may be");
    when(report.lost > 0, Way::Lost, &|| format!("{} slots", report.lost));
    when(report.leases_leaked > 0, Way::Leaked, &|| format!("{} leases", report.leases_leaked));
    when(!report.panics.is_empty(), Way::Panicked, &|| report.panics.join("; "));
    when(report.broken_off, Way::Wedged, &|| {
        format!("not over after {:.0?} of simulated time", report.simulated)
    });
    let (remedy, relief) = (report.until_remedy, report.until_relief);
    when(remedy > bounds.until_remedy, Way::NoRemedy, &|| {
        over("above the hard limit without a remedy", remedy, bounds.until_remedy)
    });
    when(relief > bounds.until_relief, Way::NoRelief, &|| {
        over("above the hard limit", relief, bounds.until_relief)
    });
    for (way, standstill, most) in [
        (Way::NotAccepting, &report.not_accepting, bounds.not_accepting),
        (Way::NotWorking, &report.not_working, bounds.not_working),
    ] {
        if let Some(it) = standstill.as_ref().filter(|it| it.lasted > most) {
            let (since, device, cause) = (it.since, it.device, &it.cause);
            let what = over(&way.to_string(), it.lasted, most);
            found.push((way, format!("{what}; {device}, from {since:.0?} on: {cause}")));
        }
    }
    found
}
