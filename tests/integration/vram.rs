//! Device memory as a whole: the NVML probe through the real loader path, the chain in mid-run, and what a check costs.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use vortex_node::clock;
use vortex_node::types::{Bytes, DeviceId, ModelId};
use vortex_node::vram::policy::{LeakSettings, Level, Thresholds};
use vortex_node::vram::{
    ChainSettings, Claim, HostProbe, HostProbeSetup, Ledger, Monitor, MonitorSettings, NvmlProbe,
    NvmlSelector, Occasion, Occupant, Pressure, PressureGauge, Probe, ProbeChain, ProbeErrorKind,
    ScriptedChange, ScriptedDevice, ScriptedProbe, Standing,
};

use crate::support::allocations::allocations;
use crate::support::simulated_nvml::{SimulatedNvml, codes};
use crate::support::skip;

const AGE: Duration = Duration::from_secs(5);

/// A board of 12 GiB of which the driver keeps 0.4 GB; `None`, and said so, where it cannot be built.
fn board() -> Option<SimulatedNvml> {
    let simulated = SimulatedNvml::start(Bytes::gib(12), Bytes::mb(400));
    if simulated.is_none() {
        skip("rustc, to build the simulated NVML library");
    }
    simulated
}

fn probe(simulated: &SimulatedNvml, selector: NvmlSelector) -> NvmlProbe {
    NvmlProbe::new(selector, Some(simulated.library()))
}

fn first(simulated: &SimulatedNvml) -> NvmlProbe {
    probe(simulated, NvmlSelector::Index(0))
}

#[test]
fn nvml_tells_the_board_this_process_and_others_apart() {
    let Some(board) = board() else { return };
    let (us, them) = (std::process::id(), 1);
    board.processes(0, &[(them, Bytes::mb(700)), (us, Bytes::mb(5000))], Bytes::mb(50));
    let now = clock::now();
    let sample = first(&board).sample(now).unwrap();
    assert_eq!((sample.source, sample.standing, sample.taken_at), ("nvml", Standing::Unchecked, now));
    assert_eq!((sample.total, sample.used), (Bytes::gib(12), Bytes::mb(5750)));
    assert_eq!(sample.free, Bytes::gib(12).saturating_sub(Bytes::mb(6150)), "the driver's part is not free");
    assert_eq!((sample.own, sample.others), (Some(Bytes::mb(5000)), Some(Bytes::mb(750))));
    assert_eq!(sample.flaw(now, AGE), None);
}

#[test]
fn where_this_process_is_not_listed_nobody_is_told_apart() {
    let Some(board) = board() else { return };
    board.processes(0, &[(1, Bytes::mb(700))], Bytes::ZERO);
    let mut nvml = first(&board);
    let sample = nvml.sample(clock::now()).unwrap();
    assert_eq!((sample.used, sample.own, sample.others), (Bytes::mb(700), None, None));
    // As under drivers that attribute nothing: all bits set stand for "not available".
    board.processes(0, &[(std::process::id(), Bytes::MAX)], Bytes::ZERO);
    board.used(0, Bytes::mb(800));
    let sample = nvml.sample(clock::now()).unwrap();
    assert_eq!((sample.used, sample.own), (Bytes::mb(800), None));
    board.processes_answer(0, codes::NOT_SUPPORTED);
    assert_eq!(nvml.sample(clock::now()).unwrap().own, None);
}

#[test]
fn nvml_names_the_other_processes_that_hold_most() {
    let Some(board) = board() else { return };
    let mut sleeper = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let (us, them, gone) = (std::process::id(), sleeper.id(), u32::MAX);
    // Between fork and exec it still has the name of this thread.
    while std::fs::read_to_string(format!("/proc/{them}/comm")).unwrap() != "sleep\n" {
        std::thread::yield_now();
    }
    board.processes(
        0,
        &[(1, Bytes::MAX), (them, Bytes::mb(700)), (us, Bytes::mb(5000)), (gone, Bytes::mb(900))],
        Bytes::ZERO,
    );
    let mut nvml = first(&board);
    let found = nvml.occupants();
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    let occupant = |pid, name: Option<&str>, bytes| Occupant { pid, name: name.map(str::to_owned), bytes };
    let expected = [occupant(gone, None, Bytes::mb(900)), occupant(them, Some("sleep"), Bytes::mb(700))];
    assert_eq!(found, expected, "not this process, and not one that the driver says nothing of");
    board.processes_answer(0, codes::NOT_SUPPORTED);
    assert_eq!(nvml.occupants(), []);
    board.memory_answers(0, codes::GPU_IS_LOST);
    board.handle_answers(0, codes::GPU_IS_LOST);
    assert_eq!(nvml.occupants(), [], "a lost board says nothing, and is told of by the next look");
    board.handle_answers(0, 0);
    board.memory_answers(0, 0);
    board.processes_answer(0, 0);
    assert_eq!(nvml.occupants().len(), 2, "the library is opened anew");
}

