//! A machine with two NVIDIA boards of which one is lost, refused, split or says little: the other is seen and used all
//! the same, through the loader's real path, by the driver's listing, by the probe and by `vortex-node check`.

use std::process::Command;

use vortex_node::clock;
use vortex_node::types::Bytes;
use vortex_node::vram::{
    BoardTrouble, Boards, NvmlProbe, NvmlSelector, Probe, ProbeError, ProbeErrorKind, Sample,
};

use crate::support::simulated_nvml::{SimulatedNvml, codes};
use crate::support::skip;

/// Two boards of 12 GB, of the first 1 GB used and of the second 2 GB.
fn two() -> Option<SimulatedNvml> {
    let Some(nvml) = SimulatedNvml::start(Bytes::gb(12), Bytes::mb(300)) else {
        skip("rustc, to build the simulated NVML library");
        return None;
    };
    nvml.boards(2);
    (0..2).for_each(|board| nvml.used(board, Bytes::gb(board as u64 + 1)));
    Some(nvml)
}

fn look(nvml: &SimulatedNvml) -> Boards {
    Boards::look(Some(&nvml.library())).unwrap()
}

const SICKNESSES: [(u64, BoardTrouble); 5] = [
    (codes::GPU_IS_LOST, BoardTrouble::Lost),
    (codes::UNKNOWN, BoardTrouble::Unknown),
    (codes::NOT_SUPPORTED, BoardTrouble::NotSupported),
    (codes::NO_PERMISSION, BoardTrouble::NoPermission),
    (codes::RESET_REQUIRED, BoardTrouble::NeedsReset),
];

#[test]
fn a_board_in_trouble_is_told_and_hides_no_other_one() {
    let Some(nvml) = two() else { return };
    for (code, trouble) in SICKNESSES {
        for sick in [0, 1] {
            let well = 1 - sick;
            nvml.memory_answers(sick, code);
            let late = look(&nvml);
            nvml.memory_answers(sick, 0);
            nvml.handle_answers(sick, code);
            let early = look(&nvml);
            nvml.handle_answers(sick, 0);
            let name = format!("Simulated board {sick}");
            let expected = [
                (late, Some(name), "nvmlDeviceGetMemoryInfo_v2"),
                (early, None, "nvmlDeviceGetHandleByIndex_v2"),
            ];
            for (found, name, query) in expected {
                let [board] = &found.boards[..] else { panic!("{trouble:?} of {sick}: {found:?}") };
                assert_eq!((board.index, board.total), (well as u32, Bytes::gb(12)));
                assert_eq!(board.free, Bytes::mb(11_700).saturating_sub(Bytes::gb(well as u64 + 1)));
                let [told] = &found.troubled[..] else { panic!("{found:?}") };
                assert_eq!((told.index, told.trouble, told.query), (sick as u32, trouble, query));
                assert_eq!(told.name, name);
                assert_eq!(found.usable(), if trouble == BoardTrouble::NotSupported { 2 } else { 1 });
            }
        }
    }
    let well = look(&nvml);
    assert_eq!((well.boards.len(), well.troubled.len()), (2, 0));
}

fn sample(nvml: &SimulatedNvml, uuid: String) -> Result<Sample, ProbeError> {
    NvmlProbe::new(NvmlSelector::Uuid(uuid), Some(nvml.library())).sample(clock::now())
}

/// NVML looks no board up by its identifier as soon as one is lost.
#[test]
fn the_probe_of_a_board_works_beside_a_lost_one() {
    let Some(nvml) = two() else { return };
    for sick in [0, 1] {
        let well = 1 - sick;
        nvml.handle_answers(sick, codes::GPU_IS_LOST);
        let seen = sample(&nvml, SimulatedNvml::uuid(well)).unwrap();
        assert_eq!(seen.used, Bytes::gb(well as u64 + 1));
        let lost = sample(&nvml, SimulatedNvml::uuid(sick)).unwrap_err();
        assert_eq!(lost.kind, ProbeErrorKind::Failed);
        assert!(lost.to_string().contains("nvmlDeviceGetHandleByUUID: device fell off the bus"), "{lost}");
        nvml.handle_answers(sick, 0);
    }
}

