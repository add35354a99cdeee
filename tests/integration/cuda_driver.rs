//! A binary with the GPU path on machines that a simulated driver plays: no driver, too old a one, too few cards, a
//! card that is taken, too old or full, libraries that are missing. Everything through the real loader path.
//!
//! Such a binary takes minutes of nvcc to build, so these run where the suite itself is built with the feature, or
//! on demand: `VORTEX_CUDA_BINARY=… cargo test --test integration cuda_driver -- --ignored` with a binary that
//! `deploy/cuda/build.sh` has made.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// The binary with the GPU path.
fn binary() -> PathBuf {
    let named = std::env::var_os("VORTEX_CUDA_BINARY").map(PathBuf::from);
    named
        .or_else(|| cfg!(feature = "cuda").then(|| env!("CARGO_BIN_EXE_vortex-node").into()))
        .expect("VORTEX_CUDA_BINARY names a binary built with cuda")
}

fn compile(source: &Path, library: &Path) {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "cdylib",
            "--crate-name",
            "cuda",
            "-O",
            "-C",
            "panic=abort",
            "-o",
        ])
        .args([library, source])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A folder with the simulated driver, compiled once.
fn driver() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulated_cuda/cuda.rs");
        compile(&source, &folder.path().join("libcuda.so.1"));
        folder
    });
    folder.path()
}

/// The libraries that computing needs, without anything in them.
fn libraries() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("empty.rs");
        std::fs::write(&source, "").unwrap();
        for name in ["libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10"] {
            compile(&source, &folder.path().join(name));
        }
        folder
    });
    folder.path()
}

/// What `gpu-check` answers where `shown` is what the driver shows and `paths` is where libraries are looked for first.
fn check(device: &str, paths: &[&Path], shown: &[(&str, &str)]) -> Value {
    let paths: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let output = Command::new(binary())
        .args(["gpu-check", "--device", device, "--json"])
        .env("LD_LIBRARY_PATH", paths.join(":"))
        .envs(shown.iter().map(|(name, value)| (format!("SIMULATED_CUDA_{name}"), value)))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or(Value::String(said))
}

fn why(device: &str, shown: &[(&str, &str)]) -> String {
    let report = check(device, &[driver(), libraries()], shown);
    report["unusable"].as_str().unwrap_or_else(|| panic!("{report:#}")).to_owned()
}

#[test]
#[cfg_attr(not(feature = "cuda"), ignore = "needs a binary built with cuda: see this file's head")]
fn too_few_cards_are_counted() {
    let one = why("cuda:3", &[]);
    assert!(one.contains("there is no card cuda:3") && one.contains("shows one, cuda:0"), "{one}");
    let many = why("cuda:3", &[("COUNT", "2")]);
    assert!(many.contains("shows 2, cuda:0 to cuda:1"), "{many}");
    let none = why("cuda:0", &[("INIT", "100")]);
    assert!(none.contains("shows none"), "{none}");
}

#[test]
#[cfg_attr(not(feature = "cuda"), ignore = "needs a binary built with cuda: see this file's head")]
fn a_driver_older_than_the_build_is_named_with_its_version() {
    let old = why("cuda:0", &[("VERSION", "12040")]);
    assert!(old.contains("CUDA 12.4") && old.contains("13.0 or newer"), "{old}");
}

#[test]
#[cfg_attr(not(feature = "cuda"), ignore = "needs a binary built with cuda: see this file's head")]
fn a_card_that_is_too_old_taken_or_full_says_so() {
    let weak = why("cuda:0", &[("CAPABILITY", "75")]);
    assert!(weak.contains("Simulated card") && weak.contains("7.5") && weak.contains("8.0"), "{weak}");
    let taken = why("cuda:0", &[("RETAIN", "46")]);
    assert!(taken.contains("is taken") && taken.contains("CUDA_ERROR_DEVICE_UNAVAILABLE"), "{taken}");
    let full = why("cuda:0", &[("RETAIN", "2")]);
    assert!(full.contains("is full"), "{full}");
}

#[test]
#[cfg_attr(not(feature = "cuda"), ignore = "needs a binary built with cuda: see this file's head")]
fn missing_libraries_are_named_with_where_they_come_from() {
    let report = check("cuda:0", &[driver()], &[]);
    // On a machine with CUDA installed they are found elsewhere.
    if let Some(missing) = report["unusable"].as_str() {
        assert!(
            missing.contains("libcublas.so.13 was not found") && missing.contains("libcublas-13-0"),
            "{missing}"
        );
    }
}

#[test]
#[cfg_attr(not(feature = "cuda"), ignore = "needs a binary built with cuda: see this file's head")]
fn a_driver_without_the_symbols_that_computing_needs_panics_nobody() {
    let answer = check("cuda:0", &[driver(), libraries()], &[]);
    // The card opens and shows its figures; the first stream cannot be had.
    let said = answer.as_str().unwrap_or_else(|| panic!("{answer:#}"));
    assert!(said.contains("cuda:0 cannot be used") && said.contains("driver"), "{said}");
}
