use super::*;
use crate::types::{Bytes, DeviceId, ModelId, SlotId};
use crate::vram::ledger::Claim;
use crate::vram::policy::Level;
use crate::vram::probe::{Probe, ScriptedChange, ScriptedDevice, ScriptedFault, ScriptedProbe};
use crate::vram::{ChainSettings, ProbeChain};

/// A device of 12 GB, watched: soft 11.0, hard 11.5 GB, stale after 5 s, verdicts every 10 slots.
struct Scene {
    device: ScriptedDevice,
    chain: ProbeChain,
    ledger: Ledger,
    gauge: PressureGauge,
    monitor: Monitor,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let now = crate::clock::now();
        let device = ScriptedDevice::new(Bytes::gb(12));
        let probe: Box<dyn Probe> = Box::new(ScriptedProbe::new("scripted", device.clone()));
        let ledger = Ledger::new(DeviceId::Scripted(0), Bytes::mb(11_500), Bytes::mb(500));
        let gauge = PressureGauge::new(now);
        let age = Duration::from_secs(5);
        let thresholds =
            Thresholds::new(Bytes::mb(11_000), Bytes::mb(11_500), Bytes::mb(300), age, age).unwrap();
        let settings = MonitorSettings {
            thresholds,
            leak: LeakSettings { warm_up: 0, every: 10, ..LeakSettings::default() },
            snapshots: NonZeroUsize::new(4).unwrap(),
        };
        let chain = ProbeChain::new(vec![probe], ChainSettings { max_age: age, ..ChainSettings::default() });
        let monitor = Monitor::new(&settings, ledger.clone(), gauge.clone());
        Self { device, chain, ledger, gauge, monitor, now }
    }

    /// One check, a second after the one before.
    fn check(&mut self) -> Assessment {
        self.now += Duration::from_secs(1);
        let mark = self.ledger.mark();
        let reading = self.chain.sample(self.now);
        self.monitor.assess(reading.sample.as_ref(), mark, self.now)
    }

    fn snapshot(&mut self) -> Snapshot {
        self.monitor.snapshot(Occasion::Periodic, self.now, Duration::from_secs(1_700_000_000))
    }
}

#[test]
fn one_check_reaches_ledger_gauge_and_snapshot() {
    let mut scene = Scene::new();
    scene.device.apply(ScriptedChange::Others(Bytes::gb(11)));
    scene.device.apply(ScriptedChange::PoolSlack(Bytes::ZERO));
    let _flux = scene.device.allocate(ModelId::Flux, Bytes::mb(200)).unwrap();
    let assessment = scene.check();
    assert_eq!(assessment.level, Level::Soft);
    assert_eq!(scene.gauge.last(), Pressure { level: Level::Soft, blind: false });
    assert_eq!(scene.ledger.usage().available, Bytes::ZERO, "11.0 GB of others and 0.5 GB of overhead");
    let snapshot = scene.snapshot();
    let device = snapshot.device.unwrap();
    assert_eq!((device.used, device.others), (Bytes::mb(11_200), Some(Bytes::gb(11))));
    assert_eq!((device.source, device.fragmentation), ("scripted", Some(0.0)));
    assert_eq!(snapshot.pressure.level, Level::Soft);
    assert_eq!(snapshot.ledger.actual, Some(Bytes::mb(11_200)));
    let json = serde_json::to_value(snapshot).unwrap();
    assert_eq!(json["probe"]["used"], 11_200_000_000u64);
}

#[test]
fn a_sample_that_may_not_be_decided_by_reaches_nothing() {
    let mut scene = Scene::new();
    scene.check();
    let before = scene.ledger.usage();
    scene.device.apply(ScriptedChange::Others(Bytes::gb(12)));
    let mut probe = ScriptedProbe::new("raw", scene.device.clone());
    let unchecked = probe.sample(scene.now).unwrap();
    let mark = scene.ledger.mark();
    let assessment = scene.monitor.assess(Some(&unchecked), mark, scene.now);
    assert_eq!((assessment.level, scene.ledger.usage()), (Level::Normal, before));
    assert_eq!(scene.snapshot().device.map(|device| device.used), Some(Bytes::ZERO));
}

#[test]
fn a_probe_that_stops_closes_admission_and_leaves_the_snapshot_empty() {
    let mut scene = Scene::new();
    scene.check();
    assert!(scene.gauge.last().admits());
    scene.device.apply(ScriptedChange::Fault(Some(ScriptedFault::Missing)));
    for _ in 0..5 {
        assert!(!scene.check().actions.backpressure, "the last sample is fresh");
    }
    assert!(scene.check().actions.backpressure);
    assert!(!scene.gauge.last().admits());
    assert_eq!(scene.snapshot().device, None);
    assert_eq!(scene.monitor.fresh(scene.now), None);
    scene.device.apply(ScriptedChange::Fault(None));
    scene.check();
    assert!(scene.gauge.last().admits() && scene.monitor.fresh(scene.now).is_some());
}

#[test]
fn the_floor_between_slots_shows_a_leak_that_work_hides() {
    let mut scene = Scene::new();
    let mut verdicts = Vec::new();
    for _ in 0..=10 {
        scene.monitor.slot_began();
        let work = scene.device.allocate(ModelId::Flux, Bytes::gb(3)).unwrap();
        scene.check();
        drop(work);
        scene.device.apply(ScriptedChange::Leak(ModelId::Flux, Bytes::mb(20)));
        scene.monitor.slot_ended();
        assert!(scene.monitor.slot_settled().is_none(), "nothing sampled since");
        scene.check();
        verdicts.extend(scene.monitor.slot_settled());
    }
    let [verdict] = verdicts[..] else { panic!("{verdicts:?}") };
    assert!(verdict.leaking && (verdict.growth / 1e6 - 200.0).abs() < 1e-3, "{verdict:?}");
    assert_eq!(verdict.baseline, Bytes::mb(20));
}

#[test]
fn the_floor_is_learned_anew_after_a_restart() {
    let mut scene = Scene::new();
    for slot in 0..=10 {
        scene.device.apply(ScriptedChange::Leak(ModelId::Flux, Bytes::mb(100)));
        scene.check();
        if slot == 5 {
            scene.monitor.restarted();
            scene.check();
        }
        assert_eq!(scene.monitor.slot_settled(), None, "slot {slot}");
    }
}

#[test]
fn a_claim_is_refused_by_what_the_last_check_saw() {
    let mut scene = Scene::new();
    let claim = Claim::workspace(ModelId::Flux, Some(SlotId::new(uuid::Uuid::nil())), Bytes::gb(3));
    drop(scene.ledger.reserve(claim).unwrap());
    scene.device.apply(ScriptedChange::Others(Bytes::mb(8001)));
    scene.check();
    let refusal = scene.ledger.reserve(claim).unwrap_err();
    assert_eq!(refusal.used, Bytes::mb(8501));
}

#[test]
fn snapshots_are_kept_and_numbered() {
    let mut scene = Scene::new();
    scene.check();
    let numbers: Vec<u64> = (0..6).map(|_| scene.snapshot().number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!(scene.monitor.snapshots().iter().map(|kept| kept.number).collect::<Vec<_>>(), [3, 4, 5, 6]);
}
