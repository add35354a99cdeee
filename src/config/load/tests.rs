//! Layers, their sources, and everything that is refused.

use std::fs;
use std::num::NonZeroUsize;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::{Devices, FlagSetting, Limit, T5Placement, Timeout};
use super::*;
use crate::types::{Bytes, DeviceId, ModelId, Stage};

mod network;

/// A configuration folder of the test's own, an environment and flags.
struct Given {
    dir: TempDir,
    inputs: Inputs,
}

impl Given {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("profiles")).unwrap();
        let inputs = Inputs { config_dir: Some(dir.path().to_owned()), ..Inputs::default() };
        Self { dir, inputs }
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.inputs.environment.push((name.to_owned(), value.into()));
        self
    }

    fn flag(mut self, flag: &str, key: &str, value: &str) -> Self {
        let (flag, key, value) = (flag.to_owned(), key.to_owned(), value.to_owned());
        self.inputs.flags.push(FlagSetting { flag, key, value });
        self
    }

    fn load(&self) -> Result<Loaded, Problems> {
        load(&self.inputs)
    }

    fn problems(&self) -> Vec<String> {
        self.load().expect_err("there is a problem").0.iter().map(ToString::to_string).collect()
    }

    /// The one problem there is.
    fn problem(&self) -> String {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems[0].clone()
    }
}

fn source(loaded: &Loaded, key: &str) -> String {
    loaded.effective.iter().find(|row| row.key == key).unwrap().source.to_string()
}

#[test]
fn defaults_alone_suffice() {
    let loaded = Given::new().load().unwrap();
    assert_eq!(loaded.settings.profile, "cpu");
    assert_eq!(source(&loaded, "slots.queue"), "default");
    assert_eq!(source(&loaded, "device"), "profile cpu, built in");
    assert_eq!(loaded.settings.device, Devices::Listed(vec![DeviceId::Cpu]));
    let without_folder = load(&Inputs::default()).unwrap();
    assert_eq!(without_folder.settings.slots.lookahead.get(), 2);
}

#[test]
fn each_layer_goes_over_the_ones_before_and_names_itself() {
    let all = |key: &str| format!("{key} = 7\n");
    let given = Given::new()
        .file("node.toml", &format!("profile = \"mine\"\n[slots]\n{}", all("queue")))
        .file("profiles/mine.toml", "[slots]\nlookahead = 3\n");
    let dir = given.dir.path().display().to_string();
    let loaded = given.load().unwrap();
    assert_eq!(source(&loaded, "slots.drain"), "default");
    assert_eq!(source(&loaded, "slots.queue"), format!("file {dir}/node.toml"));
    assert_eq!(source(&loaded, "slots.lookahead"), format!("profile mine, file {dir}/profiles/mine.toml"));

    let given = given.file("profiles/mine.toml", "[slots]\nqueue = 8\n");
    assert_eq!(given.load().unwrap().settings.slots.queue.get(), 8, "a profile goes over node.toml");
    let given = given.variable("VORTEX_SLOTS__QUEUE", "9");
    let loaded = given.load().unwrap();
    assert_eq!(loaded.settings.slots.queue.get(), 9);
    assert_eq!(source(&loaded, "slots.queue"), "environment variable VORTEX_SLOTS__QUEUE");
    let loaded = given.flag("--set", "slots.queue", "10").load().unwrap();
    assert_eq!(loaded.settings.slots.queue, NonZeroUsize::new(10).unwrap());
    assert_eq!(source(&loaded, "slots.queue"), "flag --set");
}

#[test]
fn the_profile_can_be_chosen_by_every_layer_but_itself() {
    let given = Given::new().file("node.toml", "profile = \"h200\"\n");
    assert_eq!(given.load().unwrap().settings.profile, "h200");
    let given = given.variable("VORTEX_PROFILE", "rtx3060-12gb");
    assert_eq!(given.load().unwrap().settings.memory.hard_limit, Limit::Amount("11.5GB".parse().unwrap()));
    let given = given.flag("--profile", "profile", "cpu");
    assert_eq!(source(&given.load().unwrap(), "profile"), "flag --profile");
    let given = given.file("profiles/cpu.toml", "profile = \"h200\"\n");
    assert!(given.problem().contains("a profile may not choose a profile"));
}