#[test]
fn boards_are_chosen_by_index_or_uuid() {
    let Some(board) = board() else { return };
    board.boards(3);
    (0..3).for_each(|index| board.used(index, Bytes::mb(100 * (index as u64 + 1))));
    let used = |selector| probe(&board, selector).sample(clock::now()).map(|sample| sample.used);
    assert_eq!(used(NvmlSelector::Index(2)), Ok(Bytes::mb(300)));
    assert_eq!(used(NvmlSelector::Uuid(SimulatedNvml::uuid(1))), Ok(Bytes::mb(200)));
    for absent in [NvmlSelector::Index(3), NvmlSelector::Uuid("GPU-none".to_owned())] {
        let error = used(absent).unwrap_err();
        assert_eq!(error.kind, ProbeErrorKind::Missing);
        assert!(error.to_string().contains("board"), "{error}");
    }
}

#[test]
fn a_missing_library_is_a_normal_answer() {
    let nowhere = NvmlProbe::new(NvmlSelector::Index(0), Some("/nonexistent/libnvidia-ml.so.1".into()))
        .sample(clock::now())
        .unwrap_err();
    assert_eq!(nowhere.kind, ProbeErrorKind::Missing);
    assert!(nowhere.to_string().contains("/nonexistent/libnvidia-ml.so.1"), "{nowhere}");
    let Some(board) = board() else { return };
    board.initialising_answers(codes::DRIVER_NOT_LOADED);
    assert_eq!(first(&board).sample(clock::now()).unwrap_err().kind, ProbeErrorKind::Missing);
}

#[test]
fn a_lost_card_is_an_error_and_the_library_is_opened_anew() {
    let Some(board) = board() else { return };
    let mut nvml = first(&board);
    nvml.sample(clock::now()).unwrap();
    board.memory_answers(0, codes::GPU_IS_LOST);
    let error = nvml.sample(clock::now()).unwrap_err();
    assert_eq!((error.kind, error.probe), (ProbeErrorKind::Failed, "nvml"));
    board.memory_answers(0, 0);
    // Only a library that is really closed and opened again asks for its initialising.
    board.initialising_answers(codes::DRIVER_NOT_LOADED);
    assert_eq!(nvml.sample(clock::now()).unwrap_err().kind, ProbeErrorKind::Missing);
    board.initialising_answers(0);
    assert!(nvml.sample(clock::now()).is_ok());
}

/// A watched card: NVML first, a scripted stand-in for the driver's own counter second.
struct Watched {
    chain: ProbeChain,
    ledger: Ledger,
    gauge: PressureGauge,
    monitor: Monitor,
    stand_in: ScriptedDevice,
    now: Instant,
}

impl Watched {
    fn new(first: Box<dyn Probe>) -> Self {
        let now = clock::now();
        let stand_in = ScriptedDevice::new(Bytes::gib(12));
        let probes =
            vec![first, Box::new(ScriptedProbe::new("stand-in", stand_in.clone())) as Box<dyn Probe>];
        let settings =
            ChainSettings { max_age: AGE, retry_after: Duration::from_secs(30), ..ChainSettings::default() };
        let ledger = Ledger::new(DeviceId::Cuda(0), Bytes::mb(11_500), Bytes::mb(500));
        let gauge = PressureGauge::new(now);
        let thresholds = Thresholds::new(
            Bytes::mb(11_000),
            Bytes::mb(11_500),
            Bytes::mb(300),
            Duration::from_secs(2),
            AGE,
        );
        let settings_of_monitor = MonitorSettings {
            thresholds: thresholds.unwrap(),
            leak: LeakSettings::default(),
            snapshots: NonZeroUsize::new(64).unwrap(),
        };
        let monitor = Monitor::new(&settings_of_monitor, ledger.clone(), gauge.clone());
        Self { chain: ProbeChain::new(probes, settings), ledger, gauge, monitor, stand_in, now }
    }

    /// One check, a second later: who answered, and the level.
    fn check(&mut self) -> (Option<&'static str>, Level) {
        self.now += Duration::from_secs(1);
        let mark = self.ledger.mark();
        let reading = self.chain.sample(self.now);
        let assessment = self.monitor.assess(reading.sample.as_ref(), mark, self.now);
        (reading.sample.map(|sample| sample.source), assessment.level)
    }
}

#[test]
fn others_seen_through_nvml_count_against_the_limits() {
    let Some(board) = board() else { return };
    let us = std::process::id();
    board.processes(0, &[(us, Bytes::mb(500))], Bytes::ZERO);
    let mut watched = Watched::new(Box::new(first(&board)));
    assert_eq!(watched.check(), (Some("nvml"), Level::Normal));
    drop(watched.ledger.reserve(Claim::resident(ModelId::Flux, Bytes::mb(11_000))).unwrap());

    board.processes(0, &[(us, Bytes::mb(500)), (1, Bytes::mb(4000))], Bytes::ZERO);
    assert_eq!(watched.check(), (Some("nvml"), Level::Normal));
    let refusal = watched.ledger.reserve(Claim::resident(ModelId::Flux, Bytes::mb(7001))).unwrap_err();
    assert_eq!((refusal.used, refusal.needed), (Bytes::mb(4500), Bytes::mb(7001)));
    board.processes(0, &[(us, Bytes::mb(500)), (1, Bytes::mb(10_600))], Bytes::ZERO);
    assert_eq!(watched.check(), (Some("nvml"), Level::Soft));
    board.processes(0, &[(us, Bytes::mb(500)), (1, Bytes::mb(11_000))], Bytes::ZERO);
    assert_eq!(watched.check(), (Some("nvml"), Level::Hard));
}

