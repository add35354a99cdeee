use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::*;

const MB: f64 = 1e6;

/// Verdicts over `slots` floors after the baseline, each `floor(slot)` megabytes.
fn verdicts(settings: LeakSettings, slots: u32, mut floor: impl FnMut(u32) -> f64) -> Vec<LeakVerdict> {
    let mut watch = LeakWatch::new(settings);
    (0..settings.warm_up)
        .for_each(|slot| assert_eq!(watch.record(Bytes::mb(u64::from(slot) * 500)), None, "warm-up"));
    (0..=slots).filter_map(|slot| watch.record(Bytes::new((floor(slot) * MB) as u64))).collect()
}

fn first_leak(verdicts: &[LeakVerdict]) -> Option<u64> {
    verdicts.iter().find(|verdict| verdict.leaking).map(|verdict| verdict.slots)
}

fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    move || f64::from(random.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0
}

#[test]
fn a_leak_is_found_when_its_growth_passes_the_bound() {
    let settings = LeakSettings::default();
    let at = |rate: f64| first_leak(&verdicts(settings, 300, |slot| 8000.0 + rate * f64::from(slot)));
    assert_eq!(at(1.1), Some(100));
    assert_eq!(at(0.9), Some(200));
    assert_eq!(at(0.3), None);
    assert_eq!(at(-1.1), None);
}

#[test]
fn the_fit_recovers_slope_and_growth_from_large_floors() {
    let found = verdicts(LeakSettings::default(), 100, |slot| 11_000.0 + 1.1 * f64::from(slot));
    let [verdict] = found[..] else { panic!("one verdict, not {}", found.len()) };
    assert!((verdict.slope - 1.1 * MB).abs() < 1.0, "{verdict:?}");
    assert!((verdict.growth - 110.0 * MB).abs() < 100.0, "{verdict:?}");
    assert!(verdict.standard_error < 100.0, "{verdict:?}");
    assert_eq!(verdict.baseline, Bytes::gb(11));
}

#[test]
fn noise_on_a_flat_floor_is_no_leak() {
    for seed in 0..20 {
        let mut noise = noise(seed);
        let found = verdicts(LeakSettings::default(), 10_000, |_| 8000.0 + 200.0 * noise());
        assert_eq!((found.len(), first_leak(&found)), (100, None), "seed {seed}");
    }
}

#[test]
fn the_standard_error_is_that_of_least_squares() {
    // x = 0…4, y = 0, 2, 1, 3, 4 MB: slope 0.9, residual sum 1.9, s² = 1.9/3, SE(slope) = √(s²/10).
    let settings = LeakSettings { warm_up: 0, every: 4, ..LeakSettings::default() };
    let floors = [0.0, 2.0, 1.0, 3.0, 4.0];
    let verdict = verdicts(settings, 4, |slot| 1000.0 + floors[slot as usize])[0];
    assert!((verdict.slope / MB - 0.9).abs() < 1e-9, "{verdict:?}");
    assert!((verdict.standard_error / MB - 4.0 * (1.9f64 / 3.0 / 10.0).sqrt()).abs() < 1e-9, "{verdict:?}");
}

#[test]
fn growth_that_noise_explains_is_no_leak() {
    let every_20 = LeakSettings { every: 20, ..LeakSettings::default() };
    let mut random = noise(3);
    let found = verdicts(every_20, 20, |slot| 8000.0 + 6.0 * f64::from(slot) + 200.0 * random());
    assert!(found[0].growth > 100.0 * MB, "growth alone would convict: {:?}", found[0]);
    assert!(!found[0].leaking, "{:?}", found[0]);
}

#[test]
fn growth_beneath_a_noisy_floor_is_found_in_the_end() {
    let mut noise = noise(7);
    let found = verdicts(LeakSettings::default(), 2000, |slot| 8000.0 + f64::from(slot) + 200.0 * noise());
    assert!(first_leak(&found).is_some_and(|slot| (200..=600).contains(&slot)), "{:?}", first_leak(&found));
}

#[test]
fn a_vague_floor_is_given_its_tolerance() {
    let host = LeakSettings { tolerance: Bytes::mb(64), ..LeakSettings::default() };
    let at = |rate: f64| first_leak(&verdicts(host, 300, |slot| 500.0 + rate * f64::from(slot)));
    assert_eq!(at(1.1), Some(200));
    assert_eq!(at(1.7), Some(100));
}

#[test]
fn after_a_restart_the_floor_is_learned_anew() {
    let mut watch = LeakWatch::new(LeakSettings { warm_up: 0, every: 10, ..LeakSettings::default() });
    (0..=9).for_each(|slot| assert_eq!(watch.record(Bytes::gb(slot + 1)), None));
    watch.restart();
    (0..=9).for_each(|_| assert_eq!(watch.record(Bytes::gb(20)), None));
    let verdict = watch.record(Bytes::gb(20)).unwrap();
    assert_eq!((verdict.baseline, verdict.leaking, verdict.slots), (Bytes::gb(20), false, 10));
}

#[test]
fn two_points_convict_nobody() {
    let settings = LeakSettings { warm_up: 0, every: 1, ..LeakSettings::default() };
    let found = verdicts(settings, 2, |slot| 1000.0 * f64::from(slot + 1));
    assert!(!found[0].leaking && found[0].standard_error.is_infinite());
    assert!((found[0].slope - 1000.0 * MB).abs() < 1.0);
    assert!(found[1].leaking, "three on a line do: {:?}", found[1]);
}

#[test]
fn growth_of_exactly_the_bound_is_none() {
    // Sums of these are exact in f64.
    let settings = LeakSettings { warm_up: 0, every: 4, ..LeakSettings::default() };
    let exactly = verdicts(settings, 4, |slot| 1000.0 + 25.0 * f64::from(slot))[0];
    assert_eq!((exactly.growth, exactly.leaking), (100.0 * MB, false));
    let beyond = verdicts(settings, 4, |slot| 1000.0 + 26.0 * f64::from(slot))[0];
    assert!(beyond.leaking, "{beyond:?}");
}
