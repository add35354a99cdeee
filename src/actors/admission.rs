//! Whether a slot may come in: pressure, readiness, queue and deadline to an answer with an expected time.
//!
//! Pure. Never queues anything itself; refusing at once is kinder than accepting what cannot be kept.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::plan::{Costs, Estimates, Plan, PlanPolicy};
use crate::events::Closed;
use crate::journal::Outputs;
use crate::types::{Deadline, SlotId, TraceParent};
use crate::vram::policy::PressureCause;

/// A slot that somebody wants.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its id.
    pub slot: SlotId,
    /// The recipe, for the pipeline.
    pub recipe: Arc<[u8]>,
    /// By when.
    pub deadline: Deadline,
    /// The trace that it belongs to, where it came with one.
    pub traceparent: Option<TraceParent>,
    /// Of the stages that are finished already: it goes on after them. Empty for a slot that nobody has begun.
    pub outputs: Outputs,
}

/// The answer to a request: when the slot is expected to be done, or why it may not come in.
pub(crate) type Answer = Result<Duration, Refusal>;

/// What keeps use above a limit, or a run from beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pressing {
    /// Whose memory it is.
    pub(super) cause: PressureCause,
    /// When it may be over, where that can be said.
    pub(super) relief: Option<Duration>,
}

/// What the node looks like from outside at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Why nothing may come in at all, if so.
    pub closed: Option<Closed>,
    /// Whose memory keeps it closed, where that is memory, and when that may be over.
    pub pressing: Option<Pressing>,
    /// Accepted slots that have not ended.
    pub open: usize,
    /// The most there may be.
    pub capacity: NonZeroUsize,
}

/// Why a slot was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Refusal {
    /// Memory stands above a limit.
    #[error("memory is under pressure{}; try again in {retry_after:.1?}", by(*cause))]
    Pressure {
        /// Whose memory it is, where that is known by now.
        cause: Option<PressureCause>,
        /// When another try makes sense: where it is others', when they may have given it back.
        retry_after: Duration,
    },
    /// A model is not ready.
    #[error("the node is not ready; try again in {retry_after:.1?}")]
    NotReady {
        /// When another try makes sense.
        retry_after: Duration,
    },
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Draining,
    /// As many slots are open as there may be.
    #[error("{open} slots are open, {capacity} may be; try again in {retry_after:.1?}")]
    QueueFull {
        /// Open now.
        open: usize,
        /// Allowed.
        capacity: usize,
        /// When one is expected to have ended.
        retry_after: Duration,
    },
    /// It would be late.
    #[error("it would be done in {eta:.1?}, but its deadline is in {left:.1?}")]
    TooLate {
        /// Expected time to the end, buffer included.
        eta: Duration,
        /// Time to the deadline.
        left: Duration,
    },
    /// A slot of this id is open already.
    #[error("a slot of this id is open already")]
    Duplicate,
    /// The recipe makes no job.
    #[error("the recipe cannot be carried out: {0}")]
    Recipe(String),
    /// The journal could not write it down, so it may not be accepted.
    #[error("the journal could not write it down: {0}")]
    Journal(String),
}

fn by(cause: Option<PressureCause>) -> &'static str {
    match cause {
        Some(PressureCause::Others) => " of other processes",
        Some(PressureCause::Ours | PressureCause::Leased | PressureCause::Unknown) | None => "",
    }
}

impl Refusal {
    /// The name in metrics and reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pressure { .. } => "pressure",
            Self::NotReady { .. } => "not_ready",
            Self::Draining => "draining",
            Self::QueueFull { .. } => "queue_full",
            Self::TooLate { .. } => "too_late",
            Self::Duplicate => "duplicate",
            Self::Recipe(_) => "recipe",
            Self::Journal(_) => "journal",
        }
    }
}

