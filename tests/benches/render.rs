//! `cargo bench --bench render [-- BUNDLE]`: what `vortex-node render` takes beyond its critical path, and whether its
//! memory grows with the video's length.
//!
//! Runs the release binary, one video after the other, and reads the results that it wrote. Without a bundle it makes a
//! tiny synthetic one. Ratios of one run; absolute times are this machine's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use vortex_node::recipe::{document, example};

const BINARY: &str = env!("CARGO_BIN_EXE_vortex-node");
/// Videos of each length: the best one tells what the program costs, the others what the machine does.
const RUNS: usize = 3;

struct Rendered {
    elapsed: f64,
    path: f64,
    peak: f64,
}

fn main() {
    // `cargo test` runs benches with this flag to see that they start.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = tempfile::tempdir().unwrap();
    let bundle = given.map_or_else(|| synthetic(folder.path()), PathBuf::from);
    println!(
        "{:>8}  {:>9}  {:>13}  {:>6}  {:>12}",
        "video", "elapsed", "critical path", "ratio", "peak memory"
    );
    let mut peaks = Vec::new();
    for length in [5.0, 45.0] {
        let best = (0..RUNS)
            .map(|run| render(folder.path(), &bundle, length, run))
            .min_by(|a, b| (a.elapsed / a.path).total_cmp(&(b.elapsed / b.path)))
            .unwrap();
        let Rendered { elapsed, path, peak } = best;
        println!("{length:6.0} s  {elapsed:7.2} s  {path:11.2} s  {:6.3}  {peak:9.1} MB", elapsed / path);
        peaks.push(peak);
    }
    println!("target: ratio at most 1.030; a 45 s video within 20 MB of a 5 s one");
    println!("45 s beyond 5 s: {:.1} MB", peaks[1] - peaks[0]);
}

fn synthetic(folder: &Path) -> PathBuf {
    let bundle = folder.join("bundle");
    let made =
        Command::new(BINARY).args(["weights", "synth", "--profile", "tiny", "--out"]).arg(&bundle).output();
    assert!(made.unwrap().status.success());
    bundle
}

fn render(folder: &Path, bundle: &Path, length: f64, run: usize) -> Rendered {
    let mut recipe = document::parse(example::text().as_bytes()).unwrap();
    *recipe.pointer_mut("/slot_params/duration_sec").unwrap() = json!(length);
    let file = folder.join("recipe.json");
    std::fs::write(&file, recipe.to_string()).unwrap();
    let out = folder.join(format!("{length}-{run}"));
    let output = Command::new(BINARY)
        .args(["render", "--json", "--profile", "cpu"])
        .args([&file, Path::new("-o"), &out, Path::new("--bundle"), bundle, Path::new("--data-dir")])
        .arg(folder.join("data"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let answer = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
    let result: Value = serde_json::from_slice(&std::fs::read(out.join("result.json")).unwrap()).unwrap();
    let took = |stage: &str| {
        let stages = result["stages"].as_array().unwrap();
        let ran = stages.iter().find(|ran| ran["stage"] == stage).unwrap();
        ran["ended"].as_f64().unwrap() - ran["began"].as_f64().unwrap()
    };
    Rendered {
        elapsed: result["elapsed"].as_f64().unwrap(),
        path: took("audio").max(took("image")) + took("video") + took("verify"),
        peak: last["peak_resident_bytes"].as_f64().unwrap() / 1e6,
    }
}
