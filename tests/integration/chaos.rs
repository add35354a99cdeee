//! Scenarios out of seeds: drawn and written the same every time, held to the same promises, made smaller where they fail.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vortex_node::events::{Event, EventKind, Subscriber};
use vortex_node::rehearse::chaos::{Bounds, Chaos, ChaosReport, Told, Way, draw, shrink};
use vortex_node::rehearse::scenario::{Arrivals, FAULTS, Fault, RunFault};
use vortex_node::rehearse::{Pace, Scenario, rehearse};
use vortex_node::types::{Bytes, DeviceId, ModelId, Stage};
use vortex_node::vram::ScriptedFault;

fn chaos(seeds: std::ops::Range<u64>) -> Chaos {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Chaos { seeds, within: None, failures: NonZeroUsize::MAX, threads, bounds: Bounds::FIXED }
}

/// Longer than anything is simulated.
const LONG: Duration = Duration::from_secs(100_000_000);
/// States of the node's own making may last as long as they like.
const UNBOUNDED: Bounds =
    Bounds { until_remedy: LONG, until_relief: LONG, not_accepting: LONG, not_working: LONG };

fn play(chaos: &Chaos) -> ChaosReport {
    chaos.play(&|_| ())
}

#[test]
fn whatever_goes_wrong_at_once_nothing_is_lost_or_leaked_and_nothing_panics() {
    // From seeds of its own: two lots see more than one twice.
    let report = play(&Chaos { bounds: UNBOUNDED, ..chaos(1000..1200) });
    assert_eq!((report.played, report.lost, report.leaked, report.panics), (200, 0, 0, 0), "{report}");
}

#[test]
fn whatever_goes_wrong_at_once_own_pressure_and_standstills_end_in_time() {
    let report = play(&chaos(0..400));
    let files: String = report.found.iter().map(|found| format!("\n{}", found.text)).collect();
    assert!(report.passed(), "{report}{files}");
    assert_eq!((report.played, report.lost, report.leaked, report.wedged, report.panics), (400, 0, 0, 0, 0));
}

#[test]
fn a_seed_always_draws_the_same_and_its_text_reads_back_as_the_same() {
    for seed in 0..500 {
        let drawn = draw(seed);
        let text = drawn.to_toml();
        assert_eq!(text, draw(seed).to_toml());
        let read: Scenario = text.parse().unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        assert_eq!(read, drawn, "seed {seed}:\n{text}");
        assert!((1..=9).contains(&drawn.faults.len()) && drawn.about.contains(&seed.to_string()));
    }
}

#[test]
fn every_kind_of_misfortune_arrival_and_node_is_drawn() {
    let all: Vec<Scenario> = (0..600).map(draw).collect();
    let texts: String = all.iter().map(Scenario::to_toml).collect();
    for kind in FAULTS {
        assert!(texts.contains(&format!("kind = {kind:?}")), "{kind} is never drawn");
    }
    let actors = ["root", "node", "watchdog", "models", "orchestrator"].into_iter().chain(ModelId::NAMES);
    for actor in actors {
        assert!(texts.contains(&format!("actor = {actor:?}")), "{actor} is never killed");
    }
    for line in ["standby = true", "count = 3", "patient = true", "cancel_after", "unusable = true", "slack"]
    {
        assert!(texts.contains(line), "{line} is never drawn");
    }
    let leaks = |it: &Scenario| it.faults.iter().filter(|fault| matches!(fault, Fault::Leak { .. })).count();
    assert!(all.iter().any(|it| leaks(it) > 1 && it.processes > 0), "several leaks and processes at once");
}

#[test]
fn every_shipped_scenario_is_written_as_it_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rehearsals");
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let scenario: Scenario = std::fs::read_to_string(&file).unwrap().parse().unwrap();
        let text = scenario.to_toml();
        let read: Scenario =
            text.parse().unwrap_or_else(|error| panic!("{}: {error}\n{text}", file.display()));
        assert_eq!(read, scenario, "{}:\n{text}", file.display());
    }
}

#[test]
fn threads_change_nothing_of_what_is_found() {
    let chaos = chaos(0..24);
    let (one, many) = (Chaos { threads: NonZeroUsize::MIN, ..chaos.clone() }, chaos);
    let figures = |chaos: &Chaos| ChaosReport { took: Duration::ZERO, ..play(chaos) };
    assert_eq!(figures(&one), figures(&many));
}

