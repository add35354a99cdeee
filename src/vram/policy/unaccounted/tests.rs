use super::*;
use crate::vram::sample::Standing;

fn sample(used: u64, own: Option<u64>, slack: Option<u64>) -> Sample {
    Sample {
        source: "test",
        standing: Standing::Primary,
        taken_at: crate::clock::now(),
        total: Bytes::gb(12),
        used: Bytes::mb(used),
        free: Bytes::ZERO,
        own: own.map(Bytes::mb),
        others: None,
        pool: slack.map(|slack| Pool { used: Bytes::mb(500), reserved: Bytes::mb(500 + slack) }),
    }
}

/// The floor in MB after samples of (used, own, pool slack), reserved MB, settled.
fn floor(overhead: u64, samples: &[(Sample, Option<u64>, bool)]) -> u64 {
    let mut unaccounted = Unaccounted::new(Bytes::mb(overhead));
    for (sample, reserved, settled) in samples {
        let _ = unaccounted.observe(sample, reserved.map(Bytes::mb), *settled);
    }
    unaccounted.floor().get() / 1_000_000
}

#[test]
fn the_configured_overhead_is_the_least() {
    assert_eq!(floor(1000, &[]), 1000);
    assert_eq!(floor(1000, &[(sample(300, Some(300), Some(0)), Some(0), true)]), 1000);
    assert_eq!(floor(1000, &[(sample(1300, Some(1300), Some(0)), Some(0), true)]), 1300);
}

#[test]
fn others_are_believed_at_once_and_on_top() {
    let shifting = (sample(5000, Some(3000), None), None, false);
    assert_eq!(floor(1000, &[shifting]), 3000);
    let gone = (sample(3000, Some(3000), None), None, false);
    assert_eq!(floor(1000, &[shifting, gone]), 1000);
}

#[test]
fn promises_not_yet_allocated_hide_nothing_already_known() {
    let context = (sample(800, Some(800), Some(0)), Some(0), true);
    let promised = (sample(800, Some(800), Some(0)), Some(2000), false);
    assert_eq!(floor(0, &[context, promised]), 800);
    let grown = (sample(3000, Some(3000), Some(0)), Some(2000), false);
    assert_eq!(floor(0, &[context, promised, grown]), 1000);
    assert_eq!(floor(0, &[context, grown, context]), 800);
}

#[test]
fn what_a_pool_keeps_is_ours_to_reuse() {
    assert_eq!(floor(0, &[(sample(5000, Some(5000), Some(3000)), Some(1500), true)]), 500);
}

#[test]
fn without_a_pool_the_least_rest_counts() {
    let context = (sample(700, Some(700), None), Some(0), true);
    let kept = (sample(3000, Some(3000), None), Some(1000), true);
    assert_eq!(floor(0, &[context, kept]), 700);
    let running = (sample(9000, Some(9000), None), Some(1000), false);
    assert_eq!(floor(0, &[context, running]), 700);
    let less = (sample(1600, Some(1600), None), Some(1000), true);
    assert_eq!(floor(0, &[context, kept, less]), 600);
}

#[test]
fn where_nobody_can_be_told_apart_everything_counts() {
    let first = (sample(700, None, None), Some(0), true);
    let more = (sample(3000, None, None), Some(1000), true);
    assert_eq!(floor(0, &[first, more]), 2000);
    assert_eq!(floor(0, &[first, (sample(4000, None, None), Some(1000), false)]), 3000);
    assert_eq!(floor(0, &[first, more, first]), 700);
}

#[test]
fn a_probe_that_cannot_tell_others_neither_forgets_nor_doubles_them() {
    let apart = (sample(5000, Some(1000), Some(0)), Some(500), true);
    assert_eq!(floor(0, &[apart]), 4500);
    let blurred = (sample(5000, None, None), Some(2000), false);
    assert_eq!(floor(0, &[apart, blurred]), 4500, "nothing forgotten");
    assert_eq!(floor(0, &[apart, blurred, apart]), 4500, "nothing doubled");
    assert_eq!(floor(0, &[apart, (sample(2000, None, None), Some(500), true)]), 1500, "measured anew");
}
