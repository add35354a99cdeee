//! `gpu-check` through the binary: without a card it says why, and on the processor it runs from end to end.

use std::process::{Command, Output};

use serde_json::Value;

fn gpu_check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vortex-node")).arg("gpu-check").args(arguments).output().unwrap()
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
