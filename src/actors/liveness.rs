//! Whether a device is alive and yet of no use: takes nothing in although nothing is open, for too long.
//!
//! Pure. Every state of a model, a slot and an actor has a deadline of its own; this is the deadline of the whole, for
//! what slips between them: a message lost, a cause that nobody saw. What others' memory or a coming model explains is
//! no fault, and looked at again later.

use std::time::{Duration, Instant};

use super::registry::ModelState;
use crate::events::Closed;
use crate::types::PerModel;
use crate::vram::policy::PressureCause;

/// Models that go down so often while nothing comes in are not on their way.
const FAILING: u64 = 4;

/// What a device says of itself when it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// What the models are doing.
    pub(super) states: PerModel<ModelState>,
    /// Whose memory keeps use above a limit, where it does.
    pub(super) cause: Option<PressureCause>,
    /// How often a model went down.
    pub(super) downs: u64,
}

impl View {
    /// Whether something with a deadline of its own, or outside of this process, explains why nothing comes in.
    fn explains(&self, closed: Closed, downs_before: u64) -> bool {
        match closed {
            Closed::Draining => true,
            Closed::Pressure => self.cause == Some(PressureCause::Others),
            // A load may take long; one that fails again and again brings nothing.
            Closed::NotReady => {
                let is_failing = self.downs.saturating_sub(downs_before) >= FAILING;
                !is_failing && self.states.values().any(|state| state.is_coming())
            }
        }
    }
}

/// Since when a device has taken nothing in although nothing is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    at_most: Duration,
    stuck: Option<(Closed, Instant)>,
    downs_before: u64,
    asked_at: Option<Instant>,
}

impl Liveness {
    /// A fault after `at_most`.
    pub(super) fn new(at_most: Duration) -> Self {
        Self { at_most, stuck: None, downs_before: 0, asked_at: None }
    }

    /// Admission or the number of open slots has changed; models went down `downs` times so far.
    pub(super) fn observe(&mut self, closed: Option<Closed>, is_idle: bool, downs: u64, now: Instant) {
        if self.stuck.is_none() {
            self.downs_before = downs;
        }
        self.stuck = match (closed.filter(|_| is_idle), self.stuck) {
            (Some(closed), Some((_, since))) => Some((closed, since)),
            (Some(closed), None) => Some((closed, now)),
            (None, _) => None,
        };
        if self.stuck.is_none() {
            self.asked_at = None;
        }
    }

    /// When to ask next; none while all is well.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (_, since) = self.stuck?;
        self.asked_at.unwrap_or(since).checked_add(self.at_most)
    }

    /// What is wrong at `now`, in words, where something is and `view` does not explain it.
    pub(super) fn fault(&mut self, view: &View, now: Instant) -> Option<String> {
        let (closed, since) = self.stuck?;
        if self.deadline()? > now {
            return None;
        }
        if view.explains(closed, self.downs_before) {
            // The time that it explains does not count.
            (self.stuck, self.downs_before, self.asked_at) = (Some((closed, now)), view.downs, None);
            return None;
        }
        self.asked_at = Some(now);
        let stuck = now.saturating_duration_since(since);
        Some(format!("no slot could come in for {stuck:.0?} ({}) although none was open", closed.name()))
    }
}

#[cfg(test)]
mod tests {
    use enum_map::enum_map;

    use super::*;

    const READY: View = View {
        states: PerModel::from_array([ModelState::Ready; 5]),
        cause: Some(PressureCause::Ours),
        downs: 2,
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn closed_without_anything_open_for_too_long_is_a_fault() {
        let (start, mut liveness) = (crate::clock::now(), Liveness::new(seconds(600)));
        assert_eq!(liveness.deadline(), None);
        liveness.observe(Some(Closed::Pressure), true, 2, start);
        assert_eq!(liveness.deadline(), Some(start + seconds(600)));
        // Another reason changes nothing of the time.
        liveness.observe(Some(Closed::NotReady), true, 2, start + seconds(300));
        assert_eq!(liveness.fault(&READY, start + seconds(599)), None);
        let told = liveness.fault(&READY, start + seconds(600)).unwrap();
        assert!(told.contains("for 600s (not_ready)"), "{told}");
        assert_eq!(liveness.fault(&READY, start + seconds(700)), None, "told once in that time");
        assert!(liveness.fault(&READY, start + seconds(1200)).is_some());
    }

    #[test]
    fn open_slots_or_an_open_door_begin_anew() {
        let (start, mut liveness) = (crate::clock::now(), Liveness::new(seconds(60)));
        for (closed, is_idle) in [(None, true), (Some(Closed::Pressure), false)] {
            liveness.observe(Some(Closed::Pressure), true, 2, start);
            liveness.observe(closed, is_idle, 2, start + seconds(30));
            assert_eq!(liveness.deadline(), None);
            liveness.observe(Some(Closed::Pressure), true, 2, start + seconds(40));
            assert_eq!(liveness.fault(&READY, start + seconds(99)), None);
            assert!(liveness.fault(&READY, start + seconds(100)).is_some());
        }
    }

    #[test]
    fn others_memory_coming_models_and_a_drain_are_no_fault_and_their_time_does_not_count() {
        let start = crate::clock::now();
        let others = View { cause: Some(PressureCause::Others), ..READY };
        let coming = View {
            states: enum_map! { crate::types::ModelId::Flux => ModelState::Loading, _ => ModelState::Ready },
            ..READY
        };
        for (closed, view) in
            [(Closed::Pressure, others), (Closed::NotReady, coming), (Closed::Draining, READY)]
        {
            let mut liveness = Liveness::new(seconds(60));
            liveness.observe(Some(closed), true, 2, start);
            assert_eq!(liveness.fault(&view, start + seconds(60)), None);
            assert_eq!(liveness.deadline(), Some(start + seconds(120)));
            let bare = liveness.fault(&READY, start + seconds(120));
            assert_eq!(bare.is_some(), closed != Closed::Draining, "{closed:?}");
        }
        let mut liveness = Liveness::new(seconds(60));
        liveness.observe(Some(Closed::Pressure), true, 2, start);
        assert!(
            liveness.fault(&coming, start + seconds(60)).is_some(),
            "a coming model explains no pressure"
        );
    }

    #[test]
    fn a_model_that_fails_again_and_again_is_not_on_its_way() {
        let start = crate::clock::now();
        let states =
            enum_map! { crate::types::ModelId::Flux => ModelState::Restarting, _ => ModelState::Ready };
        for (downs, is_fault) in [(5, false), (6, true)] {
            let mut liveness = Liveness::new(seconds(60));
            liveness.observe(Some(Closed::NotReady), true, 2, start);
            let fault = liveness.fault(&View { states, downs, ..READY }, start + seconds(60));
            assert_eq!(fault.is_some(), is_fault, "{downs}");
        }
    }
}
