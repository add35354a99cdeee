use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::vram::sample::{Pool, Standing};

fn ledger(limit: u64) -> Ledger {
    Ledger::new(DeviceId::Scripted(0), Bytes::mb(limit), Bytes::ZERO)
}

fn workspace(model: ModelId, mb: u64) -> Claim {
    Claim::workspace(model, None, Bytes::mb(mb))
}

fn sample(used: u64, others: u64) -> Sample {
    Sample {
        source: "test",
        standing: Standing::Primary,
        taken_at: crate::clock::now(),
        total: Bytes::gb(100),
        used: Bytes::mb(used),
        free: Bytes::ZERO,
        own: None,
        others: Some(Bytes::mb(others)),
        pool: Some(Pool { used: Bytes::ZERO, reserved: Bytes::ZERO }),
    }
}

#[test]
fn a_lowered_limit_leaves_what_is_out_and_grants_nothing_until_there_is_room_below_it() {
    let ledger = ledger(10_000);
    let mut changes = ledger.changes();
    let flux = ledger.reserve(Claim::resident(ModelId::Flux, Bytes::mb(6000))).unwrap();
    let mut video = ledger.reserve(workspace(ModelId::LivePortrait, 3000)).unwrap();
    changes.mark_unchanged();
    ledger.change_limit(Bytes::mb(8000));
    assert!(changes.has_changed().unwrap(), "whoever waits claims again");
    let usage = ledger.usage();
    let mb = |usage: Usage| {
        [usage.limit, usage.reserved, usage.free, usage.available].map(|it| it.get() / 1_000_000)
    };
    assert_eq!(mb(usage), [8000, 9000, 0, 0]);
    assert!(ledger.reserve(workspace(ModelId::Kokoro, 1)).is_err());
    video.resize(Bytes::mb(1000)).unwrap();
    assert!(ledger.reserve(workspace(ModelId::Kokoro, 1001)).is_err());
    assert!(ledger.reserve(workspace(ModelId::Kokoro, 1000)).is_ok(), "exactly the new limit fits");
    ledger.change_limit(Bytes::mb(12_000));
    assert_eq!(ledger.usage().available, Bytes::mb(5000));
    drop((flux, video));
}

