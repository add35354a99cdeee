use proptest::prelude::*;

use super::*;

const UNIT: Costs = Costs::from_array([1.0; 5]);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn done_up_to(plan: &mut Plan, tasks: &[Task], now: Instant) {
    for task in tasks {
        plan.begin(*task, now);
        plan.complete(*task, now);
    }
}

#[test]
fn audio_and_image_go_side_by_side_and_the_rest_in_order() {
    let (now, mut plan) = (crate::clock::now(), Plan::resume(|_| false));
    let due = |plan: &Plan| plan.due().collect::<Vec<_>>();
    assert_eq!(due(&plan), [Task::Speak, Task::Paint]);
    done_up_to(&mut plan, &[Task::Paint], now);
    assert_eq!(due(&plan), [Task::Speak]);
    done_up_to(&mut plan, &[Task::Speak], now);
    assert_eq!(due(&plan), [Task::Animate]);
    done_up_to(&mut plan, &[Task::Animate], now);
    assert_eq!(due(&plan), [Task::ScoreB, Task::ScoreL]);
    done_up_to(&mut plan, &[Task::ScoreL, Task::ScoreB], now);
    assert_eq!(due(&plan), [Task::Package]);
    done_up_to(&mut plan, &[Task::Package], now);
    assert!(plan.finished());
}

#[test]
fn a_resumed_slot_begins_after_its_last_finished_stage() {
    let plan = Plan::resume(|stage| matches!(stage, Stage::Audio | Stage::Image));
    assert_eq!(plan.due().collect::<Vec<_>>(), [Task::Animate]);
}

#[test]
fn own_errors_and_timeouts_use_up_the_profiles_retries() {
    let (now, policy, mut plan) = (crate::clock::now(), PlanPolicy::default(), Plan::resume(|_| false));
    plan.begin(Task::Speak, now);
    assert_eq!(plan.setback(Task::Speak, Setback::TimedOut, &policy, now), Next::Again { counted: true });
    assert_eq!(plan.begin(Task::Speak, now), AttemptId::FIRST.next());
    assert_eq!(plan.setback(Task::Speak, Setback::Error(ErrorClass::Own), &policy, now), Next::GiveUp);
    plan.begin(Task::Paint, now);
    assert_eq!(plan.setback(Task::Paint, Setback::TimedOut, &policy, now), Next::GiveUp, "no retries there");
}

#[test]
fn a_stage_lost_to_a_restart_reruns_once_uncounted() {
    let (now, policy, mut plan) = (crate::clock::now(), PlanPolicy::default(), Plan::resume(|_| false));
    plan.begin(Task::Paint, now);
    assert_eq!(plan.setback(Task::Paint, Setback::Lost, &policy, now), Next::Again { counted: false });
    plan.begin(Task::Paint, now);
    assert_eq!(plan.setback(Task::Paint, Setback::Lost, &policy, now), Next::GiveUp, "image has no retries");
    plan.begin(Task::Speak, now);
    assert_eq!(plan.setback(Task::Speak, Setback::Lost, &policy, now), Next::Again { counted: false });
    plan.begin(Task::Speak, now);
    assert_eq!(
        plan.setback(Task::Speak, Setback::Error(ErrorClass::Own), &policy, now),
        Next::Again { counted: true },
        "the lost run used up no try"
    );
}

#[test]
fn a_stage_is_overdue_exactly_when_its_timeout_has_passed() {
    let (now, policy, mut plan) = (crate::clock::now(), PlanPolicy::default(), Plan::resume(|_| false));
    let estimates = Estimates::new(&policy);
    plan.begin(Task::Speak, now);
    plan.begin(Task::Paint, now);
    assert_eq!(plan.next_timeout(&policy, &estimates, &UNIT), Some(now + seconds(3)));
    assert_eq!(plan.overdue(&policy, &estimates, &UNIT, now + Duration::from_millis(2999)), None);
    assert_eq!(plan.overdue(&policy, &estimates, &UNIT, now + seconds(3)), Some(Task::Speak));
}

#[test]
fn a_relative_timeout_follows_the_estimate_and_the_slots_cost() {
    let mut policy = PlanPolicy::default();
    policy.stages[Stage::Image].timeout = StageTimeout::TimesEstimate(3.0, seconds(1));
    let mut estimates = Estimates::new(&policy);
    assert_eq!(policy.timeout(Stage::Image, &estimates, &UNIT), seconds(36));
    estimates.learn(Stage::Image, &UNIT, seconds(100));
    assert_eq!(policy.timeout(Stage::Image, &estimates, &UNIT), seconds(300));
    assert_eq!(policy.timeout(Stage::Image, &estimates, &Costs::from_array([0.001; 5])), seconds(1));
}

