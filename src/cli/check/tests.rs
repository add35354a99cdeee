use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::*;
use crate::config::FlagSetting;
use crate::models::synth::{self, Profile};
use crate::types::ModelId;

/// Made once: tests that damage it take a copy.
fn bundle() -> &'static Path {
    static BUNDLE: OnceLock<TempDir> = OnceLock::new();
    let folder = BUNDLE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        synth::write(&folder.path().join("b"), &ModelId::ALL, Profile::Tiny, 0, |_| {}).unwrap();
        folder
    });
    Box::leak(folder.path().join("b").into_boxed_path())
}

const SMALL: [(&str, &str); 10] = [
    ("models.flux.budget", "64MB"),
    ("models.flux.workspace", "50MB"),
    ("models.liveportrait.budget", "64MB"),
    ("models.liveportrait.workspace", "50MB"),
    ("models.kokoro.budget", "64MB"),
    ("models.kokoro.workspace", "50MB"),
    ("models.clip_b.budget", "64MB"),
    ("models.clip_b.workspace", "50MB"),
    ("models.clip_l.budget", "64MB"),
    ("models.clip_l.workspace", "50MB"),
];

/// A machine on which everything is as it should be, until something is changed.
struct Machine {
    folder: TempDir,
    flags: Vec<(&'static str, String)>,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("config")).unwrap();
        let data = folder.path().join("data").display().to_string();
        // Port 0 is always free; budgets of the tiny models fit into whatever machine this runs on.
        let given = [("data_dir", data.as_str()), ("http.listen", "127.0.0.1:0")].into_iter().chain(SMALL);
        Self { folder, flags: given.map(|(key, value)| (key, value.to_owned())).collect() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn set(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.flags.push((key, value.into()));
        self
    }

    fn check(&self, bundle: Option<&Path>, quick: bool) -> (Vec<Finding>, Exit) {
        let flag = |(key, value): &(&str, String)| FlagSetting {
            flag: "--set".into(),
            key: (*key).into(),
            value: value.clone(),
        };
        let flags = self.flags.iter().map(flag).collect();
        let inputs = Inputs { config_dir: Some(self.path("config")), flags, ..Inputs::default() };
        let no_driver = self.path("no-such-library.so");
        check(&inputs, &Asked { bundle, quick, nvml: Some(&no_driver), looks_only: false })
    }

    /// The one finding that is wrong.
    fn wrong(&self, bundle: Option<&Path>, quick: bool) -> Finding {
        let (findings, exit) = self.check(bundle, quick);
        assert_eq!(exit, Exit::Failure, "{findings:#?}");
        let mut wrong: Vec<Finding> =
            findings.into_iter().filter(|finding| finding.verdict == Verdict::Wrong).collect();
        assert_eq!(wrong.len(), 1, "{wrong:#?}");
        wrong.remove(0)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_machine_in_order_has_one_line_for_everything_and_nothing_wrong() {
    let (findings, exit) = Machine::new().check(Some(bundle()), false);
    let names: Vec<&str> = findings.iter().map(|finding| finding.check.as_str()).collect();
    let expected = [
        "configuration",
        "device",
        "driver",
        "memory",
        "budgets",
        "model flux",
        "model liveportrait",
        "model kokoro",
        "model clip_b",
        "model clip_l",
        "bundle",
        "weights",
        "tensors",
        "voices",
        "data folder",
        "disk",
        "clock",
        "port",
        "node key",
        "threads",
    ];
    assert_eq!(names, expected, "{findings:#?}");
    assert_eq!(exit, Exit::Success, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.advice.is_some() == (finding.verdict != Verdict::Ok)));
}

#[test]
fn made_up_weights_are_doubtful_not_wrong() {
    let (findings, exit) = Machine::new().check(None, true);
    assert_eq!(exit, Exit::Success, "{findings:#?}");
    let bundle = findings.iter().find(|finding| finding.check == "bundle").unwrap();
    assert_eq!(bundle.verdict, Verdict::Doubtful);
    assert!(bundle.advice.as_ref().unwrap().contains("noise"), "{bundle:?}");
}

#[test]
fn a_taken_port_is_wrong() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let wrong = Machine::new().set("http.listen", &listen).wrong(Some(bundle()), true);
    assert_eq!(wrong.check, "port");
    assert!(
        wrong.found.contains(&listen) && wrong.advice.unwrap().contains("another node"),
        "{}",
        wrong.found
    );
}

#[test]
fn a_data_folder_that_cannot_be_written_is_wrong() {
    let machine = Machine::new();
    // Root may write everywhere, but nobody can write into a file.
    fs::write(machine.path("data"), "a file").unwrap();
    let wrong = machine.set("node.key_file", "/nonexistent/key").wrong(Some(bundle()), true);
    assert_eq!(wrong.check, "data folder");
    assert!(wrong.found.contains("cannot be written") && wrong.advice.unwrap().contains("--data-dir"));
}

#[test]
fn a_damaged_file_is_found_unless_hashing_is_skipped_and_a_missing_one_always() {
    let machine = Machine::new();
    let own = machine.path("b");
    copy(bundle(), &own);
    let weights =
        crate::models::bundle::Bundle::open(&own).unwrap().weight_files(ModelId::ClipB, "model").remove(0);
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    assert_eq!(machine.check(Some(&own), true).1, Exit::Success, "--quick does not read it");
    let wrong = machine.wrong(Some(&own), false);
    assert_eq!(wrong.check, "weights");
    assert!(wrong.found.contains(&weights.display().to_string()) && wrong.found.contains("expected sha256"));
    assert!(wrong.advice.unwrap().contains("weights pull"));
    let voice = own.join("kokoro/voices/am_adam.safetensors");
    fs::remove_file(voice).unwrap();
    let wrong = machine.wrong(Some(&own), true);
    assert!(wrong.check == "weights" && wrong.found.contains("am_adam.safetensors"), "{wrong:?}");
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_wrong_and_one_that_is_not_there_is_not() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::new();
    fs::create_dir(machine.path("data")).unwrap();
    let key = machine.path("data/node.key");
    crate::signing::create_key(&key).unwrap();
    assert_eq!(machine.check(Some(bundle()), true).1, Exit::Success);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let wrong = machine.wrong(Some(bundle()), true);
    assert!(wrong.check == "node key" && wrong.advice.unwrap().contains("chmod 600"), "{}", wrong.found);
    fs::write(&key, "nonsense").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(machine.wrong(Some(bundle()), true).found.contains("does not hold a key"));
}

#[test]
fn characters_with_voices_that_the_bundle_lacks_are_wrong() {
    let machine = Machine::new();
    let voices =
        "default = \"am_adam\"\n[characters]\nmorty = \"am_puck\"\nrick = \"am_onyx(0.5)+zz_nobody(0.5)\"\n";
    fs::write(machine.path("config/voices.toml"), voices).unwrap();
    let wrong = machine.wrong(Some(bundle()), true);
    assert_eq!((wrong.check.as_str(), wrong.found.as_str()), ("voices", "rick needs zz_nobody"));
    assert!(wrong.advice.unwrap().contains("am_puck"));
}

#[test]
fn limits_and_budgets_that_are_too_small_are_wrong() {
    // Shares of what is free, so small that they are too little on every machine.
    let tight = Machine::new().set("memory.hard_limit", "0.01%").set("memory.soft_limit", "0.005%");
    let tight = tight.set("memory.hysteresis", "1kB");
    let wrong = tight.wrong(Some(bundle()), true);
    assert_eq!(wrong.check, "budgets", "{wrong:?}");
    assert!(wrong.found.contains("too much"), "{wrong:?}");
    let wrong = Machine::new().set("models.flux.budget", "10kB").wrong(Some(bundle()), true);
    assert_eq!(wrong.check, "model flux");
    assert!(
        wrong.found.contains("models.flux.budget is 10.0 kB") && wrong.advice.unwrap().contains("--plan")
    );
    let crossed = Machine::new().set("memory.soft_limit", "900TB").set("memory.hard_limit", "92%");
    let wrong = crossed.wrong(Some(bundle()), true);
    assert!(wrong.check == "memory" && wrong.found.contains("memory.soft_limit"), "{wrong:?}");
}

#[test]
fn a_device_that_this_build_cannot_open_is_wrong_and_so_is_its_driver() {
    if cfg!(feature = "cuda") {
        return;
    }
    let (findings, exit) = Machine::new().set("device", "cuda:0").check(Some(bundle()), true);
    assert_eq!(exit, Exit::Failure);
    let wrong = findings.iter().filter(|finding| finding.verdict == Verdict::Wrong);
    let wrong: Vec<&str> = wrong.map(|finding| finding.check.as_str()).collect();
    // Where the machine has a driver after all, its memory can be read.
    assert_eq!(wrong[..2], ["device", "driver"], "{findings:#?}");
    assert!(findings[1].found.contains("built without cuda"), "{:?}", findings[1]);
}

#[test]
fn a_broken_configuration_is_told_in_full_and_is_bad_input() {
    let machine = Machine::new().set("slots.queue", "0").set("memory.dwell", "3");
    let (findings, exit) = machine.check(Some(bundle()), true);
    assert_eq!(exit, Exit::BadInput);
    let found: Vec<&str> = findings.iter().map(|finding| finding.found.as_str()).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().any(|text| text.contains("slots.queue"))
            && found.iter().any(|text| text.contains("dwell"))
    );
}

#[test]
fn a_bundle_without_a_model_is_wrong() {
    let machine = Machine::new();
    let own = machine.path("b");
    synth::write(&own, &[ModelId::Kokoro], Profile::Tiny, 0, |_| {}).unwrap();
    let wrong = machine.wrong(Some(&own), true);
    assert!(
        wrong.check == "bundle" && wrong.found.contains("lacks flux, liveportrait, clip_b, clip_l"),
        "{wrong:?}"
    );
}
