use super::*;
use crate::cli::check::finding::Verdict;
use crate::types::Bytes;

fn healthy(index: u32) -> Board {
    let (total, free) = (Bytes::gb(12), Bytes::gb(11));
    Board { index, name: format!("Card {index}"), total, free, fallbacks: Vec::new() }
}

fn troubled(index: u32, trouble: BoardTrouble) -> TroubledBoard {
    let name = Some(format!("Card {index}"));
    TroubledBoard { index, name, trouble, query: "nvmlDeviceGetMemoryInfo_v2", cause: "said so".to_owned() }
}

fn machine(boards: Vec<Board>, troubled: Vec<TroubledBoard>) -> Result<Boards, ProbeError> {
    Ok(Boards { driver: "580.65.06".to_owned(), boards, troubled })
}

const TROUBLES: [BoardTrouble; 7] = [
    BoardTrouble::Lost,
    BoardTrouble::NeedsReset,
    BoardTrouble::NoPower,
    BoardTrouble::NoPermission,
    BoardTrouble::NotSupported,
    BoardTrouble::NoInstance,
    BoardTrouble::Unknown,
];

#[test]
fn a_board_in_trouble_stands_beside_its_healthy_neighbour() {
    for trouble in TROUBLES {
        // Whichever of the two it is.
        for sick in [0, 1] {
            let boards = machine(vec![healthy(1 - sick)], vec![troubled(sick, trouble)]);
            for devices in [vec![DeviceId::Cpu], vec![DeviceId::Cuda(0)]] {
                let found = driver(&devices, &boards);
                let expected = if trouble.is_usable() { Verdict::Ok } else { Verdict::Doubtful };
                assert_eq!(found.verdict, expected, "{trouble:?}: {found:?}");
                assert!(found.found.contains(&format!("{}: Card {}, 11.00 GB free", 1 - sick, 1 - sick)));
                assert!(found.found.contains(&format!("{sick}: Card {sick} ")), "{found:?}");
                assert!(found.found.contains("nvmlDeviceGetMemoryInfo_v2: said so"), "{found:?}");
                let advice = found.advice.unwrap_or_default();
                assert!(!advice.contains("install"), "{advice}");
                assert_eq!(advice.contains(&format!("board {sick}: ")), !trouble.is_usable(), "{advice}");
                assert!(!advice.contains(&format!("board {}", 1 - sick)), "{advice}");
            }
            let device = opened_as("device".to_owned(), DeviceId::Cpu, &boards);
            assert!(device.found.contains("this machine has a card (Card"), "{device:?}");
        }
    }
}

#[test]
fn a_card_that_is_wanted_and_not_there_is_wrong_and_the_usable_one_is_named() {
    let boards = machine(vec![healthy(0)], vec![troubled(1, BoardTrouble::Lost)]);
    let found = driver(&[DeviceId::Cuda(0), DeviceId::Cuda(1)], &boards);
    assert_eq!(found.verdict, Verdict::Wrong);
    let advice = found.advice.unwrap();
    assert!(advice.contains("board 1: look for Xid errors") && advice.contains("cuda:0"), "{advice}");
    let two = machine(vec![healthy(0), healthy(1)], Vec::new());
    assert_eq!(driver(&[DeviceId::Cuda(1)], &two).verdict, Verdict::Ok);
    let advice = driver(&[DeviceId::Cuda(2)], &two).advice.unwrap();
    assert_eq!(advice, "name one of the cards from cuda:0 to cuda:1");
}

#[test]
fn where_every_board_is_lost_none_is_offered() {
    let boards =
        machine(Vec::new(), vec![troubled(0, BoardTrouble::Lost), troubled(1, BoardTrouble::Unknown)]);
    assert_eq!(opened_as("device".to_owned(), DeviceId::Cpu, &boards).verdict, Verdict::Ok);
    assert_eq!(driver(&[DeviceId::Cpu], &boards).verdict, Verdict::Doubtful);
    let wanted = driver(&[DeviceId::Cuda(0)], &boards);
    assert_eq!(wanted.verdict, Verdict::Wrong);
    let advice = wanted.advice.unwrap();
    assert!(
        advice.contains("board 0: ") && advice.contains("board 1: ") && !advice.contains("cuda:0"),
        "{advice}"
    );
}

/// Of a vGPU NVML knows no memory: it is used, and the line says by what.
#[test]
fn what_a_board_does_not_tell_is_named_with_what_stands_in() {
    let boards = machine(Vec::new(), vec![troubled(0, BoardTrouble::NotSupported)]);
    let found = driver(&[DeviceId::Cuda(0)], &boards);
    assert_eq!(found.verdict, Verdict::Ok);
    assert!(found.found.contains("CUDA's figures stand in (nvmlDeviceGetMemoryInfo_v2"), "{found:?}");
    assert_eq!(opened_as("device".to_owned(), DeviceId::Cpu, &boards).verdict, Verdict::Doubtful);
}

#[test]
fn only_a_driver_that_is_missing_is_to_be_installed() {
    let error = |kind| Err(ProbeError::new("nvml", kind, "said so"));
    let (missing, broken) = (error(ProbeErrorKind::Missing), error(ProbeErrorKind::Failed));
    let (card, cpu) = ([DeviceId::Cuda(0)], [DeviceId::Cpu]);
    let verdicts =
        [driver(&card, &missing), driver(&card, &broken), driver(&cpu, &missing), driver(&cpu, &broken)];
    let told = verdicts.map(|found| (found.verdict, found.advice.unwrap_or_default().contains("install ")));
    let (wrong, ok, doubtful) = (Verdict::Wrong, Verdict::Ok, Verdict::Doubtful);
    assert_eq!(told, [(wrong, true), (wrong, false), (ok, false), (doubtful, false)]);
}
