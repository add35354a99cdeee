//! The memory policies with memory seen through NVML: the played device's figures are served by the simulated library
//! through the real loader path, and the tree has nothing else to look at.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use vortex_node::clock;
use vortex_node::events::{Event, EventKind, Subscriber};
use vortex_node::rehearse::scenario::{Arrivals, Fault};
use vortex_node::rehearse::{Pace, Report, Scenario, rehearse_seen_by};
use vortex_node::types::{Bytes, ModelId};
use vortex_node::vram::policy::Level;
use vortex_node::vram::{
    NvmlProbe, NvmlSelector, Occupant, Probe, ProbeError, Sample, ScriptedDevice, ScriptedFault,
    ScriptedFigures,
};

use crate::support::simulated_nvml::{SimulatedNvml, codes};
use crate::support::skip;

/// Some other process.
const THEM: u32 = 1;

/// Keeps the simulated board as the scenario has its device, and looks at it through the library.
struct ThroughNvml {
    device: ScriptedDevice,
    board: Arc<SimulatedNvml>,
    shown: Option<ScriptedFigures>,
    nvml: NvmlProbe,
}

impl ThroughNvml {
    fn new(device: ScriptedDevice, board: Arc<SimulatedNvml>) -> Self {
        let nvml = NvmlProbe::new(NvmlSelector::Uuid(SimulatedNvml::uuid(0)), Some(board.library()));
        Self { device, board, shown: None, nvml }
    }

    fn show(&mut self, figures: ScriptedFigures) {
        let board = &self.board;
        let gone = figures.fault == Some(ScriptedFault::Missing);
        match (gone, board.is_gone()) {
            (true, false) => return board.vanish(),
            (false, true) => board.come_back(),
            (true, true) => return,
            (false, false) => {}
        }
        board.total(0, figures.total);
        let others = if figures.others == Bytes::ZERO { vec![] } else { vec![(THEM, figures.others)] };
        let ours = [(std::process::id(), figures.own)];
        board.processes(0, &[ours.as_slice(), &others].concat(), Bytes::ZERO);
        let failing = figures.fault == Some(ScriptedFault::Failing);
        board.memory_answers(0, if failing { codes::GPU_IS_LOST } else { 0 });
        match figures.fault {
            Some(ScriptedFault::UsedAboveTotal) => {
                board.used(0, figures.total.saturating_add(Bytes::mb(1)));
            }
            Some(ScriptedFault::NoTotal) => board.total(0, Bytes::ZERO),
            Some(ScriptedFault::HalfTotal) => board.total(0, Bytes::new(figures.total.get() / 2)),
            _ => {}
        }
    }
}

impl Probe for ThroughNvml {
    fn name(&self) -> &'static str {
        self.nvml.name()
    }

    fn sample(&mut self, now: Instant) -> Result<Sample, ProbeError> {
        let figures = self.device.figures();
        if self.shown.replace(figures) != Some(figures) {
            self.show(figures);
        }
        self.nvml.sample(now)
    }

    fn occupants(&mut self) -> Vec<Occupant> {
        self.nvml.occupants()
    }
}

/// Hears what the node says of itself, with the time of it.
#[derive(Default)]
struct Diary(Mutex<Vec<(Instant, EventKind)>>);

impl Subscriber for Diary {
    fn hear(&self, event: &Event) {
        if event.slot.is_none() {
            self.0.lock().unwrap().push((clock::now(), event.kind.clone()));
        }
    }
}

impl Diary {
    fn levels(&self) -> Vec<Level> {
        let told = self.0.lock().unwrap();
        let crossing = |event: &EventKind| match event {
            EventKind::MemoryPressure(crossing) => Some(crossing.to),
            _ => None,
        };
        told.iter().filter_map(|(_, event)| crossing(event)).collect()
    }

