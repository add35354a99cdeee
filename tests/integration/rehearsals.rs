//! The node on a scripted device: every shipped scenario, the exit codes through the binary, and the sweeps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use vortex_node::actors::handle::ActorName;
use vortex_node::events::{Event, EventKind};
use vortex_node::rehearse::scenario::{Arrivals, FAULTS, Fault, RunFault};
use vortex_node::rehearse::{Pace, Report, Scenario, rehearse};
use vortex_node::types::{Bytes, ModelId, Stage};
use vortex_node::vram::policy::{Level, MemoryRemedy};

use crate::support::diary::play_with_diary;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rehearsals")
}

fn shipped() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

fn play(scenario: &Scenario) -> Report {
    rehearse(scenario, Pace::Accelerated, Vec::new()).unwrap()
}

/// `count` slots that come one after the other, with all the time in the world.
fn some_slots(count: u64, every: u64) -> Scenario {
    let arrivals = Arrivals {
        at: Duration::from_secs(10),
        count,
        every: Duration::from_secs(every),
        deadline: Duration::from_secs(1800),
        patient: true,
        cancel_after: None,
    };
    Scenario { arrivals: vec![arrivals], ..Scenario::default() }
}

#[test]
fn every_shipped_scenario_ends_as_its_file_says() {
    let files = shipped();
    assert!(files.len() >= 20, "only {} scenarios under {}", files.len(), folder().display());
    for file in files {
        let scenario: Scenario = std::fs::read_to_string(&file).unwrap().parse().unwrap();
        let report = play(&scenario);
        assert!(report.passed(), "{}:\n{report}", file.display());
        let ended =
            report.completed + report.failed.values().sum::<u64>() + report.cancelled.values().sum::<u64>();
        let known = ended + report.kept;
        assert_eq!(report.accepted, known, "{}: a slot without a terminal record", file.display());
    }
}

#[test]
fn every_kind_of_fault_has_a_shipped_scenario() {
    let all: String = shipped().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    for kind in FAULTS {
        assert!(all.contains(&format!("kind = {kind:?}")), "no scenario has a fault of kind {kind}");
    }
}

#[test]
fn a_rehearsal_repeats_exactly() {
    let text = std::fs::read_to_string(folder().join("panic.toml")).unwrap();
    let scenario: Scenario = text.parse().unwrap();
    assert_eq!(play(&scenario), play(&scenario));
}

#[test]
fn the_binary_answers_with_the_verdict_and_refuses_nonsense() {
    let run = |file: &Path| {
        Command::new(env!("CARGO_BIN_EXE_vortex-node"))
            .arg("rehearse")
            .arg(file)
            .arg("--json")
            .output()
            .unwrap()
    };
    let budget = run(&folder().join("restart-budget.toml"));
    let report: serde_json::Value = serde_json::from_slice(&budget.stdout).unwrap();
    assert_eq!((budget.status.code(), &report["exits"]), (Some(0), &serde_json::json!([70])), "{report}");
    let hang = run(&folder().join("hang.toml"));
    let report: serde_json::Value = serde_json::from_slice(&hang.stdout).unwrap();
    assert_eq!((hang.status.code(), &report["exits"]), (Some(0), &serde_json::json!([71, 0])), "{report}");

    let unusable = run(&folder().join("load-fails-for-good.toml"));
    let report: serde_json::Value = serde_json::from_slice(&unusable.stdout).unwrap();
    assert_eq!((unusable.status.code(), &report["exits"]), (Some(0), &serde_json::json!([2])), "{report}");

    let place = tempfile::tempdir().unwrap();
    let disappointed = place.path().join("disappointed.toml");
    std::fs::write(&disappointed, "about = \"x\"\n[[arrivals]]\n[expect]\ncompleted = 2\n").unwrap();
    assert_eq!(run(&disappointed).status.code(), Some(1));
    let nonsense = place.path().join("nonsense.toml");
    std::fs::write(&nonsense, "about = \"x\"\nlimit = \"0s\"\n[[faults]]\nkind = \"panic\"\nstage = \"x\"\n")
        .unwrap();
    let refused = run(&nonsense);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains("limit = \"0s\"") && said.contains("faults[0].stage"), "{said}");
    assert_eq!(run(&place.path().join("absent.toml")).status.code(), Some(2));
}

#[test]
fn steady_throughput_is_the_slowest_stages() {
    let report = play(&some_slots(60, 0));
    let period = report.period.unwrap().as_secs_f64();
    assert!((period - 12.0).abs() <= 0.24, "a slot every {period} s");
}

