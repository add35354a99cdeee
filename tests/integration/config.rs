//! Configuration through the real binary: files shipped, sources named, bad input refused with exit code 2.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use vortex_node::cli::config::kinds::check;

use crate::support::{install_into, lone_binary};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The binary in an empty folder, with nothing shipped and without any `VORTEX_` variable of this process.
fn node(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    lone_binary().current_dir(folder).args(arguments).envs(environment.iter().copied()).output().unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn every_file_in_config_is_of_a_known_kind_and_right() {
    let checked = check(&root().join("config"));
    assert!(checked.len() >= 5, "{checked:?}");
    for file in &checked {
        assert!(
            file.kind.is_some(),
            "{}: give its kind a row in src/cli/config/kinds.rs, so that it is checked",
            file.path.display()
        );
        assert_eq!(file.problems, Vec::<String>::new(), "{}", file.path.display());
    }
    for kind in ["node", "voices", "profile", "recipe", "rehearsal"] {
        assert!(checked.iter().any(|file| file.kind == Some(kind)), "no file of kind {kind}");
    }
}

#[test]
fn every_shipped_profile_is_in_the_binary() {
    let folder = TempDir::new().unwrap();
    for entry in std::fs::read_dir(root().join("config/profiles")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let output = node(folder.path(), &["config", "show", "--profile", name], &[]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", err(&output));
        assert!(out(&output).contains(&format!("profile {name}, built in")), "{name}");
    }
}

#[test]
fn show_names_the_source_of_each_of_the_five_layers() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("config");
    std::fs::create_dir_all(config.join("profiles")).unwrap();
    std::fs::write(config.join("node.toml"), "profile = \"mine\"\n[slots]\nqueue = 7\n").unwrap();
    std::fs::write(config.join("profiles/mine.toml"), "[slots]\nlookahead = 3\n").unwrap();
    let arguments = ["config", "show", "--json", "--set", "restart.model.budget=7"];
    let output = node(folder.path(), &arguments, &[("VORTEX_MEMORY__SOFT_LIMIT", "11.0GB")]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let shown: Value = serde_json::from_str(out(&output)).unwrap();
    let row = |key: &str| {
        let rows = shown["settings"].as_array().unwrap();
        rows.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("{key} is not shown")).clone()
    };
    assert_eq!(row("slots.drain")["source"]["layer"], "default");
    assert_eq!(row("slots.queue")["source"]["layer"], "file");
    assert_eq!(row("slots.queue")["source"]["path"], "config/node.toml");
    assert_eq!(row("slots.lookahead")["value"], 3);
    assert_eq!(row("slots.lookahead")["source"]["layer"], "profile");
    assert_eq!(row("slots.lookahead")["source"]["path"], "config/profiles/mine.toml");
    assert_eq!(row("memory.soft_limit")["value"], "11.0GB");
    assert_eq!(row("memory.soft_limit")["source"]["variable"], "VORTEX_MEMORY__SOFT_LIMIT");
    assert_eq!(row("restart.model.budget")["source"]["flag"], "--set");
    assert_eq!(row("voices.default")["value"], "am_adam");

    let text = node(folder.path(), &arguments[..2], &[]);
    let line = out(&text).lines().find(|line| line.starts_with("slots.queue ")).unwrap();
    assert!(line.contains(" 7 ") && line.ends_with("file config/node.toml"), "{line}");
    assert!(!out(&text).contains('\u{1b}'), "colour is for terminals");
}

#[test]
fn bad_configuration_ends_in_exit_code_2_with_every_problem() {
    let folder = TempDir::new().unwrap();
    let arguments = ["config", "show", "--set", "memory.sft_limit=1GB", "--device", "gpu"];
    let output = node(folder.path(), &arguments, &[("VORTEX_STAGES__AUDIO__TIMEOUT", "0s")]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(out(&output), "");
    let text = err(&output);
    assert!(text.starts_with("error: 3 problems in the configuration\n"), "{text}");
    for part in [
        "memory.sft_limit = \"1GB\" (flag --set): unknown setting",
        "did you mean memory.soft_limit?",
        "device = \"gpu\" (flag --device)",
        "stages.audio.timeout = \"0s\" (environment variable VORTEX_STAGES__AUDIO__TIMEOUT)",
        "a duration above zero",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn check_judges_each_file_and_needs_no_working_configuration() {
    let folder = TempDir::new().unwrap();
    let profiles = folder.path().join("config/profiles");
    std::fs::create_dir_all(&profiles).unwrap();
    std::fs::write(profiles.join("bad.toml"), "[memory]\nsoft_limit = \"12GB\"\nhard_limit = \"11GB\"\n")
        .unwrap();
    std::fs::write(profiles.join("good.toml"), "[slots]\nqueue = 3\n").unwrap();
    std::fs::write(folder.path().join("config/node.toml"), "profil = \"cpu\"\n").unwrap();
    std::fs::write(folder.path().join("config/notes.txt"), "hello\n").unwrap();

    let good = node(folder.path(), &["config", "check", "config/profiles/good.toml"], &[]);
    assert_eq!(good.status.code(), Some(0), "{}", err(&good));
    let all = node(folder.path(), &["config", "check", "config", "no/such/voices.toml"], &[]);
    assert_eq!(all.status.code(), Some(2));
    for part in [
        "wrong  config/node.toml (node)",
        "did you mean profile?",
        "wrong  config/notes.txt",
        "of no kind that can be checked",
        "wrong  config/profiles/bad.toml (profile)",
        "memory.soft_limit = \"12GB\"",
        "ok     config/profiles/good.toml (profile)",
        "wrong  no/such/voices.toml (voices)",
        "cannot be read",
    ] {
        assert!(out(&all).contains(part), "{part} in {}", out(&all));
    }
    let json = node(folder.path(), &["config", "check", "--json", "config/profiles"], &[]);
    let answer: Value = serde_json::from_str(out(&json)).unwrap();
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["files"][1]["problems"], serde_json::json!([]));
}

#[test]
fn bad_arguments_end_in_exit_code_2_and_help_in_0() {
    let folder = TempDir::new().unwrap();
    let slip = node(folder.path(), &["config", "show", "--profil", "cpu"], &[]);
    assert_eq!(slip.status.code(), Some(2));
    assert!(err(&slip).contains("--profile"), "{}", err(&slip));
    assert_eq!(node(folder.path(), &["confg"], &[]).status.code(), Some(2));
    assert_eq!(node(folder.path(), &[], &[]).status.code(), Some(2));
    let help = node(folder.path(), &["--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    assert!(out(&help).contains("config"));
}

#[test]
fn logs_go_to_standard_error_as_json_where_nobody_watches() {
    let folder = TempDir::new().unwrap();
    let output = node(folder.path(), &["config", "show", "--json", "--log", "debug"], &[]);
    serde_json::from_str::<Value>(out(&output)).unwrap();
    let lines: Vec<Value> = err(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let loaded = lines.iter().find(|line| line["event"] == "config.loaded").unwrap();
    assert_eq!((&loaded["profile"], &loaded["level"]), (&"cpu".into(), &"DEBUG".into()));
    assert_eq!(loaded["message"], "configuration loaded");
}

/// What `config show` and `check` tell of configuration folder and bundle.
fn found(command: impl Fn() -> Command) -> (Value, String) {
    let shown = command().args(["config", "show", "--json"]).output().unwrap();
    assert_eq!(shown.status.code(), Some(0), "{}", err(&shown));
    let shown: Value = serde_json::from_str(out(&shown)).unwrap();
    let arguments = ["check", "--quick", "--json", "--set", "http.listen=127.0.0.1:0"];
    let checked = command().args(arguments).output().unwrap();
    let checked: Value = serde_json::from_str(out(&checked)).unwrap();
    let bundle = checked["checks"].as_array().unwrap().iter().find(|row| row["check"] == "bundle").unwrap();
    (shown, bundle["found"].as_str().unwrap().to_owned())
}

#[cfg(unix)]
#[test]
fn run_from_another_folder_the_shipped_configuration_and_demo_are_found() {
    use std::os::unix::fs::symlink;
    let config = root().join("config");
    let elsewhere = TempDir::new().unwrap();
    // A folder of somebody else's that happens to have the name.
    std::fs::create_dir(elsewhere.path().join("config")).unwrap();
    std::fs::write(elsewhere.path().join("config/webpack.js"), "").unwrap();

    let beside = TempDir::new().unwrap();
    let binary = install_into(beside.path());
    symlink(&config, beside.path().join("config")).unwrap();
    let (shown, bundle) = found(|| {
        let mut command = Command::new(&binary);
        command.current_dir(elsewhere.path()).env_remove("VORTEX_CONFIG_DIR");
        command
    });
    assert_eq!(shown["config_dir"], beside.path().join("config").to_str().unwrap());
    assert_eq!(shown["config_dir_source"], "shipped");
    assert!(bundle.starts_with("demo (demo), "), "{bundle}");

    let data = TempDir::new().unwrap();
    symlink(&config, data.path().join("vortex-node")).unwrap();
    let in_data = || {
        let mut command = lone_binary();
        command.current_dir(elsewhere.path()).env("XDG_DATA_HOME", data.path());
        command
    };
    let (shown, bundle) = found(in_data);
    assert_eq!(shown["config_dir"], data.path().join("vortex-node").to_str().unwrap());
    assert!(bundle.starts_with("demo (demo), "), "{bundle}");

    // A folder of the user's own goes over it, and what it lacks still comes from there.
    let own = TempDir::new().unwrap();
    std::fs::write(own.path().join("node.toml"), "[slots]\nqueue = 9\n").unwrap();
    let (shown, bundle) = found(|| {
        let mut command = in_data();
        command.env("VORTEX_CONFIG_DIR", own.path());
        command
    });
    assert_eq!(shown["config_dir"], own.path().to_str().unwrap());
    assert_eq!(shown["config_dir_source"], "environment");
    assert!(bundle.starts_with("demo (demo), "), "{bundle}");

    let text = in_data().args(["config", "show"]).output().unwrap();
    assert!(
        out(&text).contains("configuration folder: ") && out(&text).contains("shipped"),
        "{}",
        out(&text)
    );
}

#[test]
fn files_with_a_byte_order_mark_are_read_as_those_without() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("config");
    for name in ["profiles", "rehearsals", "bundle"] {
        std::fs::create_dir_all(config.join(name)).unwrap();
    }
    let shipped = |name: &str| std::fs::read_to_string(root().join("config").join(name)).unwrap();
    let files = [
        ("node.toml", "profile = \"mine\"\n[slots]\nqueue = 7\n".to_owned()),
        ("voices.toml", "default = \"am_onyx\"\n".to_owned()),
        ("profiles/mine.toml", "[slots]\nlookahead = 3\n".to_owned()),
        ("rehearsals/panic.toml", shipped("rehearsals/panic.toml")),
        ("bundle/bundle.toml", shipped("bundles/demo/bundle.toml")),
    ];
    for (name, text) in &files {
        std::fs::write(config.join(name), format!("\u{feff}{text}")).unwrap();
    }
    let checked = check(&config);
    assert_eq!(checked.len(), files.len());
    for file in &checked {
        assert_eq!(file.problems, Vec::<String>::new(), "{}", file.path.display());
    }
    let shown = node(folder.path(), &["config", "show"], &[]);
    let value = |key: &str| {
        let line = out(&shown).lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(value("slots.queue "), "7");
    assert_eq!(value("slots.lookahead "), "3");
    assert_eq!(value("voices.default "), "\"am_onyx\"");
}

#[test]
fn a_bundle_names_its_files_but_not_its_training() {
    let folder = TempDir::new().unwrap();
    let bundle = folder.path().join("bundle");
    std::fs::create_dir_all(bundle.join("training/image")).unwrap();
    std::fs::create_dir_all(bundle.join("flux/training")).unwrap();
    std::fs::copy(root().join("config/bundles/demo/bundle.toml"), bundle.join("bundle.toml")).unwrap();
    let files = [
        ("training/image/train.py", true),
        ("training/out.safetensors", true),
        ("README.md", true),
        ("train.py", false),
        ("flux/training/train.py", false),
        ("trainings", false),
    ];
    for (name, _) in files {
        std::fs::write(bundle.join(name), "x").unwrap();
    }
    for (name, right) in files {
        let file = &check(&bundle.join(name))[0];
        assert_eq!(file.kind, Some("bundle's file"), "{name}");
        assert_eq!(file.problems.is_empty(), right, "{name}: {:?}", file.problems);
    }
}
