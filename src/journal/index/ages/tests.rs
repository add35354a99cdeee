use proptest::prelude::*;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// A machine that plays: true time, the error of its wall clock, and what is seen of both.
struct Machine {
    passed: Duration,
    wall: Duration,
    boot: u32,
    booted: Duration,
    seen: Seen,
}

impl Machine {
    fn new() -> Self {
        let wall = DAY * 20_000;
        let mut this =
            Self { passed: Duration::ZERO, wall, boot: 1, booted: Duration::ZERO, seen: Seen::default() };
        assert_eq!(this.look(), Noticed::Nothing);
        this
    }

    fn pass(&mut self, time: Duration) {
        self.passed += time;
        self.wall += time;
    }

    fn restart(&mut self) {
        self.boot += 1;
        self.booted = self.passed;
    }

    fn look(&mut self) -> Noticed {
        let since_boot = self.passed - self.booted;
        self.seen.look(&Reading { wall: self.wall, since_boot, boot: self.boot.to_string() })
    }

    fn age(&mut self, then: UnixTime) -> Duration {
        self.look();
        self.seen.ages().of(then)
    }
}

#[test]
fn a_clock_that_is_set_forward_makes_nothing_older() {
    let mut machine = Machine::new();
    let before = machine.wall;
    machine.pass(HOUR);
    machine.look();
    machine.wall += DAY * 3650;
    assert_eq!(machine.look(), Noticed::Forward(DAY * 3650));
    assert_eq!(machine.age(before), HOUR);
    let after = machine.wall;
    machine.pass(DAY);
    assert_eq!((machine.age(before), machine.age(after)), (DAY + HOUR, DAY));
    // Put right again, everything is as old as it is; what ended in between is not younger than that for ever.
    machine.wall -= DAY * 3650;
    assert_eq!(machine.look(), Noticed::Back(DAY * 3650));
    assert_eq!(machine.age(before), DAY + HOUR);
    machine.pass(DAY * 2);
    assert_eq!((machine.age(before), machine.age(after)), (DAY * 3 + HOUR, DAY * 2));
}

#[test]
fn a_jump_in_two_steps_back_is_taken_back_in_two() {
    let mut machine = Machine::new();
    let before = machine.wall;
    machine.wall += DAY * 10;
    machine.look();
    for _ in 0..2 {
        machine.wall -= DAY * 5;
        machine.pass(HOUR);
        machine.look();
    }
    assert_eq!(machine.age(before), HOUR * 2);
    assert_eq!(machine.seen.jumps, []);
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_older_either() {
    let mut machine = Machine::new();
    let before = machine.wall;
    machine.pass(DAY);
    machine.wall -= DAY * 100;
    assert_eq!(machine.look(), Noticed::Back(DAY * 100));
    assert_eq!(machine.age(before), Duration::ZERO);
    let after = machine.wall;
    machine.pass(HOUR);
    assert_eq!((machine.age(before), machine.age(after)), (HOUR, HOUR));
}

#[test]
fn a_machine_that_was_off_for_days_keeps_count_and_for_weeks_does_not() {
    let mut machine = Machine::new();
    let before = machine.wall;
    machine.pass(DAY * 6);
    machine.restart();
    assert_eq!(machine.look(), Noticed::Nothing);
    assert_eq!(machine.age(before), DAY * 6);
    machine.pass(DAY * 8);
    machine.restart();
    assert_eq!(machine.look(), Noticed::Forward(DAY * 8));
    assert_eq!(machine.age(before), DAY * 6);
}

#[test]
fn a_jump_that_is_taken_back_makes_nothing_old_that_was_written_meanwhile() {
    for years in [-2i64, 2] {
        let mut machine = Machine::new();
        let before = machine.wall;
        let by = DAY * 365 * years.unsigned_abs() as u32;
        let jump = |wall: Duration, ahead: bool| if ahead { wall + by } else { wall - by };
        machine.wall = jump(machine.wall, years > 0);
        machine.look();
        let meanwhile = machine.wall;
        machine.pass(HOUR);
        machine.wall = jump(machine.wall, years < 0);
        assert_eq!(
            (machine.age(meanwhile), machine.age(before)),
            (if years < 0 { HOUR } else { Duration::ZERO }, HOUR)
        );
    }
}

#[test]
fn small_corrections_are_no_jumps() {
    let mut machine = Machine::new();
    machine.wall += SLACK;
    assert_eq!(machine.look(), Noticed::Nothing);
    machine.wall -= SLACK;
    assert_eq!(machine.look(), Noticed::Nothing);
}

#[test]
fn it_goes_on_from_its_file_and_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clocks");
    let mut clocks = Clocks::open(&path);
    let now = clocks.look();
    // An hour ago the wall clock was a year behind, and this process has seen nothing of it.
    let mut last = Reading::now(&clocks.boot);
    last.wall -= DAY * 365;
    let seen = Seen { last: Some(last.clone()), ..Seen::default() };
    std::fs::write(&path, serde_json::to_vec(&seen).unwrap()).unwrap();
    let mut clocks = Clocks::open(&path);
    assert!(clocks.look().of(last.wall) < SLACK);
    assert!(Clocks::open(&path).look().of(last.wall) < SLACK, "it is written down");
    std::fs::write(&path, "{ no").unwrap();
    assert!(Clocks::open(&path).look().of(now.now()) < SLACK);
}

proptest! {
    #[test]
    fn nothing_is_ever_older_than_it_is_and_both_questions_have_one_answer(
        steps in prop::collection::vec((0u64..200, -3_000i64..3_000), 1..40), age in 0u64..3_000,
    ) {
        let mut machine = Machine::new();
        let mut written = Vec::new();
        for (pass, jump) in steps {
            written.push((machine.passed, machine.wall));
            machine.pass(HOUR * pass as u32);
            let by = HOUR * jump.unsigned_abs() as u32;
            // Half of the steps are no jumps.
            if jump > 0 && jump % 2 == 0 {
                machine.wall += by;
            } else if jump < 0 && jump % 2 == 0 {
                machine.wall = machine.wall.saturating_sub(by).max(DAY);
            }
            machine.look();
            prop_assert!(machine.seen.jumps.len() <= MOST_JUMPS);
        }
        let ages = machine.seen.ages();
        let only_forward = machine.seen.set_back.is_empty();
        let limit = ages.older_than(HOUR * age as u32);
        for (at, wall) in written {
            let truly = machine.passed - at;
            // A look at the clocks leaves an error below its slack each time.
            prop_assert!(!only_forward || ages.of(wall) <= truly + SLACK, "{:?} and {truly:?}", ages.of(wall));
            if only_forward {
                let is_old = ages.of(wall) >= HOUR * age as u32;
                prop_assert!(is_old || wall > limit);
                prop_assert!(wall <= limit || !is_old || machine.seen.jumps.len() >= MOST_JUMPS - 1);
            }
        }
    }
}