#[test]
fn a_claim_over_the_limit_is_refused_with_numbers_and_takes_nothing() {
    let ledger = ledger(11_500);
    let _flux = ledger.reserve(Claim::resident(ModelId::Flux, Bytes::mb(6000))).unwrap();
    let _kokoro = ledger.reserve(Claim::resident(ModelId::Kokoro, Bytes::mb(400))).unwrap();
    let _video = ledger.reserve(workspace(ModelId::LivePortrait, 3500)).unwrap();
    let before = ledger.usage();

    let refusal = ledger.reserve(workspace(ModelId::Flux, 1601)).unwrap_err();
    assert_eq!(
        (refusal.used, refusal.needed, refusal.limit),
        (Bytes::mb(9900), Bytes::mb(1601), Bytes::mb(11_500))
    );
    let largest: Vec<_> = refusal.holders.iter().map(|holding| (holding.model, holding.bytes)).collect();
    assert_eq!(
        largest,
        [
            (ModelId::Flux, Bytes::mb(6000)),
            (ModelId::LivePortrait, Bytes::mb(3500)),
            (ModelId::Kokoro, Bytes::mb(400))
        ]
    );
    assert!(refusal.fits_later, "once the video's workspace is back");
    let text = refusal.to_string();
    for part in ["flux", "1.60 GB", "9.90 GB", "11.50 GB", "liveportrait workspace 3.50 GB", "scripted"] {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
    assert_eq!(ledger.usage(), before);
    assert!(ledger.reserve(workspace(ModelId::Flux, 1600)).is_ok(), "exactly the limit fits");
    let short = |mb| ledger.shortfall(Bytes::mb(mb));
    assert_eq!((short(5100), short(5200)), (Bytes::ZERO, Bytes::mb(100)), "with nothing but residents out");
    ledger.observe(&sample(10_300, 400), ledger.mark());
    assert_eq!(short(5200), Bytes::mb(500), "what no lease stands for is in the way as well");
    assert_eq!(ledger.room(), Bytes::mb(5100), "once it is gone");
    ledger.observe(&sample(9900, 0), ledger.mark());
    assert!(!ledger.reserve(workspace(ModelId::Flux, 5200)).unwrap_err().fits_later);
    assert!(ledger.reserve(workspace(ModelId::Flux, 5100)).unwrap_err().fits_later);
}

#[test]
fn a_lease_returns_its_memory_from_wherever_it_dies() {
    let ledger = ledger(1000);
    let lease = ledger.reserve(workspace(ModelId::Flux, 700)).unwrap();
    let panicked = std::thread::spawn(move || {
        let _held = lease;
        std::panic::resume_unwind(Box::new("as a model's thread may end"));
    });
    assert!(panicked.join().is_err());
    let usage = ledger.usage();
    assert_eq!((usage.reserved, usage.free, usage.leases), (Bytes::ZERO, Bytes::mb(1000), 0));
    assert_eq!(usage.peak_reserved, Bytes::mb(700));
}

#[test]
fn a_lease_is_resized_within_what_is_available() {
    let ledger = ledger(1000);
    let mut flux = ledger.reserve(Claim::resident(ModelId::Flux, Bytes::mb(600))).unwrap();
    let _other = ledger.reserve(workspace(ModelId::Kokoro, 300)).unwrap();
    let refusal = flux.settle(Bytes::mb(701)).unwrap_err();
    assert_eq!((refusal.needed, refusal.used), (Bytes::mb(101), Bytes::mb(900)));
    assert_eq!((flux.bytes(), ledger.usage().reserved), (Bytes::mb(600), Bytes::mb(900)));
    flux.settle(Bytes::mb(700)).unwrap();
    assert_eq!(ledger.usage().resident[ModelId::Flux], Bytes::mb(700));
    assert_eq!(ledger.usage().workspace[ModelId::Kokoro], Bytes::mb(300));
    flux.resize(Bytes::mb(100)).unwrap();
    assert_eq!(ledger.usage().free, Bytes::mb(600));
    drop(flux);
    assert_eq!(ledger.usage().free, Bytes::mb(700));
}

#[test]
fn what_others_take_is_not_promised_again() {
    let ledger = Ledger::new(DeviceId::Scripted(0), Bytes::mb(1000), Bytes::mb(100));
    assert_eq!(ledger.usage().available, Bytes::mb(900));
    ledger.observe(&sample(500, 400), ledger.mark());
    let usage = ledger.usage();
    assert_eq!((usage.free, usage.available), (Bytes::mb(1000), Bytes::mb(500)));
    assert_eq!((usage.actual, usage.unaccounted), (Some(Bytes::mb(500)), Some(Bytes::mb(500))));
    let refusal = ledger.reserve(workspace(ModelId::Flux, 501)).unwrap_err();
    assert_eq!((refusal.unaccounted, refusal.used), (Bytes::mb(500), Bytes::mb(500)));
    assert!(refusal.to_string().contains("500.0 MB of them by no lease"), "{refusal}");
    ledger.observe(&sample(100, 0), ledger.mark());
    let _fits = ledger.reserve(workspace(ModelId::Flux, 900)).unwrap();
    ledger.observe(&sample(1900, 900), ledger.mark());
    let usage = ledger.usage();
    assert_eq!((usage.available, usage.free, usage.leases), (Bytes::ZERO, Bytes::mb(100), 1));
    assert_eq!((usage.peak_actual, usage.unaccounted), (Some(Bytes::mb(1900)), Some(Bytes::mb(1000))));
}

#[test]
fn only_settled_leases_let_the_rest_shrink() {
    let ledger = ledger(10_000);
    ledger.observe(&sample(800, 0), ledger.mark());
    let mut flux = ledger.reserve(Claim::resident(ModelId::Flux, Bytes::mb(6000))).unwrap();
    ledger.observe(&sample(1000, 0), ledger.mark());
    assert_eq!(ledger.usage().available, Bytes::mb(3200), "a load under way hides no context");
    flux.settle(Bytes::mb(5000)).unwrap();
    ledger.observe(&sample(5500, 0), ledger.mark());
    assert_eq!(ledger.usage().available, Bytes::mb(4500));
}

#[test]
fn a_sample_that_leases_overtook_says_nothing_of_the_rest() {
    let ledger = ledger(10_000);
    let job = ledger.reserve(workspace(ModelId::Flux, 3000)).unwrap();
    let mark = ledger.mark();
    drop(job);
    ledger.observe(&sample(3000, 0), mark);
    assert_eq!(ledger.usage().available, Bytes::mb(10_000), "the job's memory is not taken for somebody's");
    ledger.observe(&sample(3000, 0), ledger.mark());
    assert_eq!(ledger.usage().available, Bytes::mb(7000));
}

#[test]
fn whoever_waits_is_told_of_every_change_and_of_nothing_else() {
    let ledger = ledger(1000);
    let mut changes = ledger.changes();
    let mut told = || {
        let changed = changes.has_changed().unwrap();
        changes.mark_unchanged();
        changed
    };
    assert!(!told());
    let mut lease = ledger.reserve(workspace(ModelId::Flux, 800)).unwrap();
    assert!(told());
    ledger.reserve(workspace(ModelId::Flux, 800)).unwrap_err();
    assert!(!told());
    lease.resize(Bytes::mb(700)).unwrap();
    assert!(told());
    ledger.observe(&sample(100, 100), ledger.mark());
    assert!(told());
    ledger.observe(&sample(100, 100), ledger.mark());
    assert!(!told());
    drop(lease);
    assert!(told());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_gets_room_when_a_lease_returns() {
    let ledger = ledger(1000);
    let lease = ledger.reserve(workspace(ModelId::Flux, 800)).unwrap();
    let waiting = tokio::spawn({
        let ledger = ledger.clone();
        async move {
            let mut changes = ledger.changes();
            loop {
                match ledger.reserve(workspace(ModelId::LivePortrait, 500)) {
                    Ok(lease) => return lease,
                    Err(refusal) => assert!(refusal.fits_later),
                }
                changes.changed().await.unwrap();
            }
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    std::thread::spawn(move || drop(lease)).join().unwrap();
    assert_eq!(waiting.await.unwrap().bytes(), Bytes::mb(500));
}

#[derive(Clone, Debug)]
enum Step {
    Reserve(usize, u64, bool),
    Drop(usize),
    Resize(usize, u64),
    Settle(usize, u64),
    Observe(u64, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..5usize, 0..600u64, any::<bool>()).prop_map(|(m, mb, r)| Step::Reserve(m, mb, r)),
        any::<usize>().prop_map(Step::Drop),
        (any::<usize>(), 0..600u64).prop_map(|(i, mb)| Step::Resize(i, mb)),
        (any::<usize>(), 0..600u64).prop_map(|(i, mb)| Step::Settle(i, mb)),
        (0..2000u64, 0..1200u64).prop_map(|(used, others)| Step::Observe(used.max(others), others)),
    ];
    prop::collection::vec(step, 0..60)
}

/// Does `step`; `held` are the leases out. A granted step must have fitted into what was available.
fn take(ledger: &Ledger, held: &mut Vec<Lease>, step: &Step) {
    match *step {
        Step::Reserve(model, mb, resident) => {
            let (model, bytes) = (ModelId::ALL[model], Bytes::mb(mb));
            let claim =
                if resident { Claim::resident(model, bytes) } else { Claim::workspace(model, None, bytes) };
            held.extend(ledger.reserve(claim));
        }
        Step::Drop(place) if !held.is_empty() => drop(held.swap_remove(place % held.len())),
        Step::Resize(place, mb) if !held.is_empty() => {
            let place = place % held.len();
            let _refused = held[place].resize(Bytes::mb(mb));
        }
        Step::Settle(place, mb) if !held.is_empty() => {
            let place = place % held.len();
            let _refused = held[place].settle(Bytes::mb(mb));
        }
        Step::Observe(used, others) => ledger.observe(&sample(used, others), ledger.mark()),
        _ => {}
    }
}

fn assert_balanced(usage: &Usage) {
    assert_eq!(usage.reserved.checked_add(usage.free), Some(usage.limit), "{usage:?}");
    let parts: Bytes = usage.resident.values().chain(usage.workspace.values()).copied().sum();
    assert_eq!(parts, usage.reserved, "{usage:?}");
    assert!(usage.available <= usage.free && usage.peak_reserved >= usage.reserved, "{usage:?}");
}

proptest! {
    #[test]
    fn leases_and_free_are_the_limit_after_every_step(steps in steps()) {
        let ledger = ledger(1000);
        let mut held = Vec::new();
        for step in &steps {
            let before = ledger.usage();
            take(&ledger, &mut held, step);
            let usage = ledger.usage();
            assert_balanced(&usage);
            let out: Bytes = held.iter().map(Lease::bytes).sum();
            prop_assert_eq!(out, usage.reserved);
            prop_assert_eq!(held.len(), usage.leases as usize);
            let grown = usage.reserved.saturating_sub(before.reserved);
            prop_assert!(grown <= before.available, "{:?} was granted {} of {}", step, grown, before.available);
        }
        held.clear();
        prop_assert_eq!(ledger.usage().free, Bytes::mb(1000));
    }

    #[test]
    fn leases_and_free_are_the_limit_whatever_threads_do(scripts in prop::collection::vec(steps(), 4)) {
        let ledger = ledger(1000);
        std::thread::scope(|scope| {
            for script in &scripts {
                let ledger = ledger.clone();
                scope.spawn(move || {
                    let mut held = Vec::new();
                    for step in script {
                        take(&ledger, &mut held, step);
                        assert_balanced(&ledger.usage());
                    }
                });
            }
        });
        prop_assert_eq!((ledger.usage().free, ledger.usage().leases), (Bytes::mb(1000), 0));
    }
}
