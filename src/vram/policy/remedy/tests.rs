//! Remedies on made-up scenes.

use super::*;

const FLUX: ModelId = ModelId::Flux;
const VIDEO: ModelId = ModelId::LivePortrait;

fn mb(amount: u64) -> Bytes {
    Bytes::mb(amount)
}

/// Two models of 5 and 2 GB on a card with limits of 10 and 11 GB, hysteresis 500 MB; `own` of this process.
fn scene(level: Level, own: u64, others: u64) -> Scene {
    let mut suspects = PerModel::default();
    suspects[FLUX] = Suspect { resident: mb(5000), is_up: true, ..Suspect::default() };
    suspects[VIDEO] = Suspect { resident: mb(2000), is_up: true, ..Suspect::default() };
    Scene {
        level,
        used: mb(own + others),
        own: Some(mb(own)),
        expected: mb(7200),
        floor: if level == Level::Hard { mb(10_500) } else { mb(9500) },
        tolerance: mb(100),
        suspects,
        missing: Bytes::ZERO,
        is_idle: false,
    }
}

fn named(mut scene: Scene, model: ModelId, grown: u64) -> Scene {
    scene.suspects[model].unexplained = mb(grown);
    scene
}

/// A policy and a clock that is moved by hand.
struct Bench {
    policy: RemedyPolicy,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { policy: RemedyPolicy::new(RemedySettings::default()), now: crate::clock::now() }
    }

    fn after(&mut self, seconds: u64, scene: &Scene) -> Option<MemoryRemedy> {
        self.now += Duration::from_secs(seconds);
        self.policy.assess(scene, self.now)
    }

    /// Every remedy of so many looks, one a second.
    fn looks(&mut self, seconds: u64, scene: &Scene) -> Vec<(u64, MemoryRemedy)> {
        (1..=seconds).filter_map(|second| Some((second, self.after(1, scene)?))).collect()
    }
}

#[test]
fn whose_memory_it_is_follows_from_what_would_clear_the_level() {
    for (what, scene, cause) in [
        ("a leak above the limit", scene(Level::Hard, 11_200, 0), PressureCause::Ours),
        ("a leak without which others would fit", scene(Level::Soft, 8000, 2000), PressureCause::Ours),
        ("others alone", scene(Level::Soft, 7200, 3000), PressureCause::Others),
        ("others, and a leak that is not enough", scene(Level::Soft, 7600, 4000), PressureCause::Others),
        ("an allocator's habits", scene(Level::Soft, 7300, 3000), PressureCause::Others),
        ("one byte more than habit", scene(Level::Soft, 7301, 2200), PressureCause::Ours),
        (
            "leases alone",
            Scene { expected: mb(10_000), ..scene(Level::Soft, 10_050, 0) },
            PressureCause::Leased,
        ),
        ("below the floor, the dwell not over", scene(Level::Soft, 9000, 400), PressureCause::Ours),
        ("nobody can tell", Scene { own: None, ..scene(Level::Hard, 11_200, 0) }, PressureCause::Unknown),
        (
            "a leak, own use exactly at the floor",
            Scene { expected: mb(9300), ..scene(Level::Soft, 9500, 400) },
            PressureCause::Ours,
        ),
        (
            "a leak without which use is exactly at the floor",
            scene(Level::Soft, 7500, 2300),
            PressureCause::Others,
        ),
        (
            "leases exactly at the floor",
            Scene { expected: mb(9450), ..scene(Level::Soft, 9500, 500) },
            PressureCause::Leased,
        ),
        ("use exactly at the floor", scene(Level::Soft, 7200, 2300), PressureCause::Others),
    ] {
        assert_eq!(scene.cause(), cause, "{what}");
    }
    let below = Scene { expected: mb(9300), ..scene(Level::Soft, 9400, 0) };
    assert_eq!(below.cause(), PressureCause::Leased, "it clears by itself");
}