#[test]
fn killing_any_actor_at_any_point_of_a_slot_loses_nothing_and_leaks_nothing() {
    let actors =
        [ActorName::Root, ActorName::Node, ActorName::Watchdog, ActorName::Models, ActorName::Orchestrator];
    for actor in actors.into_iter().chain(ModelId::ALL.map(ActorName::Model)) {
        // The first slot runs from 10 s to 31 s; the second overlaps it. Loading is swept as well.
        for quarter in 0..140 {
            let at = Duration::from_millis(137 + 250 * quarter);
            let faults = vec![Fault::Kill { actor, at }];
            let scenario = Scenario { faults, processes: 1, ..some_slots(2, 5) };
            let report = play(&scenario);
            let fine = report.lost == 0
                && report.leases_leaked == 0
                && report.accepted == 2
                && report.completed == 2
                && !report.broken_off;
            assert!(fine, "{actor:?} killed at {at:?}:\n{report}");
        }
    }
}

#[test]
fn two_kills_in_a_row_lose_nothing_either() {
    let actors = [ActorName::Models, ActorName::Orchestrator, ActorName::Model(ModelId::Flux)];
    for first in actors {
        for second in actors {
            for gap in [0, 90, 700, 3000, 9000] {
                let at = Duration::from_millis(15_100);
                let again = at + Duration::from_millis(gap);
                let faults = vec![Fault::Kill { actor: first, at }, Fault::Kill { actor: second, at: again }];
                let scenario = Scenario { faults, processes: 1, ..some_slots(2, 5) };
                let report = play(&scenario);
                let ended = report.completed + report.failed.values().sum::<u64>();
                assert!(
                    report.lost == 0 && report.leases_leaked == 0 && ended == 2,
                    "{first:?}, {gap} ms later {second:?}:\n{report}"
                );
            }
        }
    }
}

#[test]
fn the_soft_limit_closes_admission_within_a_look_and_the_running_slot_finishes() {
    let (from, lasts) = (Duration::from_millis(20_300), Duration::from_secs(60));
    let others = Fault::Others { at: from, lasts, bytes: Bytes::mb(2500) };
    let asking = |at: u64, count, every| Arrivals {
        at: Duration::from_millis(at),
        count,
        every: Duration::from_millis(every),
        deadline: Duration::from_secs(1800),
        patient: false,
        cancel_after: None,
    };
    // One slot at 10 s; from 20 s on somebody asks ten times a second.
    let mut scenario = Scenario {
        arrivals: vec![asking(10_000, 1, 0), asking(20_000, 900, 100)],
        faults: vec![others],
        queue: std::num::NonZeroUsize::new(2000).unwrap(),
        ..Scenario::default()
    };
    // Everything at work takes 9.6 GB: below the floor of 9.9 GB.
    (scenario.device.soft_limit, scenario.device.hysteresis) = (Bytes::gb(10), Bytes::mb(100));
    let (report, diary) = play_with_diary(&scenario);
    let refused = report.refused["pressure"];
    let (closed, reopened) = (refused.first, refused.last);
    let period = scenario.device.sample_every;
    assert!(closed >= from && closed <= from + period + Duration::from_millis(100), "closed at {closed:?}");
    assert!(reopened >= from + lasts, "reopened at {reopened:?}");
    let dwell = scenario.device.dwell;
    assert!(reopened <= from + lasts + dwell + period * 2, "reopened only at {reopened:?}");
    let node = diary.cards.lock().unwrap();
    let soft =
        node.iter().any(|(_, event)| matches!(event, EventKind::MemoryPressure(it) if it.to == Level::Soft));
    assert!(soft && report.restarts.is_empty(), "{report}");
    let slots = diary.slots.lock().unwrap();
    let first = slots.iter().find(|(_, event)| matches!(event.kind, EventKind::GenerationComplete { .. }));
    let EventKind::GenerationComplete { elapsed, .. } = &first.unwrap().1.kind else { unreachable!() };
    assert_eq!(*elapsed, Duration::from_secs(21), "the running slot was not held up");
}

#[test]
fn at_the_hard_limit_the_lease_is_refused_with_numbers_and_one_slot_pays() {
    let others = Fault::Others {
        at: Duration::from_millis(20_300),
        lasts: Duration::from_secs(40),
        bytes: Bytes::mb(4400),
    };
    let scenario = Scenario { faults: vec![others], ..some_slots(4, 0) };
    let (report, diary) = play_with_diary(&scenario);
    let node = diary.cards.lock().unwrap();
    let refusals: Vec<_> = node
        .iter()
        .filter_map(
            |(_, event)| if let EventKind::LeaseRefused(refusal) = event { Some(refusal) } else { None },
        )
        .collect();
    assert_eq!(refusals.len(), 1, "one slot pays, the others wait:\n{report}");
    let refusal = refusals[0];
    assert_eq!(refusal.limit, scenario.device.hard_limit);
    assert!(refusal.used.saturating_add(refusal.needed) > refusal.limit && !refusal.holders.is_empty());
    assert!(report.completed == 3 && report.restarts.is_empty() && report.limit_violations == 0, "{report}");
}