/// The answer: when the slot is expected to be done, or why it may not come in.
///
/// Slots ahead cost the slowest stage each, since stages of different slots overlap; the slot itself what `plan` has left
/// of its walk.
pub(super) fn admit(
    standing: &Standing,
    deadline: Deadline,
    policy: &PlanPolicy,
    estimates: &Estimates,
    costs: &Costs,
    plan: &Plan,
    now: Instant,
) -> Result<Duration, Refusal> {
    let slot = estimates.bottleneck(costs);
    let ahead = slot.saturating_mul(u32::try_from(standing.open).unwrap_or(u32::MAX));
    match standing.closed {
        Some(Closed::Draining) => return Err(Refusal::Draining),
        Some(Closed::Pressure) => {
            let cause = standing.pressing.map(|it| it.cause);
            let retry_after = standing.pressing.and_then(|it| it.relief).unwrap_or(slot);
            return Err(Refusal::Pressure { cause, retry_after });
        }
        Some(Closed::NotReady) => return Err(Refusal::NotReady { retry_after: slot }),
        None => {}
    }
    let eta = ahead.saturating_add(plan.remaining(estimates, costs, now));
    if !deadline.allows(now, eta, policy.buffer) {
        return Err(Refusal::TooLate {
            eta: eta.saturating_add(policy.buffer),
            left: deadline.remaining(now),
        });
    }
    if standing.open >= standing.capacity.get() {
        let (open, capacity) = (standing.open, standing.capacity.get());
        return Err(Refusal::QueueFull { open, capacity, retry_after: slot });
    }
    Ok(eta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Stage;

    const UNIT: Costs = Costs::from_array([1.0; 5]);

    fn ask(closed: Option<Closed>, open: usize, budget: u64) -> Result<Duration, Refusal> {
        ask_with(closed, open, budget, |_| false)
    }

    fn ask_with(
        closed: Option<Closed>,
        open: usize,
        budget: u64,
        done: impl Fn(Stage) -> bool,
    ) -> Result<Duration, Refusal> {
        let (now, policy) = (crate::clock::now(), PlanPolicy::default());
        let standing =
            Standing { closed, pressing: None, open, capacity: NonZeroUsize::MIN.saturating_add(3) };
        let deadline = Deadline::after(now, Duration::from_secs(budget)).unwrap();
        let plan = Plan::resume(done);
        admit(&standing, deadline, &policy, &Estimates::new(&policy), &UNIT, &plan, now)
    }

    #[test]
    fn an_idle_node_promises_the_length_of_the_walk() {
        assert_eq!(ask(None, 0, 3600), Ok(Duration::from_secs(21)));
    }

    #[test]
    fn finished_stages_cost_nothing_any_more() {
        let done = |stage| matches!(stage, Stage::Audio | Stage::Image);
        let (whole, left) = (ask(None, 0, 3600).unwrap(), ask_with(None, 0, 3600, done).unwrap());
        let estimates = Estimates::new(&PlanPolicy::default());
        let begin = estimates.of(Stage::Audio, &UNIT).max(estimates.of(Stage::Image, &UNIT));
        assert!(!begin.is_zero());
        assert_eq!(whole - left, begin);
        // In time only because of them.
        let budget = left.as_secs() + 5;
        assert!(ask_with(None, 0, budget, done).is_ok() && ask(None, 0, budget).is_err());
    }

    #[test]
    fn every_slot_ahead_costs_the_slowest_stage() {
        assert_eq!(ask(None, 3, 3600), Ok(Duration::from_secs(36 + 21)));
    }

    #[test]
    fn what_cannot_make_its_deadline_is_refused_with_the_expected_time() {
        assert_eq!(ask(None, 0, 26), Ok(Duration::from_secs(21)));
        let (eta, left) = (Duration::from_secs(26), Duration::from_secs(25));
        assert_eq!(ask(None, 0, 25), Err(Refusal::TooLate { eta, left }));
    }

    #[test]
    fn a_full_queue_says_when_to_come_back() {
        let retry_after = Duration::from_secs(12);
        assert_eq!(ask(None, 4, 3600), Err(Refusal::QueueFull { open: 4, capacity: 4, retry_after }));
    }

    #[test]
    fn a_closed_node_refuses_whatever_the_deadline() {
        assert_eq!(ask(Some(Closed::Draining), 0, 3600), Err(Refusal::Draining));
        for closed in [Closed::Pressure, Closed::NotReady] {
            assert!(ask(Some(closed), 0, 3600).is_err());
        }
    }

    #[test]
    fn under_pressure_by_others_a_refusal_says_whose_it_is_and_when_it_may_be_over() {
        let (now, policy) = (crate::clock::now(), PlanPolicy::default());
        let refused = |pressing| {
            let closed = Some(Closed::Pressure);
            let standing = Standing { closed, pressing, open: 0, capacity: NonZeroUsize::MIN };
            let deadline = Deadline::after(now, Duration::from_secs(3600)).unwrap();
            let plan = Plan::resume(|_| false);
            admit(&standing, deadline, &policy, &Estimates::new(&policy), &UNIT, &plan, now).unwrap_err()
        };
        let relief = Some(Duration::from_secs(95));
        let by_others = refused(Some(Pressing { cause: PressureCause::Others, relief }));
        let text = "memory is under pressure of other processes; try again in 95.0s";
        assert_eq!(by_others.to_string(), text);
        let data = serde_json::to_value(&by_others).unwrap();
        assert_eq!((&data["reason"], &data["cause"]), (&"pressure".into(), &"others".into()), "{data}");
        let (cause, relief) = (PressureCause::Ours, None);
        let retry_after = Duration::from_secs(12);
        let ours = Refusal::Pressure { cause: Some(cause), retry_after };
        assert_eq!(refused(Some(Pressing { cause, relief })), ours, "a slot's length where nothing is known");
        assert_eq!(refused(None), Refusal::Pressure { cause: None, retry_after });
    }
}
