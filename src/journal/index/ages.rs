//! How old what was written is, by a wall clock that may jump.
//!
//! The wall clock is compared with the clock that counts from the machine's start and that nobody sets. What they disagree
//! by is a jump: it makes nothing older. Owns the file that says where both stood last, and which jumps there were, so that
//! a jump between two processes is noticed as well. Expires nothing itself.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::UnixTime;
use crate::clock;

#[cfg(test)]
mod tests;

/// What a clock is put right by without a word: more than any slewing, less than anything is kept.
const SLACK: Duration = Duration::from_secs(60);
/// A machine that was off for longer is taken for one whose clock jumped: what it keeps is kept as much longer.
const LONGEST_OFF: Duration = Duration::from_secs(7 * 24 * 3600);
/// So many jumps are remembered; then the two oldest become one.
const MOST_JUMPS: usize = 16;

/// Both clocks at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reading {
    wall: UnixTime,
    /// Since the machine's start …
    since_boot: Duration,
    /// … of this name; empty where the system gives none.
    boot: String,
}

impl Reading {
    fn now(boot: &str) -> Self {
        Self { wall: clock::unix_time(), since_boot: clock::since_boot(), boot: boot.to_owned() }
    }
}

/// The wall clock was set forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Jump {
    /// Where it stood.
    from: UnixTime,
    /// How far it went.
    by: Duration,
}

impl Jump {
    fn to(self) -> UnixTime {
        self.from.saturating_add(self.by)
    }
}

/// The wall clock was set back: times between were written before it, or once it had come there again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SetBack {
    /// Where it stood.
    from: UnixTime,
    /// Where it went.
    to: UnixTime,
}

/// What was seen of the clocks so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Seen {
    last: Option<Reading>,
    /// Oldest first.
    jumps: Vec<Jump>,
    /// Oldest first.
    set_back: Vec<SetBack>,
}

/// What a look at the clocks showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noticed {
    Nothing,
    Forward(Duration),
    Back(Duration),
}

impl Seen {
    fn look(&mut self, now: &Reading) -> Noticed {
        let Some(last) = self.last.replace(now.clone()) else { return Noticed::Nothing };
        let same_boot = !now.boot.is_empty() && last.boot == now.boot;
        let passed = now.since_boot.checked_sub(last.since_boot).filter(|_| same_boot);
        let off = now.wall.checked_sub(last.wall).filter(|off| *off <= LONGEST_OFF);
        let expected = match passed.or(off) {
            Some(passed) => last.wall.saturating_add(passed),
            // Nothing says how much of this is true.
            None => last.wall,
        };
        if let Some(by) = now.wall.checked_sub(expected).filter(|by| *by > SLACK) {
            self.jumps.push(Jump { from: expected, by });
            self.bound();
            Noticed::Forward(by)
        } else if let Some(by) = expected.checked_sub(now.wall).filter(|by| *by > SLACK) {
            self.set_back(by, expected, now.wall);
            Noticed::Back(by)
        } else {
            Noticed::Nothing
        }
    }

    /// Takes jumps back that the clock has been set back over.
    fn set_back(&mut self, by: Duration, from: UnixTime, now: UnixTime) {
        let mut left = by;
        while let Some(jump) = self.jumps.last_mut().filter(|jump| jump.to() > now && !left.is_zero()) {
            let back = left.min(jump.by);
            jump.by -= back;
            left -= back;
            if jump.by <= SLACK {
                self.jumps.pop();
            }
        }
        self.set_back.push(SetBack { from, to: now });
        if let [first, second, ..] = self.set_back[..]
            && self.set_back.len() > MOST_JUMPS
        {
            self.set_back[1] = SetBack { from: first.from.max(second.from), to: first.to.min(second.to) };
            self.set_back.remove(0);
        }
    }

    /// Of two jumps one is made that lets nothing be older than both did.
    fn bound(&mut self) {
        if let [first, second, ..] = self.jumps[..]
            && self.jumps.len() > MOST_JUMPS
        {
            self.jumps[1] = Jump { from: second.from, by: first.by.saturating_add(second.by) };
            self.jumps.remove(0);
        }
    }