#[test]
fn nvml_vanishing_in_mid_run_hands_over_and_is_taken_back() {
    let Some(board) = board() else { return };
    board.processes(0, &[(std::process::id(), Bytes::mb(5000))], Bytes::ZERO);
    let mut watched = Watched::new(Box::new(first(&board)));
    watched.stand_in.apply(ScriptedChange::Overhead(Bytes::mb(5100)));
    assert_eq!(watched.check(), (Some("nvml"), Level::Normal));

    board.vanish();
    assert_eq!(watched.check(), (Some("stand-in"), Level::Normal));
    let snapshot = watched.monitor.snapshot(Occasion::Periodic, watched.now, Duration::ZERO);
    let device = snapshot.device.unwrap();
    assert_eq!((device.standing, device.used), (Standing::Fallback, Bytes::mb(5100)));
    for _ in 0..28 {
        assert_eq!(watched.check().0, Some("stand-in"), "the library rests");
    }
    let trouble = watched.chain.standing().find_map(|(_, trouble)| trouble).unwrap();
    assert_eq!((trouble.probe, trouble.kind), ("nvml", ProbeErrorKind::Failed));
    watched.check();
    watched.check();
    let trouble = watched.chain.standing().find_map(|(_, trouble)| trouble).unwrap();
    assert_eq!(trouble.kind, ProbeErrorKind::Missing, "tried again and found gone: {trouble}");

    board.come_back();
    let answered: Vec<_> = (0..31).map(|_| watched.check().0).collect();
    assert_eq!(answered.last(), Some(&Some("nvml")));
}

#[test]
fn a_lying_nvml_raises_no_alarm() {
    let Some(board) = board() else { return };
    let mut watched = Watched::new(Box::new(first(&board)));
    watched.check();
    board.used(0, Bytes::gib(13));
    assert_eq!(watched.check(), (Some("stand-in"), Level::Normal));
    board.used(0, Bytes::ZERO);
    board.total(0, Bytes::ZERO);
    for _ in 0..40 {
        assert_eq!(watched.check(), (Some("stand-in"), Level::Normal));
    }
    assert!(watched.gauge.last().admits());
}

#[test]
fn a_check_and_its_record_allocate_nothing() {
    let setup = HostProbeSetup { total: Some(Bytes::gb(1000)), ..HostProbeSetup::default() };
    let host: Box<dyn Probe> = Box::new(HostProbe::new(setup));
    let scripted_device = ScriptedDevice::new(Bytes::gib(12));
    let scripted: Box<dyn Probe> = Box::new(ScriptedProbe::new("scripted", scripted_device.clone()));
    for probe in [host, scripted] {
        let mut watched = Watched::new(probe);
        let _leases: Vec<_> = ModelId::ALL
            .iter()
            .map(|model| watched.ledger.reserve(Claim::resident(*model, Bytes::mb(100))).unwrap())
            .collect();
        let _subscriber = watched.gauge.subscribe();
        watched.check();
        let (count, levels) = allocations(|| {
            let mut levels = [Level::Normal; 3];
            for round in 0..200u64 {
                // Up and down through every level, so that crossings are counted too.
                scripted_device.apply(ScriptedChange::Others(Bytes::mb(300 * (round % 40))));
                let (_, level) = watched.check();
                levels[level as usize] = level;
                let snapshot = watched.monitor.snapshot(Occasion::Periodic, watched.now, Duration::ZERO);
                assert!(snapshot.device.is_some());
                watched.monitor.slot_settled();
            }
            levels
        });
        assert_eq!(count, 0, "after {levels:?}");
        if watched.chain.standing().next().is_some_and(|(name, _)| name == "scripted") {
            assert_eq!(levels, [Level::Normal, Level::Soft, Level::Hard]);
        }
    }
    assert!(allocations(|| vec![1u8; 10]).0 > 0, "the counter counts");
}

#[test]
fn a_watch_that_stops_goes_blind() {
    let mut watched = Watched::new(Box::new(ScriptedProbe::new("only", ScriptedDevice::new(Bytes::gb(12)))));
    watched.check();
    assert!(watched.gauge.read(watched.now + AGE, AGE).admits());
    let later = watched.gauge.read(watched.now + AGE + Duration::from_millis(1), AGE);
    assert_eq!(later, Pressure { level: Level::Normal, blind: true });
}