#[test]
fn an_unknown_profile_names_the_known_ones() {
    let given = Given::new().file("profiles/lab.toml", "").flag("--profile", "profile", "rtx3060-12g");
    assert_eq!(
        given.problem(),
        "profile = \"rtx3060-12g\" (flag --profile): there is no such profile; \
         accepted: cpu, h200, lab, rtx3060-12gb; did you mean rtx3060-12gb?"
    );
    let outside = Given::new().flag("--profile", "profile", "../node");
    assert!(outside.problem().contains("there is no such profile"));
}

#[test]
fn a_misspelt_key_is_refused_with_the_nearest_name_in_its_sources_spelling() {
    let in_file = Given::new().file("node.toml", "[memory]\nsft_limit = \"1GB\"\n");
    let path = in_file.dir.path().join("node.toml");
    let problem = in_file.problem();
    assert!(problem.starts_with(&format!("memory.sft_limit = \"1GB\" (file {}): unknown", path.display())));
    assert!(problem.ends_with("did you mean memory.soft_limit?"), "{problem}");
    assert!(problem.contains("accepted: act_again, blind_at_most, blind_rebuild, dwell"), "{problem}");

    let in_profile = Given::new().file("profiles/cpu.toml", "[stages.audio]\ntimout = \"3s\"\n").problem();
    assert!(in_profile.ends_with("did you mean stages.audio.timeout?"), "{in_profile}");
    let in_environment = Given::new().variable("VORTEX_MEMORY__SFT_LIMIT", "1GB").problem();
    assert!(in_environment.contains("(environment variable VORTEX_MEMORY__SFT_LIMIT)"), "{in_environment}");
    assert!(in_environment.ends_with("did you mean VORTEX_MEMORY__SOFT_LIMIT?"), "{in_environment}");
    let one_underscore = Given::new().variable("VORTEX_MEMORY_SOFT_LIMIT", "1GB").problem();
    assert!(one_underscore.ends_with("did you mean VORTEX_MEMORY__SOFT_LIMIT?"), "{one_underscore}");
    let in_flag = Given::new().flag("--set", "memry.soft_limit", "1GB").problem();
    assert!(
        in_flag.contains("(flag --set)") && in_flag.ends_with("did you mean memory.soft_limit?"),
        "{in_flag}"
    );
}

#[test]
fn all_problems_are_reported_at_once_even_hidden_ones() {
    let given = Given::new()
        .file(
            "node.toml",
            "nonsense = 1\ndevice = \"gpu\"\n[memory]\nsoft_limit = \"9.0GB\"\nhard_limit = \"8.0GB\"\ndwell = 3\n\
             [stages.image]\ntimeout = \"0s\"\n[slots]\nqueue = 0\n",
        )
        .file("voices.toml", "default = \"a b\"\n")
        .file("profiles/cpu.toml", "")
        .variable("VORTEX_HTTP__LISTEN", "9100")
        .flag("--set", "restart.model.jitter", "2")
        .flag("--set", "slots.queue", "5");
    let problems = given.problems();
    for key in [
        "nonsense = 1",
        "device = \"gpu\"",
        "memory.soft_limit = \"9.0GB\"",
        "memory.dwell = 3",
        "stages.image.timeout = \"0s\"",
        "slots.queue = 0",
        "default = \"a b\"",
        "http.listen = 9100",
        "restart.model.jitter = 2",
    ] {
        assert_eq!(problems.iter().filter(|p| p.starts_with(key)).count(), 1, "{key} in {problems:#?}");
    }
    assert_eq!(problems.len(), 9, "{problems:#?}");
}

#[test]
fn soft_at_or_above_hard_is_refused_with_both_sources() {
    let given = Given::new()
        .file("profiles/cpu.toml", "[memory]\nhard_limit = \"11.5GB\"\n")
        .variable("VORTEX_MEMORY__SOFT_LIMIT", "11.5GB");
    let problem = given.problem();
    let starts = "memory.soft_limit = \"11.5GB\" (environment variable VORTEX_MEMORY__SOFT_LIMIT): is not below \
                  memory.hard_limit = \"11.5GB\" (profile cpu, file ";
    assert!(
        problem.starts_with(starts) && problem.ends_with("accepted: less than the hard limit"),
        "{problem}"
    );
    let shares = given.file("profiles/cpu.toml", "[memory]\nhard_limit = \"80%\"\n").flag(
        "--set",
        "memory.soft_limit",
        "81%",
    );
    assert!(shares.problem().contains("is not below"));
}

