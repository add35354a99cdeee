//! Growth on made-up looks.

use super::*;
use crate::types::DeviceId;
use crate::vram::{Claim, Ledger};

/// Looks at a ledger on which flux holds a workspace where it is at work: two looks, so that it is a stretch.
fn stretch(growth: &mut Growth, own: u64, flux: bool, kokoro: bool) {
    let ledger = Ledger::new(DeviceId::Scripted(0), Bytes::gb(20), Bytes::ZERO);
    let claim = |model| Claim::workspace(model, None, Bytes::mb(100));
    let _flux = flux.then(|| ledger.reserve(claim(ModelId::Flux)).unwrap());
    let _kokoro = kokoro.then(|| ledger.reserve(claim(ModelId::Kokoro)).unwrap());
    let mut at_work = PerModel::default();
    (at_work[ModelId::Flux], at_work[ModelId::Kokoro]) = (flux, kokoro);
    // The first look may catch a run before it has taken its memory.
    growth.observe(Bytes::mb(7), &ledger.usage(), &at_work);
    growth.observe(Bytes::mb(own), &ledger.usage(), &at_work);
}

fn grown(growth: &Growth) -> (u64, u64) {
    let of_models = growth.of_models().map(|_, bytes| bytes.get() / 1_000_000);
    (of_models[ModelId::Flux], of_models[ModelId::Kokoro])
}

#[test]
fn runs_that_take_what_they_always_take_are_no_growth() {
    let mut growth = Growth::default();
    for _ in 0..50 {
        stretch(&mut growth, 1000, false, false);
        stretch(&mut growth, 1730, true, false);
        stretch(&mut growth, 1790, true, true);
        stretch(&mut growth, 1060, false, true);
    }
    assert_eq!(grown(&growth), (0, 0));
}

#[test]
fn growth_is_put_down_to_who_was_at_work() {
    let mut growth = Growth::default();
    for round in 0..10 {
        // Flux keeps 30 MB of every run, kokoro nothing, and both run alone.
        stretch(&mut growth, 1000 + 30 * round, false, false);
        stretch(&mut growth, 1700 + 30 * round, true, false);
        stretch(&mut growth, 1000 + 30 * (round + 1), false, false);
        stretch(&mut growth, 1060 + 30 * (round + 1), false, true);
    }
    stretch(&mut growth, 1000, false, false);
    let (flux, kokoro) = grown(&growth);
    assert!((230..=300).contains(&flux) && kokoro < 40, "flux {flux}, kokoro {kokoro}");
    growth.forget(ModelId::Flux);
    assert_eq!(grown(&growth).0, 0);
}

/// One of two that are at work together most of the time grows: the stretches in which one works alone tell which.
#[test]
fn growth_of_one_of_two_that_work_together_is_told_apart() {
    let mut growth = Growth::default();
    let mut own = 1000;
    for _ in 0..12 {
        stretch(&mut growth, own, false, false);
        stretch(&mut growth, own + 700, true, false);
        own += 40;
        stretch(&mut growth, own + 760, true, true);
        stretch(&mut growth, own + 700, true, false);
    }
    stretch(&mut growth, own, false, false);
    stretch(&mut growth, own + 700, true, false);
    let (flux, kokoro) = grown(&growth);
    assert!(kokoro > 400 && flux < 60, "flux {flux}, kokoro {kokoro}");
}

#[test]
fn what_one_has_grown_by_is_still_its_own_after_another_was_dropped() {
    let mut growth = Growth::default();
    let mut own = 1000;
    for _ in 0..8 {
        stretch(&mut growth, own, false, false);
        own += 50;
        stretch(&mut growth, own + 700, true, false);
        stretch(&mut growth, own, false, false);
        own += 30;
        stretch(&mut growth, own + 60, false, true);
    }
    stretch(&mut growth, own, false, false);
    stretch(&mut growth, own + 700, true, false);
    let (flux, kokoro) = grown(&growth);
    assert!((330..=450).contains(&flux) && (180..=290).contains(&kokoro), "flux {flux}, kokoro {kokoro}");
    growth.forget(ModelId::Flux);
    assert_eq!(grown(&growth), (0, kokoro));
    own -= flux;
    stretch(&mut growth, own, false, false);
    own += 30;
    stretch(&mut growth, own + 60, false, true);
    stretch(&mut growth, own, false, false);
    stretch(&mut growth, own + 60, false, true);
    let (after_flux, after) = grown(&growth);
    assert!(after_flux == 0 && after > kokoro, "{after_flux}, {after} after {kokoro}");
}

/// What a run keeps is its own, also where it begins as another ends; leases that promise too much change nothing of it.
#[test]
fn what_a_run_keeps_is_not_put_down_to_the_one_before() {
    let mut growth = Growth::default();
    let mut own = 1000;
    for _ in 0..12 {
        stretch(&mut growth, own, false, false);
        stretch(&mut growth, own + 70, true, false);
        own += 40;
        stretch(&mut growth, own + 90, false, true);
    }
    stretch(&mut growth, own, false, false);
    stretch(&mut growth, own + 70, true, false);
    let (flux, kokoro) = grown(&growth);
    assert!(kokoro > 350 && flux < 80, "flux {flux}, kokoro {kokoro}");
}