#[test]
fn a_run_that_cannot_have_its_memory_is_a_cause_though_no_level_stands() {
    let short = |own, others, missing| Scene { missing: mb(missing), ..scene(Level::Normal, own, others) };
    for (what, scene, cause) in [
        ("a leak as large as what is missing", short(7700, 0, 500), PressureCause::Ours),
        ("no habit, however little is missing", short(7250, 0, 50), PressureCause::Ours),
        ("a leak and others", short(7700, 2000, 500), PressureCause::Ours),
        ("others, and a leak that is not enough", short(7700, 2000, 501), PressureCause::Others),
        ("others with just as much", short(7200, 500, 500), PressureCause::Others),
        ("nobody's: more than there is", short(7200, 0, 1), PressureCause::Leased),
        ("nobody can tell", Scene { own: None, ..short(7700, 0, 500) }, PressureCause::Unknown),
        (
            "others press, a leak keeps the run",
            Scene { missing: mb(300), ..scene(Level::Soft, 7600, 4000) },
            PressureCause::Ours,
        ),
    ] {
        assert_eq!(scene.cause(), cause, "{what}");
        assert!(!scene.is_calm());
    }
    assert!(scene(Level::Normal, 7700, 0).is_calm(), "a leak that keeps nobody from anything");
}

#[test]
fn suspects_are_restarted_for_a_run_that_cannot_have_its_memory_and_then_the_device_goes() {
    let mut bench = Bench::new();
    let short = Scene { missing: mb(200), is_idle: true, ..named(scene(Level::Normal, 7700, 0), VIDEO, 500) };
    assert_eq!(bench.looks(30, &short), vec![], "what ends by itself gets the time to");
    assert_eq!(bench.after(1, &short), Some(MemoryRemedy::PlanRestart(VIDEO)));
    bench.policy.dropped(VIDEO, bench.now);
    assert_eq!(bench.looks(10, &short), vec![(10, MemoryRemedy::PlanRestart(FLUX))]);
    bench.policy.dropped(FLUX, bench.now);
    assert_eq!(bench.looks(10, &short), vec![(10, MemoryRemedy::GiveUpDevice)]);
    let by_others = Scene { missing: mb(600), ..scene(Level::Normal, 7700, 2000) };
    assert_eq!(Bench::new().looks(3600, &by_others), vec![], "others' memory is waited out");
}

#[test]
fn at_the_hard_limit_who_has_grown_goes_at_once_and_furthest_beyond_its_budget_first() {
    let mut bench = Bench::new();
    let mut both = named(named(scene(Level::Hard, 11_200, 0), FLUX, 3000), VIDEO, 1000);
    both.suspects[VIDEO].beyond_budget = mb(1);
    assert_eq!(bench.after(0, &both), Some(MemoryRemedy::Restart(VIDEO)));
    assert_eq!(bench.looks(9, &both), vec![], "the remedy gets the time to show");
    let left = named(scene(Level::Hard, 11_000, 0), FLUX, 3000);
    assert_eq!(bench.after(1, &left), Some(MemoryRemedy::Restart(FLUX)));
}

#[test]
fn who_has_grown_goes_even_where_others_take_the_most() {
    let mut bench = Bench::new();
    let grown = named(scene(Level::Hard, 7400, 5000), FLUX, 101);
    assert_eq!(bench.after(0, &grown), Some(MemoryRemedy::Restart(FLUX)));
    let mut bench = Bench::new();
    let mut beyond = scene(Level::Hard, 7300, 5000);
    beyond.suspects[FLUX].beyond_budget = mb(1);
    let remedy = bench.after(0, &beyond).unwrap();
    assert_eq!(
        (remedy, remedy.model()),
        (MemoryRemedy::Restart(FLUX), Some(FLUX)),
        "and who is beyond its budget"
    );
    let mut bench = Bench::new();
    let habit = named(scene(Level::Hard, 7300, 5000), FLUX, 100);
    assert_eq!(bench.looks(3600, &habit), vec![], "others' memory is waited out");
}

