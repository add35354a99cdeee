use super::*;
use crate::vram::sample::Standing;

const AGE: Duration = Duration::from_secs(5);
const DWELL: Duration = Duration::from_secs(10);

/// Soft 11.0 GB, hard 11.5 GB, hysteresis 0.3 GB, dwell 10 s, stale after 5 s.
struct Scene {
    policy: PressurePolicy,
    start: Instant,
}

impl Scene {
    fn new() -> Self {
        let thresholds =
            Thresholds::new(Bytes::mb(11_000), Bytes::mb(11_500), Bytes::mb(300), DWELL, AGE).unwrap();
        let policy = PressurePolicy::new(thresholds.repeating_after(Duration::from_secs(20)));
        Self { policy, start: crate::clock::now() }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    fn sample(&self, second: u64, used: u64) -> Sample {
        Sample {
            source: "test",
            standing: Standing::Primary,
            taken_at: self.at(second),
            total: Bytes::gb(12),
            used: Bytes::mb(used),
            free: Bytes::ZERO,
            own: None,
            others: None,
            pool: None,
        }
    }

    fn see(&mut self, second: u64, used: u64) -> Assessment {
        self.policy.assess(Some(&self.sample(second, used)), self.at(second))
    }

    fn miss(&mut self, second: u64) -> Assessment {
        self.policy.assess(None, self.at(second))
    }

    /// Sees `used` every second of the range; the levels seen.
    fn stay(&mut self, seconds: std::ops::RangeInclusive<u64>, used: u64) -> Vec<Level> {
        seconds.map(|second| self.see(second, used).level).collect()
    }
}

fn crossing(from: Level, to: Level, used: u64, limit: u64) -> Option<Crossing> {
    Some(Crossing { from, to, used: Bytes::mb(used), limit: Bytes::mb(limit) })
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let new = |soft, hard, hysteresis, age| {
        Thresholds::new(Bytes::mb(soft), Bytes::mb(hard), Bytes::mb(hysteresis), DWELL, age)
    };
    assert!(matches!(new(11, 11, 1, AGE), Err(ThresholdsError::SoftNotBelowHard { .. })));
    assert!(matches!(new(11, 12, 11, AGE), Err(ThresholdsError::HysteresisTooLarge { .. })));
    assert_eq!(new(11, 12, 1, Duration::ZERO), Err(ThresholdsError::NothingIsFresh));
    let good = new(11, 12, 10, AGE).unwrap();
    assert_eq!((good.soft(), good.hard(), good.max_age()), (Bytes::mb(11), Bytes::mb(12), AGE));
    let error = new(12, 11, 1, AGE).unwrap_err().to_string();
    assert!(error.contains("12.0 MB") && error.contains("11.0 MB"), "{error}");
}

#[test]
fn a_limit_is_crossed_at_its_first_sample_and_told_once() {
    let mut scene = Scene::new();
    assert_eq!(scene.see(0, 10_999).crossing, None);
    let soft = scene.see(1, 11_000);
    assert_eq!((soft.level, soft.blind), (Level::Soft, None));
    assert_eq!(soft.crossing, crossing(Level::Normal, Level::Soft, 11_000, 11_000));
    assert!(soft.crossing.is_some_and(|crossing| crossing.is_rise()));
    assert_eq!(soft.actions, Actions { backpressure: true, trim: true });
    assert_eq!(scene.see(2, 11_400).crossing, None);
    let hard = scene.see(3, 11_500);
    assert_eq!(hard.crossing, crossing(Level::Soft, Level::Hard, 11_500, 11_500));
    assert_eq!(hard.actions, Actions { backpressure: true, trim: true });
    let still = scene.see(4, 11_900);
    assert_eq!((still.crossing, still.level), (None, Level::Hard));
    assert_eq!(still.actions, Actions { backpressure: true, trim: false });
    assert_eq!(scene.policy.level(), Level::Hard);
}

#[test]
fn hard_may_come_without_soft() {
    let jump = Scene::new().see(0, 11_700);
    assert_eq!(jump.crossing, crossing(Level::Normal, Level::Hard, 11_700, 11_500));
    assert!(jump.actions.trim);
}

#[test]
fn a_level_clears_only_below_its_floor_for_the_dwell() {
    let mut scene = Scene::new();
    scene.see(0, 11_100);
    assert_eq!(scene.stay(1..=30, 10_700), [Level::Soft; 30], "the floor itself is not below it");
    assert_eq!(scene.stay(31..=40, 10_699), [Level::Soft; 10]);
    let cleared = scene.see(41, 10_699);
    assert_eq!(cleared.crossing, crossing(Level::Soft, Level::Normal, 10_699, 10_700));
    assert!(!cleared.crossing.is_some_and(|crossing| crossing.is_rise()));
    assert_eq!(cleared.actions, Actions::default());
    assert_eq!(scene.see(42, 10_999).crossing, None);
    assert!(scene.see(43, 11_000).crossing.is_some(), "cleared, so it warns again");
}

#[test]
fn a_rise_within_the_dwell_begins_it_anew() {
    let mut scene = Scene::new();
    scene.see(0, 11_100);
    scene.stay(1..=9, 10_000);
    scene.see(10, 10_800);
    assert_eq!(scene.stay(11..=20, 10_000), [Level::Soft; 10]);
    assert_eq!(scene.see(21, 10_000).level, Level::Normal);
    scene.see(22, 11_100);
    scene.stay(23..=31, 10_000);
    scene.see(32, 11_000);
    assert_eq!(scene.stay(33..=42, 10_000), [Level::Soft; 10]);
    assert_eq!(scene.see(43, 10_000).level, Level::Normal);
}

#[test]
fn hard_clears_to_soft_or_at_once_to_normal() {
    let mut scene = Scene::new();
    scene.see(0, 11_600);
    assert_eq!(scene.stay(1..=10, 11_199), [Level::Hard; 10]);
    let soft = scene.see(11, 11_199);
    assert_eq!(soft.crossing, crossing(Level::Hard, Level::Soft, 11_199, 11_200));
    assert!(soft.actions.backpressure);
    scene.see(12, 11_600);
    scene.stay(13..=22, 9000);
    let normal = scene.see(23, 9000);
    assert_eq!(normal.crossing, crossing(Level::Hard, Level::Normal, 9000, 10_700));
}

#[test]
fn trims_are_due_again_while_the_level_stands() {
    for used in [11_100, 11_600] {
        let mut scene = Scene::new();
        let trims: Vec<u64> = (0..=50).filter(|second| scene.see(*second, used).actions.trim).collect();
        assert_eq!(trims, [0, 20, 40]);
    }
}

#[test]
fn no_decision_rests_on_a_sample_that_is_not_usable() {
    let mut scene = Scene::new();
    scene.see(0, 11_100);
    let lies = Sample { used: Bytes::gb(99), ..scene.sample(1, 0) };
    let stale = scene.sample(1, 11_900);
    let unchecked = Sample { standing: Standing::Unchecked, ..scene.sample(1, 11_900) };
    for (sample, second) in [(lies, 1), (stale, 7), (unchecked, 1)] {
        let at = scene.at(second);
        let assessment = scene.policy.assess(Some(&sample), at);
        assert_eq!((assessment.level, assessment.crossing), (Level::Soft, None), "{sample:?}");
        assert_eq!(assessment.actions, Actions { backpressure: true, trim: false });
    }
}

#[test]
fn without_samples_the_policy_goes_blind_and_only_closes_admission() {
    let mut scene = Scene::new();
    let first = scene.miss(0);
    assert_eq!((first.blind, first.actions.backpressure), (Some(Duration::ZERO), true), "never seen");
    assert_eq!(scene.see(1, 5000).blind, None);
    let soon = scene.miss(6);
    assert_eq!((soon.blind, soon.actions), (None, Actions::default()), "a sample of 5 s ago still stands");
    let late = scene.miss(7);
    assert_eq!((late.blind, late.level, late.crossing), (Some(Duration::from_secs(6)), Level::Normal, None));
    assert_eq!(late.actions, Actions { backpressure: true, trim: false });
    assert_eq!(scene.see(8, 5000).actions, Actions::default());
}

#[test]
fn a_gap_is_no_evidence_of_calm() {
    let mut missed = Scene::new();
    missed.see(0, 11_100);
    missed.stay(1..=9, 10_000);
    missed.miss(10);
    assert_eq!(missed.stay(11..=20, 10_000), [Level::Soft; 10]);
    assert_eq!(missed.see(21, 10_000).level, Level::Normal);

    let mut silent = Scene::new();
    silent.see(0, 11_600);
    silent.see(1, 10_000);
    assert_eq!(silent.see(12, 10_000).level, Level::Hard, "nobody looked from 1 to 12");
    let mut looked = Scene::new();
    looked.see(0, 11_600);
    looked.see(1, 10_000);
    looked.see(6, 10_000);
    assert_eq!(looked.see(11, 10_000).level, Level::Normal);
}

#[test]
fn levels_are_ordered_and_named() {
    assert!(Level::Normal < Level::Soft && Level::Soft < Level::Hard);
    for level in [Level::Normal, Level::Soft, Level::Hard] {
        assert_eq!(serde_json::to_value(level).unwrap(), level.name());
    }
}