#[test]
fn a_planted_failure_is_found_made_small_and_fails_again_from_its_file() {
    // No time at all above the hard limit by own use: whatever leaks enough breaks that.
    let strict = Bounds { until_relief: Duration::ZERO, ..Bounds::FIXED };
    let chaos =
        Chaos { failures: NonZeroUsize::MIN, threads: NonZeroUsize::MIN, bounds: strict, ..chaos(0..2000) };
    let told = AtomicBool::new(false);
    let report = chaos.play(&|it| {
        told.fetch_or(matches!(it, Told::Found(_)), Ordering::Relaxed);
    });
    let [found] = &report.found[..] else { panic!("{report}") };
    assert!(told.into_inner() && !report.passed());
    assert_eq!(found.way, Way::NoRelief, "{report}");
    let drawn = draw(found.seed);
    assert!(found.misfortunes <= 2 && found.misfortunes <= drawn.faults.len(), "{}", found.text);
    assert!(
        found.text.contains(&format!("seed {}", found.seed)) && found.text.contains("# no relief: "),
        "{}",
        found.text
    );
    let replayed: Scenario = found.text.parse().unwrap();
    assert!(
        replayed.faults.iter().all(|fault| matches!(fault, Fault::Leak { .. } | Fault::Drift { .. })),
        "{}",
        found.text
    );
    let again = rehearse(&replayed, Pace::Accelerated, Vec::new()).unwrap();
    assert!(again.missed.iter().any(|missed| missed.starts_with("until_relief")), "{again}");
    assert_eq!(play(&chaos).found, report.found, "the same is found and made the same");
}

/// Slots that come one after the other and ask until they are taken in.
fn patient(count: u64) -> Vec<Arrivals> {
    let (at, every) = (Duration::from_secs(30), Duration::from_secs(20));
    vec![Arrivals { at, count, every, patient: true, ..Arrivals::default() }]
}

#[test]
fn a_planted_wedge_is_told_and_made_small() {
    // Memory of others that never comes free, with all that may hide it.
    let (second, limit) = (Duration::from_secs, Duration::from_secs(3600));
    let others = Fault::Others { at: second(20), lasts: limit - second(20), bytes: Bytes::gb(6) };
    let (stage, how) = (Stage::Image, RunFault::Panic);
    let faults = vec![
        Fault::Run { stage, slot: 1, slots: 2, attempts: 1, how },
        Fault::Leak { model: ModelId::Kokoro, per_slot: Bytes::mb(5) },
        others,
        Fault::Probe { at: second(40), lasts: second(10), how: ScriptedFault::Failing },
        Fault::On(
            DeviceId::Scripted(0),
            Box::new(Fault::Load { model: ModelId::ClipB, after: 0, times: 2, unusable: false }),
        ),
    ];
    let wedged =
        Scenario { about: "wedged".to_owned(), limit, faults, arrivals: patient(7), ..Scenario::default() };
    let fails = |scenario: &Scenario| rehearse(scenario, Pace::Accelerated, Vec::new()).unwrap().broken_off;
    assert!(fails(&wedged));
    let (small, tries) = shrink(&wedged, &mut |candidate| fails(candidate));
    assert_eq!(
        (small.faults.len(), small.arrivals.len(), small.arrivals[0].count),
        (1, 1, 1),
        "{}",
        small.to_toml()
    );
    assert!(matches!(small.faults[0], Fault::Others { .. }) && tries < 400);
    assert_eq!(shrink(&wedged, &mut |candidate| fails(candidate)).0, small);
}

/// Panics once, where it hears that a picture is there.
#[derive(Default)]
struct Clumsy(AtomicBool);

impl Subscriber for Clumsy {
    fn hear(&self, event: &Event) {
        if matches!(event.kind, EventKind::ImageComplete { .. }) && !self.0.swap(true, Ordering::Relaxed) {
            panic!("dropped the picture");
        }
    }
}

#[test]
fn panics_that_are_not_played_are_told_apart_from_those_that_are() {
    let played = Fault::Run { stage: Stage::Audio, slot: 1, slots: 2, attempts: 1, how: RunFault::Panic };
    let scenario = Scenario {
        about: "panics".to_owned(),
        faults: vec![played],
        arrivals: patient(3),
        ..Scenario::default()
    };
    let report = rehearse(&scenario, Pace::Accelerated, Vec::new()).unwrap();
    assert_eq!((report.panics.len(), report.passed()), (0, true), "{report}");
    let report = rehearse(&scenario, Pace::Accelerated, vec![Arc::new(Clumsy::default())]).unwrap();
    assert!(report.panics.len() == 1 && report.panics[0].contains("dropped the picture"), "{report}");
    assert!(!report.passed());
}

#[test]
fn the_binary_plays_seeds_and_refuses_what_makes_no_sense() {
    let place = tempfile::tempdir().unwrap();
    // What is said twice counts as said last, so that scripts can have defaults.
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vortex-node"));
        command.arg("rehearse").args(arguments).arg("--out").arg(place.path()).output().unwrap()
    };
    let good = run(&["--chaos", "--seeds", "0..90", "--seeds", "3..9", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!((good.status.code(), &report["played"]), (Some(0), &serde_json::json!(6)), "{report}");
    assert_eq!((&report["lost"], &report["wedged"]), (&serde_json::json!(0), &serde_json::json!(0)));
    for nonsense in [
        &["--chaos", "--seeds", "9..3"][..],
        &["--chaos", "--seeds", "4..4"],
        &["--chaos", "--seeds", "all"],
        &["--chaos", "--minutes", "0"],
        &["--chaos", "--failures", "0"],
        &["--chaos", "--realtime"],
        &["--chaos", "steady.toml"],
        &["--seeds", "0..3", "steady.toml"],
    ] {
        assert_eq!(run(nonsense).status.code(), Some(2), "{nonsense:?}");
    }
}
