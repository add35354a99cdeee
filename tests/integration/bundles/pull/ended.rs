//! Runs that end early or only tell: signals at any moment, no room, a full disk, another pull at work, a dry run.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use super::super::hub::{Hub, stalling};
use super::{bundle, hub, large, pull};
use crate::bundles::{printed, text};

const FINAL: &str = "clip/tokenizer.json";

fn begun(folder: &Path, hub: &Hub) -> Child {
    Command::new(env!("CARGO_BIN_EXE_vortex-node"))
        .args(["weights", "pull", text(folder), "--endpoint", &hub.address, "--retries", "0"])
        .env_clear()
        .env("HF_HOME", "/nonexistent")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Begins a pull, and ends it by `signal` when the server has sent `bytes` of the large file and nothing more comes.
fn ended_at(folder: &Path, hub: &Hub, bytes: usize, signal: &str) -> Output {
    let (tell, told) = stalling();
    hub.state.lock().unwrap().stall = Some((bytes, tell));
    let child = begun(folder, hub);
    told.recv().unwrap();
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries =
        std::fs::read_dir(folder).map(|entries| entries.flatten().collect()).unwrap_or_else(|_| vec![]);
    let mut names: Vec<String> =
        entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_signal_leaves_nothing_half_named_and_the_same_command_goes_on() {
    for signal in ["-INT", "-TERM"] {
        let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
        bundle(folder.path(), None);
        let output = ended_at(folder.path(), &hub, 1_000_000, signal);
        let told = printed(&output);
        assert_eq!(output.status.code(), Some(130), "{told}");
        assert!(told.contains("interrupted: the same command goes on from there"), "{told}");
        assert!(!folder.path().join(FINAL).exists());
        assert!(
            folder.path().join("clip/tokenizer.json.part").exists(),
            "{:?}",
            names(&folder.path().join("clip"))
        );
        let output = pull(folder.path(), &hub, "0");
        assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
        assert_eq!(std::fs::read(folder.path().join(FINAL)).unwrap(), large());
    }
}

#[test]
fn a_process_that_is_killed_at_any_moment_is_gone_on_with() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    for bytes in [0, 1, 16_384, 100_000, 100_001, 300_000, 299_999, 700_000, 65_536, 1_000_000] {
        let output = ended_at(folder.path(), &hub, bytes, "-KILL");
        assert_eq!(output.status.code(), None);
        assert!(!folder.path().join(FINAL).exists());
    }
    let output = pull(folder.path(), &hub, "0");
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(std::fs::read(folder.path().join(FINAL)).unwrap(), large());
    let left = names(&folder.path().join("clip"));
    assert_eq!(left, ["config.json", "deep", "pre.json", "tokenizer.json"]);
}

#[test]
fn what_does_not_fit_on_the_disk_is_not_begun() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    // More than any disk has.
    hub.state.lock().unwrap().size_told = Some(1 << 62);
    for extra in [None, Some("--dry-run")] {
        let mut arguments = vec!["pull", text(folder.path()), "--endpoint", &hub.address];
        arguments.extend(extra);
        let output = crate::bundles::weights(&arguments);
        let told = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("has no room") && told.contains("4611686.02 TB are to be written"), "{told}");
    }
    assert!(hub.starts().is_empty());
    assert_eq!(names(folder.path()), ["bundle.toml"]);
}

#[test]
fn a_disk_that_takes_no_more_leaves_a_part_to_go_on_with() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    // The shell's unit is 512 or 1024 bytes; the large file is larger than either, the others are smaller.
    let script = "trap '' XFSZ; ulimit -f 1000; exec \"$@\"";
    let output = Command::new("/bin/sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_vortex-node"), "weights", "pull", text(folder.path())])
        .args(["--endpoint", &hub.address])
        .env_clear()
        .env("HF_HOME", "/nonexistent")
        .output()
        .unwrap();
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("tokenizer.json.part cannot be written"), "{told}");
    assert!(!folder.path().join(FINAL).exists());
    let kept = std::fs::metadata(folder.path().join("clip/tokenizer.json.part")).unwrap().len() as usize;
    assert!([512_000, 1_024_000].contains(&kept), "{kept}");
    let output = pull(folder.path(), &hub, "0");
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(hub.starts_of("tokenizer.json"), [0, kept]);
    assert_eq!(std::fs::read(folder.path().join(FINAL)).unwrap(), large());
}

#[test]
fn two_pulls_never_write_the_same_bundle() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    let other = File::open(folder.path()).unwrap();
    other.lock().unwrap();
    let output = pull(folder.path(), &hub, "0");
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(printed(&output).contains("another `weights pull` is at work in"), "{}", printed(&output));
    assert!(hub.state.lock().unwrap().seen.is_empty());
    drop(other);
    assert_eq!(pull(folder.path(), &hub, "0").status.code(), Some(0));
}

#[test]
fn a_dry_run_tells_sizes_and_changes_nothing() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    std::fs::create_dir_all(folder.path().join("clip")).unwrap();
    std::fs::write(folder.path().join("clip/config.json"), "{}").unwrap();
    std::fs::write(folder.path().join("clip/tokenizer.json.part"), &large()[..1_000_000]).unwrap();
    let output =
        crate::bundles::weights(&["pull", text(folder.path()), "--endpoint", &hub.address, "--dry-run"]);
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let line = |name: &str| told.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line("config.json").starts_with("there"), "{told}");
    assert!(line("pre.json").starts_with("fetch") && line("pre.json").ends_with("(2 B)"), "{told}");
    assert!(line("tokenizer.json").ends_with("(3.0 MB, 1.0 MB of it there)"), "{told}");
    assert!(told.contains("3 files to fetch, 2.0 MB to come"), "{told}");
    assert!(hub.starts().is_empty());
    assert_eq!(names(&folder.path().join("clip")), ["config.json", "tokenizer.json.part"]);
}