#[test]
fn at_the_hard_limit_nobody_named_every_suspect_is_tried_and_then_the_device_goes() {
    let mut bench = Bench::new();
    let unnamed = scene(Level::Hard, 11_200, 0);
    assert_eq!(bench.after(0, &unnamed), None, "what ends by itself gets the time to");
    assert_eq!(bench.looks(10, &unnamed), vec![(10, MemoryRemedy::Restart(FLUX))]);
    bench.policy.dropped(FLUX, bench.now);
    let mut coming = unnamed;
    (coming.suspects[FLUX].is_up, coming.suspects[FLUX].is_coming) = (false, true);
    assert_eq!(bench.looks(19, &coming), vec![], "its return has to show");
    assert_eq!(bench.after(1, &coming), Some(MemoryRemedy::Restart(VIDEO)), "but it is not waited for long");
    bench.policy.dropped(VIDEO, bench.now);
    assert_eq!(bench.looks(19, &unnamed), vec![(10, MemoryRemedy::GiveUpDevice)], "told once in a while");
}

#[test]
fn at_the_hard_limit_by_our_own_memory_time_is_limited_where_nothing_can_be_tried() {
    let mut bench = Bench::new();
    let mut coming = scene(Level::Hard, 11_200, 0);
    coming.suspects.values_mut().take(2).for_each(|it| (it.is_up, it.is_coming) = (false, true));
    assert_eq!(bench.looks(310, &coming), vec![(301, MemoryRemedy::GiveUpDevice)]);
}

#[test]
fn nobody_is_tried_twice_before_the_level_clears() {
    let mut bench = Bench::new();
    let mut grown = named(scene(Level::Hard, 11_200, 0), FLUX, 3000);
    assert_eq!(bench.after(1, &grown), Some(MemoryRemedy::Restart(FLUX)));
    assert_eq!(bench.looks(10, &grown), vec![(10, MemoryRemedy::Restart(VIDEO))], "the blame may be wrong");
    assert_eq!(bench.looks(10, &grown), vec![(10, MemoryRemedy::GiveUpDevice)]);
    grown.level = Level::Normal;
    assert_eq!(bench.after(1, &grown), None);
    grown.level = Level::Hard;
    assert_eq!(bench.after(1, &grown), Some(MemoryRemedy::Restart(FLUX)));
}

#[test]
fn at_the_soft_limit_a_restart_waits_for_a_boundary_and_is_asked_for_again() {
    let mut bench = Bench::new();
    let soft = named(scene(Level::Soft, 10_200, 0), VIDEO, 2000);
    assert_eq!(bench.after(0, &soft), None, "trims and ending slots come first");
    let planned = MemoryRemedy::PlanRestart(VIDEO);
    assert_eq!(bench.looks(100, &soft), vec![(30, planned), (90, planned)]);
    bench.policy.dropped(VIDEO, bench.now);
    let left = scene(Level::Soft, 10_000, 0);
    assert_eq!(bench.looks(30, &left), vec![(10, MemoryRemedy::PlanRestart(FLUX))], "the next suspect");
    bench.policy.dropped(FLUX, bench.now);
    assert_eq!(bench.looks(3600, &left), vec![], "slots in work are not cut off while soft");
    let idle = Scene { is_idle: true, ..left };
    assert_eq!(bench.looks(10, &idle), vec![(1, MemoryRemedy::GiveUpDevice)]);
}

#[test]
fn idle_at_the_soft_limit_by_our_own_memory_time_is_limited_whatever_is_tried() {
    let mut bench = Bench::new();
    let idle = Scene { is_idle: true, ..named(scene(Level::Soft, 10_200, 0), VIDEO, 2000) };
    let told = bench.looks(481, &idle);
    assert_eq!(told.last(), Some(&(481, MemoryRemedy::GiveUpDevice)), "{told:?}");
    assert!(told[..told.len() - 1].iter().all(|(_, remedy)| *remedy == MemoryRemedy::PlanRestart(VIDEO)));
}

