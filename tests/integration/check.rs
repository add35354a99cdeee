//! `vortex-node check` as an operator runs it: the binary, its table, its JSON, its exit codes; and the driver's boards
//! through the loader's real path.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use vortex_node::types::Bytes;
use vortex_node::vram::{Boards, ProbeErrorKind};

use crate::support::simulated_nvml::SimulatedNvml;
use crate::support::{lone_binary, skip};

fn check(folder: &Path, arguments: &[&str]) -> Output {
    lone_binary()
        .current_dir(folder)
        .env_remove("NO_COLOR")
        .args(["check", "--set", "http.listen=127.0.0.1:0"])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_fresh_machine_passes_with_its_weights_made_up() {
    let folder = tempfile::tempdir().unwrap();
    let answer = check(folder.path(), &[]);
    let text = String::from_utf8(answer.stdout).unwrap();
    assert_eq!(answer.status.code(), Some(0), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where nobody sees them");
    for part in ["ok        configuration", "doubtful  bundle", "-> no weights are configured", "0 wrong"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let again = check(folder.path(), &["--quick", "--json"]);
    let answer: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(answer["ok"], true);
    let checks = answer["checks"].as_array().unwrap();
    let weights = checks.iter().find(|row| row["check"] == "weights").unwrap();
    assert_eq!(weights["verdict"], "ok");
    assert!(weights["found"].as_str().unwrap().contains("not hashed"), "{weights}");
}

#[test]
fn what_is_wrong_is_exit_1_and_a_broken_configuration_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data"), "a file").unwrap();
    let wrong = check(folder.path(), &["--quick", "--data-dir", "data", "--json"]);
    assert_eq!(wrong.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&wrong.stdout).unwrap();
    assert_eq!(answer["ok"], false);
    let broken = check(folder.path(), &["--set", "slots.queue=0", "--json"]);
    assert_eq!(broken.status.code(), Some(2));
    let answer: Value = serde_json::from_slice(&broken.stdout).unwrap();
    assert!(answer["checks"][0]["found"].as_str().unwrap().contains("slots.queue"), "{answer}");
}

#[test]
fn boards_and_driver_are_told_and_a_missing_library_is_a_normal_answer() {
    let gone = Boards::look(Some(Path::new("no-such-library.so"))).unwrap_err();
    assert_eq!(gone.kind, ProbeErrorKind::Missing);
    let Some(nvml) = SimulatedNvml::start(Bytes::gb(12), Bytes::mb(300)) else {
        return skip("a compiler for the simulated NVML");
    };
    nvml.boards(2);
    nvml.used(1, Bytes::gb(2));
    let found = Boards::look(Some(&nvml.library())).unwrap();
    assert!(!found.driver.is_empty());
    assert_eq!(found.boards.len(), 2);
    assert_eq!(found.boards[1].total, Bytes::gb(12));
    assert_eq!(found.boards[1].free, Bytes::mb(9_700));
}