#[test]
fn the_model_that_grew_restarts_and_the_others_never_stop() {
    let text = std::fs::read_to_string(folder().join("drift.toml")).unwrap();
    let (report, diary) = play_with_diary(&text.parse().unwrap());
    let node = diary.cards.lock().unwrap();
    let down: Vec<&str> = node
        .iter()
        .filter_map(
            |(_, event)| if let EventKind::ActorDown { actor, .. } = event { Some(*actor) } else { None },
        )
        .collect();
    assert!(!down.is_empty() && down.iter().all(|actor| *actor == "liveportrait"), "{down:?}\n{report}");
}

#[test]
fn a_slot_tells_its_walk_in_order() {
    let (_, diary) = play_with_diary(&some_slots(1, 0));
    let told = diary.slots.lock().unwrap();
    let names: Vec<String> = told
        .iter()
        .map(|(_, event)| serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned())
        .collect();
    // Two stages run side by side: what they tell on the way is looked at below.
    let on_the_way = ["stage_began", "stage_progress", "run_ended"];
    let mut without_repeats = names.clone();
    without_repeats.retain(|name| !on_the_way.contains(&name.as_str()));
    without_repeats.dedup();
    let wanted = [
        "accepted",
        "audio_complete",
        "image_complete",
        "video_progress",
        "video_complete",
        "clip_complete",
        "generation_complete",
    ];
    assert_eq!(without_repeats, wanted);
    assert_eq!(names.iter().filter(|name| *name == "video_progress").count(), 4);
    let place =
        |wanted: &dyn Fn(&EventKind) -> bool| told.iter().position(|(_, event)| wanted(&event.kind)).unwrap();
    for stage in Stage::ALL {
        let began = place(&|event| matches!(event, EventKind::StageBegan { stage: of, .. } if *of == stage));
        let done = place(&|event| match event {
            EventKind::AudioComplete { .. } => stage == Stage::Audio,
            EventKind::ImageComplete { .. } => stage == Stage::Image,
            EventKind::VideoComplete { .. } => stage == Stage::Video,
            EventKind::ClipComplete { .. } => stage == Stage::Verify,
            EventKind::GenerationComplete { .. } => stage == Stage::Package,
            _ => false,
        });
        let step = |event: &Event| match &event.kind {
            EventKind::StageProgress { stage: of, .. } => *of == stage,
            EventKind::VideoProgress { .. } => stage == Stage::Video,
            _ => false,
        };
        let run_ended =
            |event: &Event| matches!(event.kind, EventKind::RunEnded { stage: of, .. } if of == stage);
        let runs: Vec<usize> = (0..told.len()).filter(|place| run_ended(&told[*place].1)).collect();
        let wanted = match stage {
            Stage::Audio | Stage::Image | Stage::Video => 1,
            // Each CLIP by itself.
            Stage::Verify => 2,
            Stage::Package => 0,
        };
        assert!(
            runs.len() == wanted && runs.iter().all(|run| began < *run && *run <= done),
            "{stage}: {names:?}"
        );
        let steps: Vec<usize> = (0..told.len()).filter(|place| step(&told[*place].1)).collect();
        assert!(began < done && steps.iter().all(|step| began < *step && *step < done), "{stage}: {names:?}");
    }
}

#[test]
fn a_model_that_dies_costs_only_its_own_stage() {
    let fault = Fault::Run { stage: Stage::Video, slot: 1, slots: 1, attempts: 1, how: RunFault::Panic };
    let (report, diary) = play_with_diary(&Scenario { faults: vec![fault], ..some_slots(1, 0) });
    assert_eq!(report.completed, 1);
    let told = diary.slots.lock().unwrap();
    let count = |wanted: &str| {
        told.iter().filter(|(_, event)| serde_json::to_value(event).unwrap()["event"] == wanted).count()
    };
    assert_eq!((count("audio_complete"), count("image_complete"), count("video_complete")), (1, 1, 1));
}

#[test]
fn a_rehearsal_in_real_time_uses_threads_and_ends_the_same() {
    let mut scenario = some_slots(3, 0);
    for part in scenario.parts.values_mut() {
        (part.load, part.canary, part.run) =
            (Duration::from_millis(20), Duration::from_millis(5), Duration::from_millis(30));
    }
    scenario.arrivals[0].at = Duration::from_millis(200);
    scenario.device.sample_every = Duration::from_millis(50);
    scenario.settle = Duration::from_millis(10);
    scenario.restart.first_delay = Duration::from_millis(10);
    scenario.faults =
        vec![Fault::Run { stage: Stage::Image, slot: 2, slots: 1, attempts: 1, how: RunFault::Panic }];
    let report = rehearse(&scenario, Pace::RealTime, Vec::new()).unwrap();
    assert!(report.completed == 3 && report.restarts.get("flux") == Some(&1) && report.lost == 0, "{report}");
}

