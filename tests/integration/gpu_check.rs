//! `gpu-check` through the binary: without a card it says why, and on the processor it runs from end to end.

use std::path::Path;
use std::process::{Command, Output};

use candle_core::Device;
use serde_json::Value;
use vortex_node::models::parity::sets::Kind;

use crate::support::{fixtures_root, sets_of, skip};

/// Where there are no fixtures: comparing them is the business of tests of its own.
fn gpu_check(arguments: &[&str]) -> Output {
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vortex-node"));
    command.arg("gpu-check").args(arguments).current_dir(nowhere.path()).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_card_that_is_not_there_is_said_plainly_and_ends_with_1() {
    // No machine that runs this has so many.
    let output = gpu_check(&["--device", "cuda:63"]);
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("no card  cuda:63 cannot be used: "), "{said}");
    if !cfg!(feature = "cuda") {
        assert!(said.contains("built without cuda; build with deploy/cuda/build.sh"), "{said}");
    }
    let report = json(&gpu_check(&["--device", "cuda:63", "--json"]));
    assert_eq!((&report["ok"], &report["device"]), (&Value::Bool(false), &Value::from("cuda:63")));
    assert!(report["unusable"].is_string(), "{report:#}");
}

#[test]
fn nonsense_is_refused_before_anything_starts() {
    for arguments in [
        ["--device", "cuda:x"].as_slice(),
        &["--device", "scripted"],
        &["--full"],
        &["--slots", "0"],
        &["--limit", "much"],
        &["--device", "cpu", "--bundle", "/nonexistent"],
        &["--device", "cpu", "--fixtures", "/nonexistent"],
    ] {
        let output = gpu_check(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn the_same_checks_run_on_the_processor() {
    let output = gpu_check(&["--device", "cpu", "--slots", "3", "--frames", "2", "--limit", "2GB", "--json"]);
    let report = json(&output);
    assert_eq!(report["unusable"], Value::Null);
    let fixtures = &report["fixtures"];
    let what = fixtures["what"].as_str().unwrap();
    assert_eq!(fixtures["ok"], Value::Null, "{fixtures}");
    assert!(what.contains("not compared") && what.contains("--fixtures"), "{what}");
    assert_eq!(report["footprint"].as_array().unwrap().len(), 5, "{report:#}");
    for footprint in report["footprint"].as_array().unwrap() {
        assert_eq!(footprint["within_budget"], Value::Bool(true), "{footprint:#}");
        assert!(footprint["ready_seconds"].as_f64().unwrap() > 0.0);
    }
    let stages: Vec<&str> =
        report["stages"].as_array().unwrap().iter().map(|it| it["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["audio", "image", "video", "verify"]);
    for stage in report["stages"].as_array().unwrap() {
        assert_eq!(stage["runs"], 3);
        assert!(stage["p50_seconds"].as_f64() <= stage["p99_seconds"].as_f64(), "{stage:#}");
    }
    assert!(report["frames_per_second"].as_f64().unwrap() > 0.0);
    let overlap = report["overlap"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&overlap), "{overlap}");
    assert_eq!((&report["memory"]["ok"], &report["memory"]["slots"]), (&Value::Bool(true), &Value::from(3)));
    let refusal = report["refusal"]["what"].as_str().unwrap();
    assert!(report["refusal"]["ok"] == true && refusal.contains("of 2.00 GB are taken"), "{refusal}");
    assert_eq!(report["out_of_memory"]["ok"], Value::Null, "only a card is filled");
    assert!(report["restart_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(report["sampling"]["probe"], "host");
}

#[test]
fn a_bundle_that_does_not_fit_is_not_loaded() {
    let report = json(&gpu_check(&["--device", "cpu", "--slots", "1", "--limit", "100kB", "--json"]));
    assert_eq!((&report["ok"], &report["fit"]["ok"]), (&Value::Bool(false), &Value::Bool(false)));
    let what = report["fit"]["what"].as_str().unwrap();
    assert!(what.contains("too much") && what.contains("what would fit"), "{what}");
    assert_eq!(report["footprint"], Value::Array(Vec::new()), "nothing was loaded");
}

#[test]
fn a_limit_below_what_the_models_hold_stops_the_load_with_numbers() {
    let output = gpu_check(&["--device", "cpu", "--slots", "1", "--limit", "60MB"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("of 60.0 MB are taken"), "{said}");
}

const BRIEFLY: [&str; 8] = ["--device", "cpu", "--slots", "1", "--frames", "1", "--limit", "2GB"];

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn comparisons(report: &Value) -> &Vec<Value> {
    report["fixtures"]["comparisons"].as_array().unwrap()
}

#[test]
fn every_fixture_is_compared_and_within_its_tolerance() {
    // The command runs elsewhere.
    let root = std::path::absolute(fixtures_root()).unwrap();
    if !root.is_dir() {
        return skip("the fixtures' folder");
    }
    let with = [&BRIEFLY[..], &["--fixtures", root.to_str().unwrap(), "--json"]].concat();
    let output = gpu_check(&with);
    let report = json(&output);
    assert_eq!(report["fixtures"]["ok"], true, "{}", report["fixtures"]);
    let rows = comparisons(&report);
    for row in rows {
        assert!(row["ok"] == true && row["measured"].as_f64() <= row["tolerance"].as_f64(), "{row:#}");
        assert!(row["max_abs_error"].is_f64() && row["relative_error"].is_f64(), "{row:#}");
        assert_eq!((&row["device"], &row["against"]), (&Value::from("cpu"), &Value::from("reference")));
    }
    // One output of each network and of what surrounds them.
    for output in [
        "image_embeds",
        "text_embeds",
        "t5.last_hidden_state",
        "clip.pooled",
        "flux.step0.pred",
        "vae.decoded",
        "audio",
        "F.feature_3d",
        "M.source.kp",
        "W.out",
        "image",
        "kp.stitched",
        "retarget_eye.delta",
        "retarget_lip.delta",
        "t5 ids",
    ] {
        assert!(rows.iter().any(|row| row["output"] == output), "{output} was not compared");
    }
}

#[test]
fn a_damaged_fixture_is_named_and_fails_and_the_others_are_compared() {
    let (clip, kokoro) = (sets_of(Kind::Clip), sets_of(Kind::Kokoro));
    let (Some(clip), Some(kokoro)) = (clip.first(), kokoro.first()) else { return };
    let folder = tempfile::tempdir().unwrap();
    copy(&fixtures_root(), folder.path());
    // A recorded output is made another, and a file of another set is taken away.
    let io = folder.path().join(&clip.name).join("io.safetensors");
    let mut tensors = candle_core::safetensors::load(&io, &Device::Cpu).unwrap();
    let damaged = (&tensors["out.image_embeds"] + 0.1).unwrap();
    tensors.insert("out.image_embeds".to_owned(), damaged);
    candle_core::safetensors::save(&tensors, &io).unwrap();
    std::fs::remove_file(folder.path().join(&kokoro.name).join("meta.json")).unwrap();
    let with = [&BRIEFLY[..], &["--fixtures", folder.path().to_str().unwrap()]].concat();
    let output = gpu_check(&[&with[..], &["--json"]].concat());
    let report = json(&output);
    assert_eq!((output.status.code(), &report["fixtures"]["ok"]), (Some(1), &Value::Bool(false)));
    let wrong: Vec<&Value> = comparisons(&report).iter().filter(|row| row["ok"] == false).collect();
    let named = |set: &str| wrong.iter().filter(|row| row["set"] == set).count();
    assert!(named(&clip.name) > 0 && named(&kokoro.name) > 0, "{wrong:#?}");
    assert_eq!(named(&clip.name) + named(&kokoro.name), wrong.len(), "{wrong:#?}");
    let clip = wrong.iter().find(|row| row["set"] == *clip.name).unwrap();
    assert_eq!((&clip["output"], &clip["why"]), (&Value::from("image_embeds"), &Value::Null));
    let why = wrong.iter().find(|row| row["set"] == *kokoro.name).unwrap()["why"].as_str().unwrap();
    assert!(why.contains("meta.json") && why.contains("cannot be read"), "{why}");
}