    /// Every change of the probe that answers, with whether a reason was told.
    fn switches(&self) -> Vec<(Option<&'static str>, Option<&'static str>, bool)> {
        let told = self.0.lock().unwrap();
        let switch = |event: &EventKind| match event {
            EventKind::ProbeSwitched { from, to, because } => Some((*from, *to, because.is_some())),
            _ => None,
        };
        told.iter().filter_map(|(_, event)| switch(event)).collect()
    }

    fn sources(&self) -> Vec<&'static str> {
        let told = self.0.lock().unwrap();
        let source = |event: &EventKind| match event {
            EventKind::Memory { sample } => Some(sample.source),
            _ => None,
        };
        let mut all: Vec<_> = told.iter().filter_map(|(_, event)| source(event)).collect();
        all.dedup();
        all
    }
}

/// Plays a scenario with every process's device seen through a library of its own; `None`, and said so, where the
/// library cannot be built.
fn play(scenario: &Scenario) -> Option<(Report, Arc<Diary>)> {
    play_on(scenario, |_| {})
}

/// The same on a machine that `prepare` changes first.
fn play_on(scenario: &Scenario, prepare: impl Fn(&SimulatedNvml)) -> Option<(Report, Arc<Diary>)> {
    if SimulatedNvml::start(Bytes::gib(12), Bytes::ZERO).is_none() {
        skip("rustc, to build the simulated NVML library");
        return None;
    }
    let eyes = |device: &ScriptedDevice| -> Vec<Box<dyn Probe>> {
        let board = SimulatedNvml::start(device.figures().total, Bytes::ZERO).unwrap();
        prepare(&board);
        vec![Box::new(ThroughNvml::new(device.clone(), Arc::new(board)))]
    };
    let diary = Arc::new(Diary::default());
    let report = rehearse_seen_by(scenario, Pace::Accelerated, vec![diary.clone()], &eyes).unwrap();
    assert_eq!(diary.sources(), ["nvml"], "everything was seen through the library");
    Some((report, diary))
}

fn shipped(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rehearsals");
    let file: PathBuf = folder.join(name).with_extension("toml");
    std::fs::read_to_string(&file).unwrap().parse().unwrap()
}

/// Slots that come one after the other, and what happens meanwhile.
fn slots(count: u64, faults: Vec<Fault>) -> Scenario {
    let arrivals = Arrivals {
        at: Duration::from_secs(10),
        count,
        every: Duration::from_secs(15),
        deadline: Duration::from_secs(1800),
        patient: true,
        cancel_after: None,
    };
    Scenario { arrivals: vec![arrivals], faults, ..Scenario::default() }
}

#[test]
fn the_memory_scenarios_end_the_same_when_nvml_is_all_there_is_to_see() {
    // Restart victim, leak verdict, others' use, memory that does not come back, out of memory once and twice, and a
    // library that disappears.
    for name in [
        "drift",
        "leak",
        "other-process",
        "memory-kept",
        "out-of-memory",
        "out-of-memory-twice",
        "nvml-vanishes",
    ] {
        let Some((report, _)) = play(&shipped(name)) else { return };
        assert!(report.passed(), "{name}:\n{report}");
        assert_eq!((report.lost, report.leases_leaked), (0, 0), "{name}:\n{report}");
    }
}

#[test]
fn others_seen_through_nvml_raise_pressure_step_by_step_and_it_clears() {
    let others = |at: u64, lasts: u64, bytes| Fault::Others {
        at: Duration::from_millis(at),
        lasts: Duration::from_secs(lasts),
        bytes,
    };
    // The idle node takes 7.0 GB; soft is 11.0, hard 11.5.
    let faults = vec![others(60_300, 20, Bytes::mb(4200)), others(120_300, 20, Bytes::mb(4600))];
    let Some((report, diary)) = play(&slots(1, faults)) else { return };
    let levels = diary.levels();
    assert_eq!(levels.first(), Some(&Level::Soft), "{levels:?}");
    assert!(levels.contains(&Level::Hard) && levels.last() == Some(&Level::Normal), "{levels:?}");
    assert!(report.restarts.is_empty(), "nobody is restarted for what others take:\n{report}");
    assert_eq!(report.completed, 1);
    // Once for each time that others began to be the cause.
    let told = diary.0.lock().unwrap();
    let occupied = told.iter().filter_map(|(_, event)| match event {
        EventKind::MemoryOccupied { occupants } => Some(occupants.clone()),
        _ => None,
    });
    let name = std::fs::read_to_string(format!("/proc/{THEM}/comm")).unwrap().trim_end().to_owned();
    let by = |bytes| vec![Occupant { pid: THEM, name: Some(name.clone()), bytes }];
    assert_eq!(occupied.collect::<Vec<_>>(), [by(Bytes::mb(4200)), by(Bytes::mb(4600))]);
}