#[test]
fn budgets_beyond_the_hard_limit_say_by_how_much() {
    let given = Given::new().flag("--profile", "profile", "rtx3060-12gb").flag(
        "--set",
        "models.flux.budget",
        "9.0GB",
    );
    let problem = given.problem();
    // 9.0 + 0.3 + 0.4 + 0.2 + 0.5 resident; 1.43 + 0.1 + 1.5 of workspaces at once; 1.0 overhead: 14.43 of 11.5.
    assert!(problem.contains("need 14.43 GB") && problem.contains("2.93 GB too much"), "{problem}");
    assert!(problem.contains("what would fit: only liveportrait, kokoro, clip_b, clip_l"), "{problem}");
    assert!(problem.contains("accepted: at least 14.43 GB, or smaller budgets"), "{problem}");
}

#[test]
fn every_time_that_may_not_be_zero_refuses_zero() {
    let keys = load(&Inputs::default()).unwrap().effective;
    let times = keys.iter().filter(|row| {
        row.value.as_str().is_some_and(|text| super::super::values::parse_duration(text).is_some())
            || row.key.ends_with(".timeout")
    });
    let mut refused = 0;
    for row in times {
        let answer = Given::new().flag("--set", &row.key, "0s").load();
        if ["http.farewell", "memory.dwell", "slots.deadline_buffer"].contains(&row.key.as_str()) {
            assert!(answer.is_ok(), "{} may be zero", row.key);
        } else {
            let problem = answer.unwrap_err().to_string();
            assert!(problem.contains(&row.key) && problem.contains("a duration above zero"), "{problem}");
            refused += 1;
        }
    }
    assert!(refused >= 20, "{refused}");
}

#[test]
fn a_wrong_type_at_any_setting_is_refused_with_what_is_accepted() {
    for row in load(&Inputs::default()).unwrap().effective {
        if row.key.starts_with("voices.") {
            continue;
        }
        for value in ["{ a = 1 }", "[[1]]"] {
            let problems = Given::new().flag("--set", &row.key, value).load().unwrap_err().0;
            assert_eq!(problems.len(), 1, "{}: {problems:?}", row.key);
            assert_eq!(problems[0].key.as_deref(), Some(row.key.as_str()));
            assert!(problems[0].accepted.is_some(), "{}", problems[0]);
        }
    }
    let section = Given::new().file("node.toml", "memory = 3\n").problem();
    assert!(
        section.contains("memory = 3")
            && section.contains("accepted: a table with any of act_again, blind_at_most"),
        "{section}"
    );
}

#[test]
fn a_text_that_looks_like_a_number_is_still_a_text() {
    let given = Given::new().variable("VORTEX_DATA_DIR", "2026").flag("--log", "telemetry.filter", "off");
    assert_eq!(given.load().unwrap().settings.data_dir, PathBuf::from("2026"));
    let two_lines = Given::new().variable("VORTEX_DATA_DIR", "1\nprofile = \"h200\"");
    assert_eq!(two_lines.load().unwrap().settings.profile, "cpu");
}

