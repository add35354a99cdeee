use proptest::prelude::*;

use super::*;

fn policy(budget: u32) -> RestartPolicy {
    RestartPolicy {
        budget: NonZeroU32::new(budget).unwrap(),
        window: Duration::from_secs(60),
        first_delay: Duration::from_secs(1),
        longest_delay: Duration::from_secs(5),
        jitter: 0.0,
    }
}

#[test]
fn waits_double_up_to_the_longest_and_then_the_budget_is_spent() {
    let (now, mut history) = (crate::clock::now(), History::new(Jitter::new(1)));
    let waits: Vec<_> = (0..6).map(|_| history.admit(&policy(5), now).map(|wait| wait.as_secs())).collect();
    assert_eq!(waits, [Some(1), Some(2), Some(4), Some(5), Some(5), None]);
}

#[test]
fn a_restart_stops_counting_when_the_window_has_slid_past_it() {
    let (start, mut history) = (crate::clock::now(), History::new(Jitter::new(1)));
    let at = |seconds| start + Duration::from_secs(seconds);
    assert!(history.admit(&policy(2), at(0)).is_some());
    assert!(history.admit(&policy(2), at(30)).is_some());
    assert_eq!(history.admit(&policy(2), at(59)), None);
    assert_eq!(
        history.admit(&policy(2), at(60)),
        Some(Duration::from_secs(2)),
        "only the one of second 30 counts"
    );
}

#[test]
fn the_ladder_goes_from_model_to_cordon_to_process() {
    let policy =
        LadderPolicy { model: policy(2), device: RestartPolicy { budget: NonZeroU32::MIN, ..policy(1) } };
    let (now, mut ladder) = (crate::clock::now(), Ladder::new(policy, 7));
    let mut next = || ladder.remedy(ModelId::Flux, Fault::Died, now);
    assert!(matches!(next(), Remedy::Restart(_)));
    assert!(matches!(next(), Remedy::Restart(_)));
    assert!(matches!(next(), Remedy::Cordon(_)));
    assert_eq!(next(), Remedy::Exit(Exit::ModelGivenUp));
    assert!(
        matches!(ladder.remedy(ModelId::Kokoro, Fault::Died, now), Remedy::Restart(_)),
        "one model's deaths do not spend another's budget"
    );
}

#[test]
fn what_only_a_new_process_mends_goes_straight_to_it() {
    let mut ladder = Ladder::new(LadderPolicy::default(), 7);
    for fault in [Fault::Hung, Fault::Poisoned, Fault::MemoryKept] {
        assert_eq!(ladder.remedy(ModelId::Flux, fault, crate::clock::now()), Remedy::Exit(Exit::DeviceLost));
    }
}

#[test]
fn what_no_restart_mends_is_not_tried_again() {
    let mut ladder = Ladder::new(LadderPolicy::default(), 7);
    let remedy = ladder.remedy(ModelId::Flux, Fault::Unusable, crate::clock::now());
    assert_eq!(remedy, Remedy::Exit(Exit::BadInput));
    assert!(!Exit::BadInput.wants_restart());
}

#[test]
fn a_planned_restart_spends_nothing() {
    let (now, mut ladder) = (crate::clock::now(), Ladder::new(LadderPolicy::default(), 7));
    for _ in 0..100 {
        assert_eq!(ladder.remedy(ModelId::Flux, Fault::Leak, now), Remedy::Restart(Duration::ZERO));
    }
    assert!(matches!(ladder.remedy(ModelId::Flux, Fault::Died, now), Remedy::Restart(_)));
}

proptest! {
    #[test]
    fn no_window_ever_holds_more_than_the_budget(gaps in prop::collection::vec(0u64..40, 1..60), budget in 1u32..6) {
        let (mut now, mut history) = (crate::clock::now(), History::new(Jitter::new(3)));
        let mut admitted: Vec<Instant> = Vec::new();
        for gap in gaps {
            now += Duration::from_secs(gap);
            if history.admit(&policy(budget), now).is_some() {
                admitted.push(now);
            }
            let within = admitted.iter().filter(|at| now - **at < Duration::from_secs(60)).count();
            prop_assert!(within <= budget as usize);
        }
    }

    #[test]
    fn jitter_shortens_by_at_most_its_share_and_repeats_with_its_seed(seed in any::<u64>(), jitter in 0.0f64..1.0) {
        let policy = RestartPolicy { jitter, ..policy(3) };
        let waits = |seed| {
            let (now, mut history) = (crate::clock::now(), History::new(Jitter::new(seed)));
            (0..3).map(|_| history.admit(&policy, now).unwrap()).collect::<Vec<_>>()
        };
        for (wait, full) in waits(seed).into_iter().zip([1.0, 2.0, 4.0]) {
            prop_assert!(wait.as_secs_f64() <= full + 1e-9 && wait.as_secs_f64() >= full * (1.0 - jitter) - 1e-9);
        }
        prop_assert_eq!(waits(seed), waits(seed));
    }
}