#[test]
fn a_library_that_disappears_in_the_middle_of_a_slot_closes_admission_and_costs_the_slot_nothing() {
    // The first slot is at work from 10 s to 31 s.
    let (at, lasts) = (Duration::from_millis(15_300), Duration::from_secs(30));
    let faults = vec![Fault::Probe { at, lasts, how: ScriptedFault::Missing }];
    let mut scenario = slots(3, faults);
    scenario.arrivals[0].patient = false;
    let Some((report, diary)) = play(&scenario) else { return };
    let blind = diary.0.lock().unwrap().iter().any(|(_, event)| matches!(event, EventKind::Blind { .. }));
    assert!(blind, "a watch without eyes says so:\n{report}");
    let (nvml, nobody) = (Some("nvml"), None);
    let (answers, lost) = ((nobody, nvml, false), (nvml, nobody, true));
    assert_eq!(
        diary.switches(),
        [answers, lost, answers],
        "each change is told once, the loss with its reason"
    );
    assert!(report.refused.contains_key("pressure"), "{report}");
    assert!(report.failed.is_empty() && report.completed >= 1 && report.restarts.is_empty(), "{report}");
    assert_eq!((report.lost, report.leases_leaked), (0, 0), "{report}");
}

#[test]
fn a_board_that_lies_or_falls_off_the_bus_decides_nothing() {
    let ways = [
        ScriptedFault::Failing,
        ScriptedFault::UsedAboveTotal,
        ScriptedFault::NoTotal,
        ScriptedFault::HalfTotal,
    ];
    for how in ways {
        let (at, lasts) = (Duration::from_millis(12_300), Duration::from_secs(10));
        let Some((report, diary)) = play(&slots(2, vec![Fault::Probe { at, lasts, how }])) else { return };
        assert!(diary.levels().is_empty(), "{how:?}: no pressure was measured:\n{report}");
        assert!(report.completed == 2 && report.restarts.is_empty(), "{how:?}:\n{report}");
    }
}

#[test]
fn a_lost_neighbour_takes_nothing_from_a_nodes_own_board() {
    let beside_a_lost_one = |nvml: &SimulatedNvml| {
        nvml.boards(2);
        nvml.handle_answers(1, codes::GPU_IS_LOST);
        nvml.memory_answers(1, codes::GPU_IS_LOST);
    };
    let Some((report, diary)) = play_on(&slots(2, vec![]), beside_a_lost_one) else { return };
    assert!(diary.levels().is_empty(), "no pressure was measured:\n{report}");
    assert!(report.completed == 2 && report.failed.is_empty() && report.restarts.is_empty(), "{report}");
}

#[test]
fn the_model_that_grew_is_the_victim_when_only_the_process_is_seen() {
    let Some((report, diary)) = play(&shipped("drift")) else { return };
    let told = diary.0.lock().unwrap();
    let down = |event: &EventKind| match event {
        EventKind::ActorDown { actor, .. } => Some(*actor),
        _ => None,
    };
    let down: Vec<&str> = told.iter().filter_map(|(_, event)| down(event)).collect();
    let grown = ModelId::LivePortrait.name();
    assert!(!down.is_empty() && down.iter().all(|actor| *actor == grown), "{down:?}\n{report}");
}