#[test]
fn while_soft_a_coming_model_is_waited_for() {
    let mut bench = Bench::new();
    let mut coming = scene(Level::Soft, 10_200, 0);
    (coming.suspects[FLUX].is_up, coming.suspects[FLUX].is_coming) = (false, true);
    assert_eq!(bench.looks(400, &coming), vec![]);
    coming.suspects[FLUX].is_coming = false;
    assert_eq!(
        bench.after(1, &coming),
        Some(MemoryRemedy::PlanRestart(VIDEO)),
        "one that is down is no suspect"
    );
}

#[test]
fn normal_forgets_what_was_tried_and_another_cause_begins_the_time_anew() {
    let mut bench = Bench::new();
    let (ours, others) = (scene(Level::Soft, 10_200, 0), scene(Level::Soft, 7200, 3000));
    assert_eq!(bench.looks(20, &ours), vec![]);
    assert_eq!(bench.looks(10, &others), vec![]);
    assert_eq!(bench.looks(30, &ours), vec![]);
    assert_eq!(bench.after(1, &ours), Some(MemoryRemedy::PlanRestart(FLUX)));
    bench.policy.dropped(FLUX, bench.now);
    assert_eq!(bench.looks(10, &ours).last(), Some(&(10, MemoryRemedy::PlanRestart(VIDEO))));
    assert_eq!(bench.after(1, &scene(Level::Normal, 7200, 0)), None);
    assert_eq!(bench.looks(31, &ours), vec![(31, MemoryRemedy::PlanRestart(FLUX))]);
}

#[test]
fn a_look_caught_between_a_lease_and_its_memory_is_no_other_cause() {
    let mut bench = Bench::new();
    let (ours, leased) =
        (scene(Level::Soft, 10_200, 0), Scene { expected: mb(10_150), ..scene(Level::Soft, 10_200, 0) });
    assert_eq!(leased.cause(), PressureCause::Leased);
    assert_eq!(bench.looks(20, &ours), vec![]);
    assert_eq!(bench.looks(9, &leased), vec![], "nobody is restarted while it looks like that");
    assert_eq!(
        bench.looks(2, &ours),
        vec![(2, MemoryRemedy::PlanRestart(FLUX))],
        "30 s after the first look"
    );
}

#[test]
fn whoever_grows_again_is_restarted_again_though_others_keep_the_level_up_all_the_time() {
    let mut bench = Bench::new();
    let (grown, others) = (named(scene(Level::Soft, 7800, 2000), VIDEO, 600), scene(Level::Soft, 7200, 3000));
    for _ in 0..3 {
        assert_eq!(bench.looks(31, &grown), vec![(31, MemoryRemedy::PlanRestart(VIDEO))]);
        bench.policy.dropped(VIDEO, bench.now);
        assert_eq!(bench.looks(120, &others), vec![]);
    }
}

#[test]
fn where_nobody_can_tell_only_who_has_grown_is_restarted_and_the_device_stays() {
    let mut bench = Bench::new();
    let unknown = Scene { own: None, is_idle: true, ..scene(Level::Hard, 11_200, 0) };
    assert_eq!(bench.looks(3600, &unknown), vec![]);
    let grown = named(unknown, FLUX, 500);
    assert_eq!(bench.after(1, &grown), Some(MemoryRemedy::Restart(FLUX)));
}

#[test]
fn of_equals_the_larger_and_then_the_first() {
    let mut equal = scene(Level::Hard, 11_200, 0);
    equal.suspects[FLUX].resident = mb(2000);
    assert_eq!(Bench::new().looks(11, &equal).last().unwrap().1, MemoryRemedy::Restart(FLUX));
    equal.suspects[VIDEO].resident = mb(2001);
    assert_eq!(Bench::new().looks(11, &equal).last().unwrap().1, MemoryRemedy::Restart(VIDEO));
}
