//! Whether a device is alive and yet of no use, for too long: it takes nothing in although nothing is open, or slots are
//! open and nothing is done for any of them.
//!
//! Pure. Every state of a model, a slot and an actor has a deadline of its own; this is the deadline of the whole, for
//! what slips between them: a message lost, a cause that nobody saw. What others' memory or a coming model explains is
//! no fault, and looked at again later.

use std::fmt;
use std::time::{Duration, Instant};

use super::messages::Activity;
use super::registry::ModelState;
use crate::events::Closed;
use crate::types::PerModel;
use crate::vram::policy::PressureCause;

/// Models that go down so often while nothing comes in are not on their way.
const FAILING: u64 = 4;

/// Why a device is of no use at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Useless {
    /// It takes nothing in, and nothing is open.
    Closed(Closed),
    /// Slots are open, and nothing is done for them.
    Waiting,
}

impl Useless {
    fn of(closed: Option<Closed>, activity: Activity) -> Option<Self> {
        match activity {
            // Whoever ends has a deadline of its own.
            Activity::Waiting if closed != Some(Closed::Draining) => Some(Self::Waiting),
            Activity::Idle => closed.map(Self::Closed),
            Activity::Waiting | Activity::AtWork => None,
        }
    }
}

impl fmt::Display for Useless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(closed) => {
                write!(f, "no slot could come in ({}) although none was open", closed.name())
            }
            Self::Waiting => f.write_str("nothing was done although slots were open"),
        }
    }
}

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
    fn explains(&self, useless: Useless, downs_before: u64) -> bool {
        let by_others = self.cause == Some(PressureCause::Others);
        match useless {
            Useless::Closed(Closed::Draining) => true,
            Useless::Closed(Closed::Pressure) => by_others,
            Useless::Closed(Closed::NotReady) => self.is_coming(downs_before),
            Useless::Waiting => by_others || self.is_coming(downs_before),
        }
    }

    /// A load may take long; one that fails again and again brings nothing.
    fn is_coming(&self, downs_before: u64) -> bool {
        let is_failing = self.downs.saturating_sub(downs_before) >= FAILING;
        !is_failing && self.states.values().any(|state| state.is_coming())
    }
}

/// Since when a device has been of no use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    at_most: Duration,
    stuck: Option<(Useless, Instant)>,
    downs_before: u64,
    asked_at: Option<Instant>,
}

impl Liveness {
    /// A fault after `at_most`.
    pub(super) fn new(at_most: Duration) -> Self {
        Self { at_most, stuck: None, downs_before: 0, asked_at: None }
    }

    /// Admission has changed, or what is done; models went down `downs` times so far.
    pub(super) fn observe(&mut self, closed: Option<Closed>, activity: Activity, downs: u64, now: Instant) {
        if self.stuck.is_none() {
            self.downs_before = downs;
        }
        let since = self.stuck.map_or(now, |(_, since)| since);
        self.stuck = Useless::of(closed, activity).map(|useless| (useless, since));
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
        let (useless, since) = self.stuck?;
        if self.deadline()? > now {
            return None;
        }
        if view.explains(useless, self.downs_before) {
            // The time that it explains does not count.
            (self.stuck, self.downs_before, self.asked_at) = (Some((useless, now)), view.downs, None);
            return None;
        }
        self.asked_at = Some(now);
        let stuck = now.saturating_duration_since(since);
        Some(format!("{useless}, for {stuck:.0?}"))
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
        liveness.observe(Some(Closed::Pressure), Activity::Idle, 2, start);
        assert_eq!(liveness.deadline(), Some(start + seconds(600)));
        // Another reason changes nothing of the time.
        liveness.observe(Some(Closed::NotReady), Activity::Idle, 2, start + seconds(300));
        assert_eq!(liveness.fault(&READY, start + seconds(599)), None);
        let told = liveness.fault(&READY, start + seconds(600)).unwrap();
        assert!(told.contains("(not_ready)") && told.ends_with("for 600s"), "{told}");
        assert_eq!(liveness.fault(&READY, start + seconds(700)), None, "told once in that time");
        assert!(liveness.fault(&READY, start + seconds(1200)).is_some());
    }

    #[test]
    fn open_slots_or_an_open_door_begin_anew() {
        let (start, mut liveness) = (crate::clock::now(), Liveness::new(seconds(60)));
        for (closed, activity) in [(None, Activity::Idle), (Some(Closed::Pressure), Activity::AtWork)] {
            liveness.observe(Some(Closed::Pressure), Activity::Idle, 2, start);
            liveness.observe(closed, activity, 2, start + seconds(30));
            assert_eq!(liveness.deadline(), None);
            liveness.observe(Some(Closed::Pressure), Activity::Idle, 2, start + seconds(40));
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
            liveness.observe(Some(closed), Activity::Idle, 2, start);
            assert_eq!(liveness.fault(&view, start + seconds(60)), None);
            assert_eq!(liveness.deadline(), Some(start + seconds(120)));
            let bare = liveness.fault(&READY, start + seconds(120));
            assert_eq!(bare.is_some(), closed != Closed::Draining, "{closed:?}");
        }
        let mut liveness = Liveness::new(seconds(60));
        liveness.observe(Some(Closed::Pressure), Activity::Idle, 2, start);
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
            liveness.observe(Some(Closed::NotReady), Activity::Idle, 2, start);
            let fault = liveness.fault(&View { states, downs, ..READY }, start + seconds(60));
            assert_eq!(fault.is_some(), is_fault, "{downs}");
        }
    }

    #[test]
    fn open_slots_for_which_nothing_is_done_are_a_fault_however_open_the_door_is() {
        let start = crate::clock::now();
        for closed in [None, Some(Closed::Pressure)] {
            let mut liveness = Liveness::new(seconds(60));
            liveness.observe(closed, Activity::Waiting, 2, start);
            let told = liveness.fault(&READY, start + seconds(60)).unwrap();
            assert!(told.contains("although slots were open"), "{told}");
        }
        // The last of them ends at its deadline, and nothing comes in after it: no new beginning.
        let mut liveness = Liveness::new(seconds(60));
        liveness.observe(None, Activity::Waiting, 2, start);
        liveness.observe(Some(Closed::Pressure), Activity::Idle, 2, start + seconds(50));
        assert!(liveness.fault(&READY, start + seconds(60)).is_some());
    }

    #[test]
    fn open_slots_that_wait_for_others_memory_a_coming_model_or_the_end_are_no_fault() {
        let start = crate::clock::now();
        let others = View { cause: Some(PressureCause::Others), ..READY };
        let coming = View {
            states: enum_map! { crate::types::ModelId::Flux => ModelState::Loading, _ => ModelState::Ready },
            ..READY
        };
        for (view, is_fault) in [(READY, true), (others, false), (coming, false)] {
            let mut liveness = Liveness::new(seconds(60));
            liveness.observe(None, Activity::Waiting, 2, start);
            assert_eq!(liveness.fault(&view, start + seconds(60)).is_some(), is_fault, "{view:?}");
        }
        let mut failing = Liveness::new(seconds(60));
        failing.observe(None, Activity::Waiting, 2, start);
        assert!(failing.fault(&View { downs: 6, ..coming }, start + seconds(60)).is_some());
        let mut draining = Liveness::new(seconds(60));
        draining.observe(Some(Closed::Draining), Activity::Waiting, 2, start);
        assert_eq!(draining.deadline(), None, "a drain has a deadline of its own");
    }
}