    fn ages(&self) -> Ages {
        let now = self.last.as_ref().map_or(UnixTime::ZERO, |last| last.wall);
        Ages { now, jumps: self.jumps.clone(), set_back: self.set_back.clone() }
    }
}

/// The time that has passed since times that were written down, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ages {
    now: UnixTime,
    jumps: Vec<Jump>,
    set_back: Vec<SetBack>,
}

impl Ages {
    /// At `now`, of a clock that never jumped.
    pub const fn at(now: UnixTime) -> Self {
        Self { now, jumps: Vec::new(), set_back: Vec::new() }
    }

    /// The moment, by the wall clock.
    pub const fn now(&self) -> UnixTime {
        self.now
    }

    /// How long ago the wall clock said `then`; never more than that.
    pub fn of(&self, then: UnixTime) -> Duration {
        let before = self.set_back.iter().filter(|back| back.to < then && then <= back.from);
        let before = before.map(|back| self.passed_since(back.to)).min();
        match before {
            // The clock has not come there again: it was written before.
            Some(before) if then > self.now => before,
            // Before or after: nobody knows, and the younger one loses nothing.
            Some(before) => before.min(self.passed_since(then)),
            None => self.passed_since(then),
        }
    }

    /// The same where the clock was never set back.
    fn passed_since(&self, then: UnixTime) -> Duration {
        let since = self.jumps.iter().filter(|jump| then <= jump.from).map(|jump| jump.by);
        self.now.saturating_sub(since.fold(then, Duration::saturating_add))
    }

    /// What was written at this time or before is at least so old; nothing is where it is zero. Where jumps were made one,
    /// some of what is so old is left out.
    pub fn older_than(&self, age: Duration) -> UnixTime {
        let limit = self.now.saturating_sub(age);
        let limit = self.before_jumps(limit);
        // Times that the clock went back over are as old as that at most.
        self.set_back.iter().fold(limit, |limit, back| {
            if back.to < limit && self.passed_since(back.to) < age { back.to } else { limit }
        })
    }

    fn before_jumps(&self, limit: UnixTime) -> UnixTime {
        // What was written before a jump is made younger by it and by all later ones.
        let mut jumped: Duration = self.jumps.iter().map(|jump| jump.by).sum();
        for jump in &self.jumps {
            if jump.from.saturating_add(jumped) > limit {
                return limit.saturating_sub(jumped).min(jump.from);
            }
            jumped = jumped.saturating_sub(jump.by);
        }
        limit
    }
}

/// The clocks of one journal.
#[derive(Debug)]
pub(super) struct Clocks {
    path: PathBuf,
    /// The name of this start of the machine.
    boot: String,
    seen: Seen,
}

impl Clocks {
    /// As they were left in the file at `path`; one that is missing or damaged says nothing.
    pub(super) fn open(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_default();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let seen = serde_json::from_slice(&text).unwrap_or_default();
        Self { path: path.to_owned(), boot: boot.trim().to_owned(), seen }
    }

    /// What time it is. A jump is noticed here: whoever writes times down asks here, so that one that is taken back before
    /// the next look leaves no time behind that seems long past.
    pub(super) fn time(&mut self) -> UnixTime {
        let now = Reading::now(&self.boot);
        let time = now.wall;
        match self.seen.look(&now) {
            Noticed::Nothing => return time,
            Noticed::Forward(by) => tracing::warn!(
                seconds = by.as_secs(),
                "the wall clock was set forward, or the node was off for as long; nothing expires sooner for it"
            ),
            Noticed::Back(by) => tracing::warn!(seconds = by.as_secs(), "the wall clock was set back"),
        }
        self.write_down();
        time
    }

    /// Looks at the clocks, and writes down where they stand. Blocks for a moment.
    pub(super) fn look(&mut self) -> Ages {
        self.time();
        self.write_down();
        self.seen.ages()
    }

    fn write_down(&self) {
        if let Err(error) = self.keep() {
            tracing::debug!(%error, file = %self.path.display(), "where the clocks stand cannot be written");
        }
    }

    /// Not synced: after a power cut the file may be older or missing, and then a jump at that moment goes unnoticed.
    fn keep(&self) -> std::io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec(&self.seen)?)?;
        std::fs::rename(&beside, &self.path)
    }
}