#[test]
fn a_run_that_was_given_up_gives_the_next_one_more_time_until_one_is_measured() {
    let mut policy = PlanPolicy::default();
    policy.stages[Stage::Audio].timeout = StageTimeout::TimesEstimate(3.0, seconds(1));
    let mut estimates = Estimates::new(&policy);
    let half = Costs::from_array([0.5; 5]);
    let limit = policy.timeout(Stage::Audio, &estimates, &half);
    assert_eq!(limit, seconds(3), "three times half of 2 s");
    estimates.exceeded(Stage::Audio, &half, limit);
    assert_eq!(policy.timeout(Stage::Audio, &estimates, &half), seconds(9));
    estimates.exceeded(Stage::Audio, &half, seconds(1));
    assert_eq!(policy.timeout(Stage::Audio, &estimates, &half), seconds(9), "that much was expected");
    estimates.learn(Stage::Audio, &half, seconds(4));
    assert_eq!(
        policy.timeout(Stage::Audio, &estimates, &half),
        seconds(12),
        "measured, not averaged with a guess"
    );
}

#[test]
fn what_was_learned_outlives_who_learned_it() {
    let (policy, learned) = (PlanPolicy::default(), Learned::default());
    let mut first = Estimates::going_on(&policy, &learned);
    assert_eq!(learned.get(), PerStage::default());
    first.learn(Stage::Video, &Costs::from_array([0.5; 5]), seconds(10));
    assert_eq!(learned.get()[Stage::Video], Some(seconds(20)));
    let mut second = Estimates::going_on(&policy, &learned);
    assert_eq!((second.of(Stage::Video, &UNIT), second.of(Stage::Image, &UNIT)), (seconds(20), seconds(12)));
    second.learn(Stage::Video, &UNIT, seconds(28));
    assert_eq!(second.of(Stage::Video, &UNIT), seconds(21), "one run more among many");
}

#[test]
fn the_deadline_is_predicted_along_the_longer_way() {
    let (now, policy, mut plan) = (crate::clock::now(), PlanPolicy::default(), Plan::resume(|_| false));
    let estimates = Estimates::new(&policy);
    // 12 (image is longer than audio) + 8 + 1 + 0, and a buffer of 5.
    assert_eq!(plan.remaining(&estimates, &UNIT, now), seconds(21));
    let at = |budget| Deadline::after(now, seconds(budget)).unwrap();
    assert!(plan.check(at(26), &policy, &estimates, &UNIT, now).is_ok());
    let late = plan.check(at(25), &policy, &estimates, &UNIT, now).unwrap_err();
    assert_eq!((late.remaining, late.left), (seconds(21), seconds(25)));
    plan.begin(Task::Paint, now);
    assert_eq!(plan.remaining(&estimates, &UNIT, now + seconds(7)), seconds(14), "what has run is not left");
}

#[test]
fn estimates_follow_what_is_measured_per_unit_of_cost() {
    let mut estimates = Estimates::new(&PlanPolicy::default());
    for _ in 0..60 {
        estimates.learn(Stage::Video, &Costs::from_array([4.0; 5]), seconds(16));
    }
    assert_eq!(estimates.of(Stage::Video, &UNIT), seconds(4));
    assert_eq!(estimates.bottleneck(&UNIT), seconds(12));
    estimates.learn(Stage::Video, &Costs::from_array([0.0; 5]), seconds(16));
    assert_eq!(estimates.of(Stage::Video, &UNIT), seconds(4), "a stage of no cost teaches nothing");
}

#[test]
fn a_withdrawn_task_has_not_been_tried() {
    let (now, mut plan) = (crate::clock::now(), Plan::resume(|_| false));
    plan.begin(Task::Paint, now);
    plan.withdraw(Task::Paint, now);
    assert_eq!(plan.begin(Task::Paint, now), AttemptId::FIRST);
}

proptest! {
    /// Whatever happens in whatever order, a walk ends: finished or given up, and never skips a stage.
    #[test]
    fn every_walk_ends(choices in prop::collection::vec(0u8..6, 60)) {
        let (mut now, policy, mut plan) = (crate::clock::now(), PlanPolicy::default(), Plan::resume(|_| false));
        let mut ended = false;
        for choice in choices {
            let Some(task) = plan.due().next() else { break };
            for needed in task.needs() {
                prop_assert!(plan.stage_done(*needed));
            }
            plan.begin(task, now);
            now += seconds(1);
            let setback = match choice {
                0 => Setback::Lost,
                1 => Setback::TimedOut,
                2 => Setback::Error(ErrorClass::Own),
                3 => Setback::Error(ErrorClass::OutOfMemory),
                _ => { plan.complete(task, now); continue; }
            };
            if plan.setback(task, setback, &policy, now) == Next::GiveUp {
                ended = true;
                break;
            }
        }
        // Six tasks, each with at most one free and one counted rerun: 18 runs are the most.
        prop_assert!(ended || plan.finished());
    }
}
