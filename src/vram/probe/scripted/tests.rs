use super::*;

fn gb(count: u64) -> Bytes {
    Bytes::gb(count)
}

#[test]
fn allocations_move_the_device_and_give_back_on_drop() {
    let device = ScriptedDevice::new(gb(12));
    device.apply(ScriptedChange::Overhead(gb(1)));
    device.apply(ScriptedChange::Others(gb(2)));
    let flux = device.allocate(ModelId::Flux, gb(6)).unwrap();
    assert_eq!((device.used(), flux.bytes()), (gb(9), gb(6)));
    let error = device.allocate(ModelId::LivePortrait, gb(4)).err().unwrap();
    assert_eq!((error.free, error.wanted, error.total), (gb(3), gb(4), gb(12)));
    std::thread::spawn(move || drop(flux)).join().unwrap();
    assert_eq!(device.used(), gb(3));
    assert!(device.allocate(ModelId::LivePortrait, gb(9)).is_ok());
}

#[test]
fn the_sample_tells_own_others_and_pool_apart() {
    let device = ScriptedDevice::new(gb(12));
    let mut probe = ScriptedProbe::new("scripted", device.clone());
    let now = crate::clock::now();
    assert_eq!(probe.sample(now).unwrap().pool, None);
    let _flux = device.allocate(ModelId::Flux, gb(5)).unwrap();
    device.apply(ScriptedChange::Others(gb(2)));
    device.apply(ScriptedChange::PoolSlack(gb(1)));
    let sample = probe.sample(now).unwrap();
    assert_eq!((sample.used, sample.free, sample.total), (gb(8), gb(4), gb(12)));
    assert_eq!((sample.own, sample.others), (Some(gb(6)), Some(gb(2))));
    assert_eq!(sample.pool, Some(Pool { used: gb(5), reserved: gb(6) }));
    assert_eq!(sample.flaw(now, Duration::ZERO), None);
    let _from_the_pool = device.allocate(ModelId::Kokoro, gb(1)).unwrap();
    assert_eq!(probe.sample(now).unwrap().used, gb(8), "slack is used up first");
}

#[test]
fn leaks_stay_until_the_model_ends() {
    let device = ScriptedDevice::new(gb(12));
    let weights = device.allocate(ModelId::Flux, gb(6)).unwrap();
    device.apply(ScriptedChange::Leak(ModelId::Flux, gb(2)));
    assert_eq!(device.used(), gb(8));
    assert_eq!(device.forget_leaks(ModelId::Flux, weights.bytes()), gb(2));
    assert_eq!(device.used(), gb(6));
    device.apply(ScriptedChange::Leak(ModelId::Flux, gb(2)));
    drop(weights);
    assert_eq!(device.used(), gb(2));
}

#[test]
fn a_timeline_is_played_as_samples_pass_its_times() {
    let device = ScriptedDevice::new(gb(12));
    let second = Duration::from_secs;
    let timeline = vec![
        (second(20), ScriptedChange::Fault(Some(ScriptedFault::Missing))),
        (second(10), ScriptedChange::Others(gb(3))),
        (second(30), ScriptedChange::Fault(None)),
    ];
    let mut probe = ScriptedProbe::replay("scripted", device, timeline);
    let start = crate::clock::now();
    let mut used = |at: u64| probe.sample(start + second(at)).map(|sample| sample.used);
    assert_eq!(used(0), Ok(Bytes::ZERO));
    assert_eq!(used(9), Ok(Bytes::ZERO));
    assert_eq!(used(10), Ok(gb(3)));
    assert_eq!(used(20).unwrap_err().kind, ProbeErrorKind::Missing);
    assert_eq!(used(29).unwrap_err().kind, ProbeErrorKind::Missing);
    assert_eq!(used(30), Ok(gb(3)));
}

#[test]
fn a_frozen_probe_repeats_its_last_sample() {
    let device = ScriptedDevice::new(gb(12));
    let mut probe = ScriptedProbe::new("scripted", device.clone());
    let start = crate::clock::now();
    let first = probe.sample(start).unwrap();
    device.apply(ScriptedChange::Fault(Some(ScriptedFault::Frozen)));
    device.apply(ScriptedChange::Others(gb(9)));
    assert_eq!(probe.sample(start + Duration::from_secs(60)).unwrap(), first);
}
