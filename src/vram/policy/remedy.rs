//! What follows where use stands above a limit, or a run cannot have its memory though no level stands: whose memory it
//! is, and one remedy after the other until it clears.
//!
//! Pure, of fixed size; no clock, no I/O, no allocation. What this process uses beyond what its leases stand for is its
//! own doing, and something always follows: trims (asked for by the pressure policy), then suspects one at a time, the
//! largest unexplained share first, at a slot's boundary while soft and at once while hard, and in the end the device.
//! What other processes use is waited out.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::pressure::Level;
use crate::types::{Bytes, ModelId, PerModel};

/// Whose memory keeps use above a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PressureCause {
    /// This process's, beyond what its leases stand for: a leak, or memory that was not returned.
    Ours,
    /// This process's, as its leases promise: it passes with the runs that hold them.
    Leased,
    /// Other processes'.
    Others,
    /// No probe tells this process and others apart.
    Unknown,
}

impl PressureCause {
    /// As written in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Leased => "leased",
            Self::Others => "others",
            Self::Unknown => "unknown",
        }
    }
}

/// One model as a suspect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suspect {
    /// What its resident lease stands for.
    pub resident: Bytes,
    /// How far its use, as attributed, lies above its budget.
    pub beyond_budget: Bytes,
    /// What is put down to it beyond its lease.
    pub unexplained: Bytes,
    /// Whether it could be restarted: ready, at work or giving back memory.
    pub is_up: bool,
    /// Whether it is on its way back.
    pub is_coming: bool,
}

impl Suspect {
    /// Whether something is put down to it that an allocator's habits do not explain.
    fn has_grown(&self, tolerance: Bytes) -> bool {
        self.beyond_budget > Bytes::ZERO || self.unexplained > tolerance
    }
}

/// A device at one look.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// As the pressure policy has it.
    pub level: Level,
    /// Used by anyone.
    pub used: Bytes,
    /// Used by this process, where a probe tells; without what its pool holds for its own next allocation.
    pub own: Option<Bytes>,
    /// What this process used before any model, and what its leases stand for.
    pub expected: Bytes,
    /// Below it the level clears.
    pub floor: Bytes,
    /// What an allocator may keep without being a suspect.
    pub tolerance: Bytes,
    /// The models.
    pub suspects: PerModel<Suspect>,
    /// What a run that waits for memory lacks, even with every other run over; zero where none waits.
    pub missing: Bytes,
    /// Whether no run is under way.
    pub is_idle: bool,
}

impl Scene {
    /// What this process uses beyond what is expected of it; where no probe tells it apart, what everyone does.
    pub fn unexplained(&self) -> Bytes {
        self.own.unwrap_or(self.used).saturating_sub(self.expected)
    }

    /// Used by other processes; nothing where no probe tells them apart.
    pub fn others(&self) -> Bytes {
        self.own.map(|own| self.used.saturating_sub(own)).unwrap_or_default()
    }

    /// Whether nothing is wrong: no level stands, and no run waits for memory that leases do not take.
    pub fn is_calm(&self) -> bool {
        self.level == Level::Normal && self.missing == Bytes::ZERO
    }

    /// Whose memory it is that keeps the level from clearing, or a run from beginning.
    pub fn cause(&self) -> PressureCause {
        let Some(own) = self.own else { return PressureCause::Unknown };
        let unexplained = self.unexplained();
        // A run that cannot begin is no allocator's habit, however little it lacks.
        let keeps_a_run = self.missing > Bytes::ZERO && unexplained >= self.missing;
        let is_ours = unexplained > self.tolerance;
        let keeps_the_level =
            is_ours && (own >= self.floor || self.used.saturating_sub(unexplained) < self.floor);
        if keeps_a_run || (self.level > Level::Normal && keeps_the_level) {
            PressureCause::Ours
        } else if self.level == Level::Normal {
            if self.others() >= self.missing { PressureCause::Others } else { PressureCause::Leased }
        } else if own >= self.floor || self.used < self.floor {
            PressureCause::Leased
        } else {
            PressureCause::Others
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "remedy", content = "model", rename_all = "snake_case")]
pub enum MemoryRemedy {
    /// Restart this model at the next slot's boundary.
    PlanRestart(ModelId),
    /// Restart this model now.
    Restart(ModelId),
    /// Give the device up; with the last one the process ends and a new one begins with empty memory.
    GiveUpDevice,
}

impl MemoryRemedy {
    /// As written in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PlanRestart(_) => "plan_restart",
            Self::Restart(_) => "restart",
            Self::GiveUpDevice => "give_up_device",
        }
    }

    /// The model that it is for.
    pub const fn model(self) -> Option<ModelId> {
        match self {
            Self::PlanRestart(model) | Self::Restart(model) => Some(model),
            Self::GiveUpDevice => None,
        }
    }
}

/// How long what may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemedySettings {
    /// For a remedy to show in the samples.
    pub settle: Duration,
    /// At the soft limit before a model is restarted: trims and ending slots come first.
    pub soft: Duration,
    /// For a planned restart to find its boundary before it is asked for again.
    pub boundary: Duration,
    /// At the hard limit by our own memory, whatever was tried; then the device is given up.
    pub hard_at_most: Duration,
    /// At the soft limit by our own memory with nothing in work, whatever was tried; then the device is given up.
    pub idle_at_most: Duration,
}

impl Default for RemedySettings {
    /// A trim or a restart shows within ten seconds; a model is back within a minute or two; five of them may have to be
    /// tried. Bounded so that a node stands above its hard limit for five minutes, and idle for eight, at most.
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(10),
            soft: Duration::from_secs(30),
            boundary: Duration::from_secs(60),
            hard_at_most: Duration::from_secs(300),
            idle_at_most: Duration::from_secs(480),
        }
    }
}