#[test]
fn lists_and_tables_are_read_from_the_environment() {
    let given = Given::new()
        .variable("VORTEX_DEVICE", r#"["cuda:0", "cuda:1"]"#)
        .variable("VORTEX_STAGES__AUDIO", r#"{ timeout = "4s", retries = 2 }"#);
    let settings = given.load().unwrap().settings;
    assert_eq!(settings.device, Devices::Listed(vec![DeviceId::Cuda(0), DeviceId::Cuda(1)]));
    let audio = settings.stages.of(Stage::Audio);
    assert_eq!((audio.timeout, audio.retries), (Timeout::Fixed(Duration::from_secs(4)), 2));
}

#[test]
fn settings_that_cannot_hold_together_are_refused() {
    for (key, value, what) in [
        ("memory.stale_after", "250ms", "is not longer than memory.sample_every"),
        ("memory.soft_limit", "100MB", "is not below memory.soft_limit"),
        ("restart.model.backoff_max", "100ms", "is shorter than restart.model.backoff"),
        ("restart.process.backoff", "1h", "is shorter than restart.process.backoff"),
        ("models.kokoro.precision", "nf4", "kokoro is not held in nf4; accepted: bundle, f32"),
        ("models.flux.precision", "int8", "flux is not held in int8"),
        ("telemetry.filter", "vortex_node=loud", "accepted: levels and targets"),
        (
            "http.killed_after",
            "77s",
            "is shorter than the end of the process may take: 3s of http.farewell, 60s of",
        ),
        ("data_dir", "\"\"", "names no folder"),
        ("node.key_file", "\"\"", "names no file"),
    ] {
        let problem = Given::new().flag("--set", key, value).problem();
        assert!(problem.contains(what), "{problem}");
    }
    assert!(Given::new().flag("--set", "http.killed_after", "78s").load().is_ok(), "exactly enough");
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    let problem = Given::new().file("node.toml", "profile = \"cpu\"\n[memory\n").problem();
    assert!(problem.contains("node.toml: is not TOML") && problem.contains("line 2"), "{problem}");
}

#[test]
fn a_folder_that_was_named_must_exist() {
    let inputs = Inputs {
        environment: vec![("VORTEX_CONFIG_DIR".to_owned(), "/no/such/folder".into())],
        ..Inputs::default()
    };
    let problem = load(&inputs).unwrap_err().to_string();
    assert!(problem.contains("VORTEX_CONFIG_DIR: /no/such/folder is not a folder"), "{problem}");
}

#[test]
fn the_small_cards_profile_fits_under_its_soft_limit_with_two_slots_side_by_side() {
    let settings = Given::new().flag("--profile", "profile", "rtx3060-12gb").load().unwrap().settings;
    let all: Bytes =
        ModelId::ALL.map(|model| settings.models.budget(model).budget.unwrap()).into_iter().sum();
    // A slot paints and speaks while another is animated or checked; what checks takes less than what animates.
    let at_once = [ModelId::Flux, ModelId::Kokoro, ModelId::LivePortrait];
    let workspace = |model: ModelId| settings.models.budget(model).workspace.unwrap();
    let running: Bytes = at_once.map(workspace).into_iter().sum();
    assert!(
        workspace(ModelId::ClipB).saturating_add(workspace(ModelId::ClipL))
            < workspace(ModelId::LivePortrait)
    );
    let needed = all.saturating_add(running).saturating_add(settings.memory.overhead);
    assert!(needed < settings.memory.soft_limit.resolve(Bytes::ZERO), "{needed}");
    assert_eq!(settings.models.flux.t5, T5Placement::Streamed);
    let timeouts = [Stage::Audio, Stage::Image, Stage::Video, Stage::Verify]
        .map(|stage| (settings.stages.of(stage).timeout, settings.stages.of(stage).retries));
    let origin = [(3, 1), (15, 0), (10, 0), (2, 0)]
        .map(|(seconds, retries)| (Timeout::Fixed(Duration::from_secs(seconds)), retries));
    assert_eq!(timeouts, origin);
}

#[test]
fn checking_a_file_reports_what_its_profile_hides() {
    let given = Given::new().file("node.toml", "[memory]\nsoft_limit = \"much\"\n");
    let problems = check_node(&given.dir.path().join("node.toml")).unwrap_err();
    assert_eq!(problems.0[0].key.as_deref(), Some("memory.soft_limit"), "the cpu profile sets it as well");
    assert_eq!(problems.0[0].value.as_deref(), Some("\"much\""));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_key_and_no_value_makes_loading_panic(
        key in "(memory|stages|voices|device|\\PC{0,3})(\\.(audio|soft_limit|leak|\\PC{0,3})){0,3}",
        value in "(\\PC{0,6}|\\[\\]|\\{\\}|-?[0-9]{1,20}|nan|inf|true|1979-05-27|\"\"|\\{ a\\.b = [0-9] \\})",
    ) {
        let variable = format!("VORTEX_{}", key.to_uppercase().replace('.', "__"));
        for given in [Given::new().variable(&variable, &value), Given::new().flag("--set", &key, &value)] {
            if let Err(problems) = given.load() {
                prop_assert!(!problems.0.is_empty());
            }
        }
        let given = Given::new().file("node.toml", &format!("{key:?} = {value}\n"));
        let _ = given.load();
    }
}

#[test]
fn the_defaults_pass_their_own_sifting() {
    let mut defaults = Layer::defaults().unwrap();
    let known = Known::new(&defaults);
    let mut problems = Vec::new();
    known.sift(&mut defaults, &mut problems);
    assert_eq!(problems, []);
}