#[test]
fn a_thread_that_hangs_in_real_time_ends_in_an_exit_and_not_in_a_wait() {
    let mut scenario = some_slots(1, 0);
    for part in scenario.parts.values_mut() {
        (part.load, part.canary, part.run) =
            (Duration::from_millis(20), Duration::from_millis(5), Duration::from_millis(20));
    }
    scenario.arrivals[0].at = Duration::from_millis(200);
    scenario.device.sample_every = Duration::from_millis(50);
    (scenario.stall, scenario.grace) = (Duration::from_millis(100), Duration::from_millis(100));
    scenario.faults =
        vec![Fault::Run { stage: Stage::Image, slot: 1, slots: 1, attempts: 1, how: RunFault::Hang }];
    let report = rehearse(&scenario, Pace::RealTime, Vec::new()).unwrap();
    assert_eq!(report.exits, [71], "{report}");
    assert_eq!(report.lost, 0, "{report}");
}

/// How often each fact was told, of those that `name` gives a name.
fn counted(scenario: &Scenario, name: impl Fn(&EventKind) -> Option<String>) -> BTreeMap<String, usize> {
    let (_, diary) = play_with_diary(scenario);
    let mut counts = BTreeMap::new();
    for (_, event) in diary.cards.lock().unwrap().iter() {
        if let Some(name) = name(event) {
            *counts.entry(name).or_default() += 1;
        }
    }
    counts
}

#[test]
fn every_load_is_told_once() {
    let loads = counted(&some_slots(1, 0), |event| match event {
        EventKind::ModelLoaded { model, resident } if *resident > Bytes::ZERO => Some(model.to_string()),
        _ => None,
    });
    assert_eq!(loads, ModelId::ALL.map(|model| (model.to_string(), 1)).into());
}

#[test]
fn soft_pressure_has_every_model_give_back_memory_and_tells_it() {
    let (at, lasts) = (Duration::from_millis(20_300), Duration::from_secs(60));
    let others = Fault::Others { at, lasts, bytes: Bytes::mb(2500) };
    let mut scenario = Scenario { faults: vec![others], ..some_slots(1, 0) };
    // Everything at work takes 9.6 GB: below the floor of 9.9 GB.
    (scenario.device.soft_limit, scenario.device.hysteresis) = (Bytes::gb(10), Bytes::mb(100));
    let told = counted(&scenario, |event| match event {
        EventKind::MemoryPressure(crossing) => Some(format!("to {}", crossing.to.name())),
        EventKind::ModelTrimmed { model, .. } => Some(model.to_string()),
        _ => None,
    });
    assert_eq!((told.get("to soft"), told.get("to normal")), (Some(&1), Some(&1)), "{told:?}");
    let trimmed = |model: &ModelId| told.contains_key(&model.to_string());
    assert!(ModelId::ALL.iter().all(trimmed), "{told:?}");
}

#[test]
fn a_run_that_stalls_and_a_model_that_grew_are_told() {
    let hang = Fault::Run { stage: Stage::Image, slot: 1, slots: 1, attempts: 1, how: RunFault::Hang };
    // Longer than a step of any stage takes, shorter than the stage's own timeout.
    let stall = Duration::from_secs(4);
    let scenario = Scenario { faults: vec![hang], stall, ..some_slots(1, 0) };
    let stalled = counted(&scenario, |event| match event {
        EventKind::ModelStalled { model, age } if !age.is_zero() => Some(model.to_string()),
        _ => None,
    });
    assert_eq!(stalled, [("flux".to_owned(), 1)].into());

    let text = std::fs::read_to_string(folder().join("drift.toml")).unwrap();
    let victims = counted(&text.parse().unwrap(), |event| match event {
        EventKind::MemoryRemedy { remedy: MemoryRemedy::Restart(model), .. } => {
            Some(format!("chosen {model}"))
        }
        EventKind::ActorDown { fault, actor, message } if fault.name() == "victim" => {
            assert_eq!(message, "ended to free memory at the hard limit");
            Some(format!("down {actor}"))
        }
        _ => None,
    });
    assert!(victims.contains_key("chosen liveportrait"), "{victims:?}");
    assert_eq!(victims["chosen liveportrait"], victims["down liveportrait"], "{victims:?}");
}