/// What was tried since use rose above a limit.
#[derive(Clone, Copy, Debug)]
pub struct RemedyPolicy {
    settings: RemedySettings,
    /// It has been our own memory; at the hard limit; with no run under way.
    ours: Lasting,
    hard: Lasting,
    idle: Lasting,
    last_at: Option<Instant>,
    planned_at: Option<Instant>,
    tried: PerModel<bool>,
}

impl RemedyPolicy {
    /// Nothing was tried yet.
    pub fn new(settings: RemedySettings) -> Self {
        Self {
            settings,
            ours: Lasting::default(),
            hard: Lasting::default(),
            idle: Lasting::default(),
            last_at: None,
            planned_at: None,
            tried: PerModel::default(),
        }
    }

    /// `model` was dropped, for whatever reason, at `now`: as good as tried, and its return has to show first.
    pub fn dropped(&mut self, model: ModelId, now: Instant) {
        self.tried[model] = true;
        self.planned_at = None;
        self.last_at = Some(now);
    }

    /// The remedy that is due, if one is. Enters it as tried.
    pub fn assess(&mut self, scene: &Scene, now: Instant) -> Option<MemoryRemedy> {
        if scene.is_calm() {
            *self = Self::new(self.settings);
            return None;
        }
        let is_hard = scene.level == Level::Hard;
        let is_ours = scene.cause() == PressureCause::Ours;
        let settle = self.settings.settle;
        let was_ours = self.ours.is_begun();
        let ours_since = self.ours.since(is_ours, settle, now);
        let hard_since = self.hard.since(is_ours && is_hard, settle, now);
        let idle_since = self.idle.since(is_ours && scene.is_idle, Duration::ZERO, now);
        if was_ours && !self.ours.is_begun() {
            // What was tried has helped, though others keep the level up: whoever grows again is tried again.
            (self.tried, self.planned_at) = (PerModel::default(), None);
        }
        let longer = |since: Option<Instant>, than: Duration| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= than)
        };

        let settled = self.last_at.is_none_or(|at| now.saturating_duration_since(at) >= self.settings.settle);
        if !settled {
            return None;
        }
        if longer(hard_since, self.settings.hard_at_most) || longer(idle_since, self.settings.idle_at_most) {
            self.last_at = Some(now);
            return Some(MemoryRemedy::GiveUpDevice);
        }
        // What is on its way back may be the last remedy; at the hard limit it is not waited for long.
        let is_coming = scene.suspects.values().any(|suspect| suspect.is_coming);
        if is_coming && !longer(hard_since, self.settings.soft) {
            return None;
        }
        let named = self.suspect(scene, true);
        let next = named.or_else(|| if is_ours { self.suspect(scene, false) } else { None });
        if is_hard {
            // Whoever has grown goes at once; where nobody is named, what ends by itself gets the time to.
            let waited = longer(hard_since, self.settings.settle);
            match next.filter(|_| named.is_some() || waited) {
                Some(model) => return Some(self.restart(model, now)),
                None if waited && self.all_tried(scene) => {
                    self.last_at = Some(now);
                    return Some(MemoryRemedy::GiveUpDevice);
                }
                None => return None,
            }
        }
        if !longer(ours_since, self.settings.soft) {
            return None;
        }
        match next {
            Some(_) if self.planned_at.is_some() && !longer(self.planned_at, self.settings.boundary) => None,
            Some(model) => {
                self.planned_at = Some(now);
                Some(MemoryRemedy::PlanRestart(model))
            }
            None if scene.is_idle && self.all_tried(scene) => {
                self.last_at = Some(now);
                Some(MemoryRemedy::GiveUpDevice)
            }
            None => None,
        }
    }

    fn restart(&mut self, model: ModelId, now: Instant) -> MemoryRemedy {
        self.tried[model] = true;
        self.last_at = Some(now);
        MemoryRemedy::Restart(model)
    }

    /// The next suspect: the one furthest beyond its budget, then the largest unexplained share, then the largest model.
    /// Where only the `named` count, those that something is put down to. None is tried twice before the level clears.
    fn suspect(&self, scene: &Scene, named: bool) -> Option<ModelId> {
        let eligible = scene.suspects.iter().filter(|(model, suspect)| {
            suspect.is_up && !self.tried[*model] && (!named || suspect.has_grown(scene.tolerance))
        });
        eligible
            .max_by_key(|(model, suspect)| {
                (suspect.beyond_budget, suspect.unexplained, suspect.resident, Reverse(*model))
            })
            .map(|(model, _)| model)
    }

    /// Whether every model that could be restarted was.
    fn all_tried(&self, scene: &Scene) -> bool {
        scene
            .suspects
            .iter()
            .all(|(model, suspect)| self.tried[model] || !(suspect.is_up || suspect.is_coming))
    }
}

/// Since when something is so, and when it was last seen to be. A look caught between a lease and its memory is no end.
#[derive(Clone, Copy, Debug, Default)]
struct Lasting(Option<(Instant, Instant)>);

impl Lasting {
    fn is_begun(&self) -> bool {
        self.0.is_some()
    }

    /// Since when it is so, without a break of `gap` or more; none while it is not.
    fn since(&mut self, is_so: bool, gap: Duration, now: Instant) -> Option<Instant> {
        self.0 = match self.0 {
            Some((since, _)) if is_so => Some((since, now)),
            None if is_so => Some((now, now)),
            Some((_, last)) if now.saturating_duration_since(last) >= gap => None,
            kept => kept,
        };
        self.0.filter(|_| is_so).map(|(since, _)| since)
    }
}

#[cfg(test)]
mod tests;