/// As on a vGPU: the next probe takes over, and what is written of it names the query.
#[test]
fn a_board_that_does_not_tell_its_memory_is_left_to_the_next_probe() {
    let Some(nvml) = two() else { return };
    nvml.memory_answers(0, codes::NOT_SUPPORTED);
    let untold = sample(&nvml, SimulatedNvml::uuid(0)).unwrap_err();
    assert_eq!(untold.kind, ProbeErrorKind::Missing);
    assert!(untold.to_string().contains("nvmlDeviceGetMemoryInfo_v2: "), "{untold}");
    assert_eq!(sample(&nvml, SimulatedNvml::uuid(1)).unwrap().used, Bytes::gb(2));
}

#[test]
fn what_stands_in_for_a_name_and_for_the_processes_is_told_by_query() {
    let Some(nvml) = two() else { return };
    nvml.name_answers(1, codes::NOT_SUPPORTED);
    nvml.processes_answer(1, codes::NO_PERMISSION);
    let found = look(&nvml);
    let [well, terse] = &found.boards[..] else { panic!("{found:?}") };
    assert!(well.fallbacks.is_empty());
    assert_eq!(terse.name, "board 1");
    let told: Vec<String> = terse.fallbacks.iter().map(ToString::to_string).collect();
    let [name, processes] = &told[..] else { panic!("{told:?}") };
    assert!(name.starts_with("nvmlDeviceGetName (") && name.ends_with("its number instead"), "{name}");
    assert!(processes.starts_with("nvmlDeviceGetComputeRunningProcesses_v3 ("), "{processes}");
    assert!(processes.ends_with("ledger of what it uses instead"), "{processes}");
}

#[test]
fn a_split_board_is_told_and_watched_by_its_instances() {
    let Some(nvml) = two() else { return };
    nvml.split(0, 2);
    let found = look(&nvml);
    let told: Vec<(u32, &str, Bytes)> =
        found.boards.iter().map(|board| (board.index, board.name.as_str(), board.total)).collect();
    let half = Bytes::gb(6);
    let (first, second) = ("Simulated board 0 MIG 0", "Simulated board 0 MIG 1");
    assert_eq!(told, [(0, first, half), (0, second, half), (1, "Simulated board 1", Bytes::gb(12))]);
    // CUDA names an instance by the same figures with the word of a whole board in front.
    let by_cuda = SimulatedNvml::instance_uuid(0, 1).replace("MIG-", "GPU-");
    for lost in [false, true] {
        nvml.handle_answers(1, if lost { codes::GPU_IS_LOST } else { 0 });
        assert_eq!(sample(&nvml, by_cuda.clone()).unwrap().total, half);
    }
    nvml.split(0, 0);
    let none = look(&nvml);
    assert_eq!(none.troubled[0].trouble, BoardTrouble::NoInstance);
    // The second one is still lost, and a board without instances does not hide that.
    assert_eq!((none.troubled[1].trouble, none.usable()), (BoardTrouble::Lost, 0));
}

/// Exit code and table of `check` where the loader finds the simulated library.
fn checked(nvml: &SimulatedNvml) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_vortex-node"))
        .current_dir(folder.path())
        .env("LD_LIBRARY_PATH", nvml.library().parent().unwrap())
        .args(["check", "--quick", "--device", "cpu", "--set", "http.listen=127.0.0.1:0"])
        .output()
        .unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    (run.status.code(), text)
}

#[test]
fn check_tells_which_board_is_lost_and_offers_the_other() {
    let Some(nvml) = two() else { return };
    let (code, well) = checked(&nvml);
    assert_eq!(code, Some(0), "{well}");
    assert!(well.contains("0: Simulated board 0, 10.70 GB free of 12.00 GB; 1: Simulated board 1"), "{well}");
    nvml.memory_answers(0, codes::GPU_IS_LOST);
    let (code, lost) = checked(&nvml);
    assert_eq!(code, Some(0), "{lost}");
    for part in [
        "this machine has a card (Simulated board 1)",
        "doubtful  driver",
        "1: Simulated board 1, 9.70 GB free of 12.00 GB",
        "0: Simulated board 0 is lost (nvmlDeviceGetMemoryInfo_v2",
        "board 0: look for Xid errors",
    ] {
        assert!(lost.contains(part), "{part} in\n{lost}");
    }
    assert!(!lost.contains("install NVIDIA's driver"), "{lost}");
    nvml.initialising_answers(codes::VERSION_MISMATCH);
    let (_, broken) = checked(&nvml);
    assert!(broken.contains("doubtful  driver") && broken.contains("of different versions"), "{broken}");
}
